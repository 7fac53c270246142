"""Start threads without end. Must: the budget's message, or an error here."""

import threading
import time

from attack import Honest

ALONE = True
EXPECT = "processes and threads|start new thread"


class Model(Honest):
    def fit(self):
        while True:
            threading.Thread(target=time.sleep, args=(100,)).start()
