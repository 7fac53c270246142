"""Smuggle further keys into an answer. Must: refused."""

import time

from attack import Honest, frame, prediction, send

ALONE = True
ONCE = True
EXPECT = "other keys"


class Model(Honest):
    def predict(self, test_set):
        send(frame(prediction(score=1)))
        time.sleep(60)
