"""Send frames as fast as possible. Must: refused at the first."""

from attack import Honest, frame, send

ALONE = True
ONCE = True
EXPECT = "broke the protocol"


class Model(Honest):
    def fit(self):
        while True:
            send(frame({"kind": "fitted", "request": 0}) * 1000)
