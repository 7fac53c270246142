"""Stop itself, to make the trusted process wait forever. Must: the budget's message."""

import os
import signal

from attack import Honest

ALONE = True
EXPECT = "import and fit took longer than its budget"
FIT_SECONDS = 4


class Model(Honest):
    def fit(self):
        while True:  # the watch lets its processes go on after it has counted their files
            os.kill(os.getpid(), signal.SIGSTOP)
