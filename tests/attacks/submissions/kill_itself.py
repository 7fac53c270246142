"""Kill itself. Must: named."""

import os
import signal

from attack import Honest

ALONE = True
EXPECT = "ended by SIGKILL"


class Model(Honest):
    def fit(self):
        os.kill(os.getpid(), signal.SIGKILL)
