"""Answer an integer that is no float. Must: named."""

from attack import ANSWER, Honest

ALONE = True
ONCE = True
EXPECT = "it must be finite"


class Model(Honest):
    def predict(self, test_set):
        return dict(ANSWER, mu_hat=10**400)
