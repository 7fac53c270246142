"""Answer with an integer of 100,000 digits. Must: refused."""

import json
import time

from attack import Honest, frame, prediction, send

ALONE = True
ONCE = True
EXPECT = "not valid JSON|finite"


class Model(Honest):
    def predict(self, test_set):
        body = json.dumps(prediction(mu_hat=0)).replace('"mu_hat": 0', '"mu_hat": ' + "9" * 100_000)
        send(frame(body.encode()))
        time.sleep(60)
