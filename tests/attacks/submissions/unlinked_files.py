"""Fill the disk with files that have no name any more. Must: the budget's message."""

import os
import time

from attack import Honest

ALONE = True
EXCLUSIVE = True  # whose files they are is not told: the free space of the disk counts
EXPECT = "in temporary files; its budget is 64.0 MB"


class Model(Honest):
    def fit(self):
        self.held = []
        for number in range(12):
            self.held.append(open(f"file{number}", "wb"))
            os.unlink(f"file{number}")
            self.held[-1].write(os.urandom(8 << 20))
            self.held[-1].flush()
        time.sleep(100)
