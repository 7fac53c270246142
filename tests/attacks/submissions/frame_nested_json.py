"""Send JSON that is nested 100,000 deep. Must: refused."""

import time

from attack import Honest, frame, send

ALONE = True
ONCE = True
EXPECT = "not valid JSON"


class Model(Honest):
    def fit(self):
        send(frame(b"[" * 100_000))
        time.sleep(60)
