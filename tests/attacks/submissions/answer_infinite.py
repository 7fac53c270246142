"""Answer infinity. Must: named."""

from attack import ANSWER, Honest

ALONE = True
ONCE = True
EXPECT = "p84 = inf: it must be finite"


class Model(Honest):
    def predict(self, test_set):
        return dict(ANSWER, p84=float("inf"))
