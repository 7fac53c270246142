"""Answer 1e999, which JSON's grammar allows and which becomes infinite. Must: refused."""

import struct

from attack import Honest, channel, send

ALONE = True
ONCE = True
EXPECT = "must be finite"


class Model(Honest):
    def predict(self, test_set):
        numbers = '"mu_hat": 1e999, "delta_mu_hat": 0.1, "p16": -1e999, "p84": 1e999'
        text = f'{{"kind": "prediction", "request": {channel()[1]}, {numbers}}}'
        send(struct.pack(">4sIQ", b"HML1", len(text), 0) + text.encode())
        return super().predict(test_set)
