"""End the process in predict. Must: named, with the pseudo-experiment."""

import os

from attack import Honest

ALONE = True
ONCE = True
EXPECT = "exited with code 7 during predict .0 of 4|exited with code 7 during predict"


class Model(Honest):
    def predict(self, test_set):
        os._exit(7)
