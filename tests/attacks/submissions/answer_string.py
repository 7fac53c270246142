"""Answer a string. Must: named."""

from attack import ANSWER, Honest

ALONE = True
ONCE = True
EXPECT = "mu_hat as str"


class Model(Honest):
    def predict(self, test_set):
        return dict(ANSWER, mu_hat="1.0")
