"""Send a pickled state nobody asked for. Must: refused, never unpickled."""

import pickle
import time

from attack import Honest, channel, frame, send

ALONE = True
ONCE = True
EXPECT = "broke the protocol"


class Model(Honest):
    def fit(self):
        send(frame({"kind": "state", "request": channel()[1]}, pickle.dumps(print)))
        time.sleep(60)
