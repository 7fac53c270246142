"""Answer NaN. Must: named."""

from attack import ANSWER, Honest

ALONE = True
ONCE = True
EXPECT = "mu_hat = nan: it must be finite"


class Model(Honest):
    def predict(self, test_set):
        return dict(ANSWER, mu_hat=float("nan"))
