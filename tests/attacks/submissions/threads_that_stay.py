"""Leave threads that are no daemons. Must: the run ends all the same."""

import threading
import time

from attack import Honest, must_be_false

ALONE = True
ONCE = True
EXPECT = "completes"


class Model(Honest):
    def fit(self):
        threading.Thread(target=time.sleep, args=(100_000,)).start()
        must_be_false("nothing", False)
