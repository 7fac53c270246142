"""Fork without end. Must: the budget's message (or the kernel's refusal), nothing left."""

import contextlib
import os

from attack import Honest

ALONE = True
EXPECT = "processes and threads|BlockingIOError"


class Model(Honest):
    def fit(self):
        while True:
            with contextlib.suppress(OSError):
                os.fork()
