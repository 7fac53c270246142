"""Send a message that is not JSON. Must: refused."""

import time

from attack import Honest, frame, send

ALONE = True
ONCE = True
EXPECT = "not valid JSON"


class Model(Honest):
    def fit(self):
        send(frame(b"\xff\x00{{{"))
        time.sleep(60)
