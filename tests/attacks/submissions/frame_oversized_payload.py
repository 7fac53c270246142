"""Announce a payload of 16 EB. Must: refused before memory is taken."""

import json
import time

from attack import Honest, channel, frame, send

ALONE = True
ONCE = True
EXPECT = "over the limit"


class Model(Honest):
    def fit(self):
        body = json.dumps({"kind": "fitted", "request": channel()[1]}).encode()
        send(frame(body, sizes=(len(body), 2**64 - 1)))
        time.sleep(60)
