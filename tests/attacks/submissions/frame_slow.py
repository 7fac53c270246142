"""Send a frame byte by byte. Must: the time limit covers the whole frame."""

import time

from attack import Honest, channel, frame, send

ALONE = True
ONCE = True
EXPECT = "import and fit took longer than its budget"
FIT_SECONDS = 4


class Model(Honest):
    def fit(self):
        for byte in frame({"kind": "fitted", "request": channel()[1]}):
            send(bytes([byte]))
            time.sleep(0.5)
