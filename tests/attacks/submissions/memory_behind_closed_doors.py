"""Take memory in processes that can not be looked into. Must: it counts all the same."""

import os
import time

import numpy as np
from attack import Honest, libc

ALONE = True
EXPECT = "of memory; its budget is 1.0 GB"
PR_SET_DUMPABLE = 4


class Model(Honest):
    def fit(self):
        for _ in range(8):
            if os.fork() == 0:
                libc("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)
                held = np.ones(25 << 20)
                time.sleep(100)
        time.sleep(100)
