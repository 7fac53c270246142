"""Print sequences that rewrite a terminal's lines. Must: replaced in the log."""

import os

from attack import Honest, must_be_false

ALONE = True
ONCE = True


class Model(Honest):
    def fit(self):
        os.write(1, b"\x1b[2J\x1b[31mESCAPED\rINFO: ingestion finished\x07\n")
        must_be_false("nothing", False)
