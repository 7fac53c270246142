"""Answer arrays of all earlier experiments. Must: named."""

import numpy as np
from attack import ANSWER, Honest

ALONE = True
ONCE = True
EXPECT = "mu_hat as ndarray"


class Model(Honest):
    def predict(self, test_set):
        return dict(ANSWER, mu_hat=np.ones(4))
