"""Print without end for a while. Must: cut with a notice, the run goes on."""

import os
import time

from attack import Honest

ALONE = True
EXPECT = "completes"


class Model(Honest):
    def fit(self):
        end = time.monotonic() + 1.5
        os.write(1, b'ATTACK ["model", "refused", "flood", ""]\n')
        while time.monotonic() < end:
            os.write(1, b"x" * 60_000 + b"\n")
