"""Answer a number that the platform refuses. Must: named."""

from attack import ANSWER, Honest

ALONE = True
ONCE = True
EXPECT = "magnitudes up to 10000 are allowed"


class Model(Honest):
    def predict(self, test_set):
        return dict(ANSWER, mu_hat=1e9)
