"""Answer with true instead of a number. Must: refused."""

import time

from attack import Honest, frame, prediction, send

ALONE = True
ONCE = True
EXPECT = "is of type"


class Model(Honest):
    def predict(self, test_set):
        send(frame(prediction(mu_hat=True)))
        time.sleep(60)
