"""Take memory in many small processes. Must: they are counted together."""

import os
import time

import numpy as np
from attack import Honest

ALONE = True
EXPECT = "of memory; its budget is 1.0 GB"


class Model(Honest):
    def fit(self):
        for _ in range(8):
            if os.fork() == 0:
                held = np.ones(25 << 20)
                time.sleep(100)
        time.sleep(100)
