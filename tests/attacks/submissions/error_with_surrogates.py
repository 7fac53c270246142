"""Fail with a text that can not be printed. Must: the text is cleaned."""

from attack import Honest

ALONE = True
ONCE = True
EXPECT = "failed in fit: ValueError"


class Model(Honest):
    def fit(self):
        raise ValueError("\ud800 \x1b[2J \u202e" + "\U0001f600" * 100_000)
