"""Never finish __init__, and ignore signals. Must: the budget's message."""

import contextlib
import signal
import time

from attack import Honest

ALONE = True
ONCE = True
EXPECT = "import and fit took longer than its budget"
FIT_SECONDS = 4


class Model(Honest):
    def __init__(self, get_train_set, systematics):
        for number in range(1, 32):
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_IGN)
        while True:
            time.sleep(1)
