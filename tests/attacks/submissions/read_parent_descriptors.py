"""Open the trusted process's descriptors by /proc. Must: refused."""

import os

from attack import PARENT, Honest, must_fail


class Model(Honest):
    def fit(self):
        for number in range(12):
            must_fail(f"link {number}", os.readlink, f"/proc/{PARENT}/fd/{number}")
            must_fail(str(number), os.open, f"/proc/{PARENT}/fd/{number}", os.O_RDONLY)
