"""Close the channel and go on. Must: noticed, all of it ended."""

import time

from attack import Honest, channel

ALONE = True
EXPECT = "during fit"


class Model(Honest):
    def fit(self):
        channel()[0].close()
        time.sleep(60)
