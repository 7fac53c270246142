"""Answer a complex number. Must: named."""

from attack import ANSWER, Honest

ALONE = True
ONCE = True
EXPECT = "mu_hat as complex"


class Model(Honest):
    def predict(self, test_set):
        return dict(ANSWER, mu_hat=1j)
