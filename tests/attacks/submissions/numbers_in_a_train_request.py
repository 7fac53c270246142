"""Ask for training events with numbers that no function of ours would send. Must: refused."""

import json

from attack import Honest, channel, must_fail

ALONE = True
ONCE = True
EXPECT = "completes"


class Model(Honest):
    def fit(self):
        from HiggsML.isolation.inside import runner

        for size, seed in (
            *((1e308, None), (-1e308, None), (-1, None), (-(10**300), None)),
            *((1e999, None), (-(10**4000), -5), (float("-inf"), 0)),
        ):
            must_fail(f"{size:.3g}" if abs(size) < 1e300 else "huge", self.ask, runner, size, seed)

    def ask(self, runner, size, seed):
        message = {"kind": "train_set", "request": channel()[1], "selected": False}
        message |= {"train_size": size, "seed": seed}
        text = json.dumps(message).replace("Infinity", "1e999").encode()
        channel()[0].sendall(b"HML1" + len(text).to_bytes(4, "big") + bytes(8) + text)
        reply, _, descriptors = runner._channel.receive(with_descriptors=True)
        if reply["kind"] == "refused":
            raise ValueError(reply["reason"])
        return descriptors
