"""Close standard output and error. Must: the run goes on."""

import os
import sys

from attack import Honest, must_be_false

ALONE = True
ONCE = True
EXPECT = "completes"


class Model(Honest):
    def fit(self):
        must_be_false("nothing", False)
        sys.stdout.close()
        os.close(2)
