"""Search the frames above for the truth. Must: no variable of that name, no seed."""

import sys

from attack import Honest, must_be_false


class Model(Honest):
    def predict(self, test_set):
        found, frame_ = [], sys._getframe()
        while frame_ is not None:
            found += [n for n in frame_.f_locals if n in ("mu", "entropy", "draws", "plan", "seed")]
            frame_ = frame_.f_back
        must_be_false("variables", found)
        return super().predict(test_set)
