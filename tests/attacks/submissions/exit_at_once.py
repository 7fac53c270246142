"""End the process with success. Must: no success."""

import os

from attack import Honest

ALONE = True
EXPECT = "exited with code 0 during fit"


class Model(Honest):
    def fit(self):
        os._exit(0)
