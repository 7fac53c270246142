"""Nest directories deeper than a path can name. Must: noticed, and removed in the end."""

import os
import time

from attack import Honest

ALONE = True
EXPECT = "nested directories|hid temporary files|too many temporary files"


class Model(Honest):
    def fit(self):
        for _ in range(5000):
            os.mkdir("d" * 50)
            os.chdir("d" * 50)
        time.sleep(100)
