"""Kill the own process group. Must: only itself."""

import os
import signal

from attack import Honest, must_fail

ALONE = True
EXPECT = "ended by SIGKILL|Permission|completes"


class Model(Honest):
    def fit(self):
        must_fail("group", os.kill, 0, signal.SIGKILL)
        os.killpg(os.getpgrp(), signal.SIGKILL)
