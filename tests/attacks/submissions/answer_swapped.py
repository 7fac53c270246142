"""Answer a swapped interval. Must: named."""

from attack import ANSWER, Honest

ALONE = True
ONCE = True
EXPECT = "p16 = 1.1 above p84 = 0.9"


class Model(Honest):
    def predict(self, test_set):
        return dict(ANSWER, p16=1.1, p84=0.9)
