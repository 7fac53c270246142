"""Raise KeyboardInterrupt. Must: a failure, and the trusted process goes on."""

from attack import Honest

ALONE = True
ONCE = True
EXPECT = "failed in fit: KeyboardInterrupt"


class Model(Honest):
    def fit(self):
        raise KeyboardInterrupt
