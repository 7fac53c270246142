"""Fill the disk with many files. Must: the budget's message."""

import time

from attack import Honest

ALONE = True
EXPECT = "of its budget|in temporary files; its budget is 64.0 MB"


class Model(Honest):
    def fit(self):
        for number in range(1000):
            with open(f"file{number}", "wb") as file:
                file.write(bytes(8 << 20))
        time.sleep(100)
