"""Never finish the exit handlers. Must: the run ends all the same."""

import atexit
import time

from attack import Honest, must_be_false

ALONE = True
EXPECT = "completes"


class Model(Honest):
    def fit(self):
        atexit.register(lambda: time.sleep(1000))
        must_be_false("nothing", False)
