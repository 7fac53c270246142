"""Use up the whole run. Must: the message names that."""

import time

from attack import Honest

ALONE = True
ONCE = True
EXPECT = "the deadline of the whole run came during fit"
DEADLINE = 4


class Model(Honest):
    def fit(self):
        time.sleep(1000)
