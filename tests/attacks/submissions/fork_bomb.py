"""Fork without end. Must: the budget's message (or the kernel's refusal), nothing left."""

import os
import time

from attack import Honest

ALONE = True
EXPECT = "processes and threads|BlockingIOError"


class Model(Honest):
    def fit(self):
        first = os.getpid()
        while True:
            try:
                os.fork()
            except OSError:
                if os.getpid() == first:
                    raise
                time.sleep(100)
