"""Send an answer before it is asked for. Must: refused."""

from attack import Honest, channel, frame, prediction, send

ALONE = True
ONCE = True
EXPECT = "broke the protocol"


class Model(Honest):
    def fit(self):
        send(frame({**prediction(), "request": channel()[1] + 1}))
