"""Take memory without end. Must: the budget's message."""

import numpy as np
from attack import Honest

ALONE = True
EXPECT = "of memory; its budget is 1.0 GB"


class Model(Honest):
    def fit(self):
        self.held = []
        while True:
            self.held.append(np.ones(1 << 22))
