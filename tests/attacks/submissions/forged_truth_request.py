"""Ask for kinds of messages that do not exist. Must: refused."""

import time

from attack import Honest, channel, frame, send

ALONE = True
ONCE = True
EXPECT = "broke the protocol"


class Model(Honest):
    def predict(self, test_set):
        send(frame({"kind": "truth", "request": channel()[1]}))
        time.sleep(60)
