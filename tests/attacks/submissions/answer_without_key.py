"""Answer only three numbers. Must: named."""

from attack import ANSWER, Honest

ALONE = True
ONCE = True
EXPECT = "returned no 'p84'"


class Model(Honest):
    def predict(self, test_set):
        return {k: v for k, v in ANSWER.items() if k != "p84"}
