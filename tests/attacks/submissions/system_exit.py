"""Raise SystemExit. Must: a failure like any other."""

import sys

from attack import Honest

ALONE = True
ONCE = True
EXPECT = "failed in fit: SystemExit"


class Model(Honest):
    def fit(self):
        sys.exit(0)
