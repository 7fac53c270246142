"""Hide files in a directory that can not be listed. Must: noticed, and removed in the end."""

import os
import time

from attack import Honest, must_be_false

ALONE = True
EXPECT = "hid temporary files|completes"


class Model(Honest):
    def fit(self):
        os.mkdir("closed", 0o300)
        with open("closed/file", "wb") as file:
            file.write(bytes(1000))
        must_be_false("nothing", False)
        time.sleep(2)
