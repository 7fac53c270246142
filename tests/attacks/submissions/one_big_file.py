"""Write a file larger than the budget, sparse or not. Must: refused by the kernel."""

import contextlib
import os

from attack import Honest, must_fail


class Model(Honest):
    def fit(self):
        def grow():
            with open("big", "wb") as file:
                file.truncate(1 << 40)

        must_fail("sparse", grow)
        with contextlib.suppress(OSError):
            os.unlink("big")
