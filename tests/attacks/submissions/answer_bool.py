"""Answer True. Must: named."""

from attack import ANSWER, Honest

ALONE = True
ONCE = True
EXPECT = "mu_hat as bool"


class Model(Honest):
    def predict(self, test_set):
        return dict(ANSWER, mu_hat=True)
