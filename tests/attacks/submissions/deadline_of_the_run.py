"""Use up the whole run. Must: the message names that."""

import time

from attack import Honest

ALONE = True
ONCE = True
EXPECT = "whole run came during fit|whole run came during import"  # where starting is slow
DEADLINE = 10


class Model(Honest):
    def fit(self):
        time.sleep(1000)
