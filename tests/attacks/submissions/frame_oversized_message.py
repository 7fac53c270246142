"""Announce a message of 4 GB. Must: refused before memory is taken."""

import time

from attack import Honest, frame, send

ALONE = True
ONCE = True
EXPECT = "is over"


class Model(Honest):
    def fit(self):
        send(frame(b"{}", sizes=(0xFFFFFFFF, 0)))
        time.sleep(60)
