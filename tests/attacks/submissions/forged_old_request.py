"""Answer with the number of an earlier request. Must: refused."""

import time

from attack import Honest, frame, prediction, send

ALONE = True
ONCE = True
EXPECT = "answers another request"


class Model(Honest):
    def predict(self, test_set):
        send(frame(prediction(request=1)))
        time.sleep(60)
