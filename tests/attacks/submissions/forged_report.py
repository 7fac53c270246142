"""Report the protections a second time. Must: refused."""

import time

from attack import Honest, channel, frame, send

ALONE = True
ONCE = True
EXPECT = "broke the protocol"


class Model(Honest):
    def fit(self):
        send(frame({"kind": "ready", "request": channel()[1], "report": {}}))
        time.sleep(60)
