"""Ask for training events with words that none of our functions would send. Must: refused."""

import json

from attack import Honest, channel

ALONE = True
ONCE = True
EXPECT = "a message of kind 'train_set' has other keys than it must have"


class Model(Honest):
    def fit(self):
        message = {"kind": "train_set", "request": channel()[1], "train_size": "SIZE"}
        text = json.dumps(message).replace('"SIZE"', "1e999").encode()
        channel()[0].sendall(b"HML1" + len(text).to_bytes(4, "big") + bytes(8) + text)
        channel()[0].recv(100)
