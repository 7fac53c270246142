"""Pretend to be another program. Must: the watch still counts it (checked by the other attacks)."""

import os

from attack import Honest, libc, must_be_false

ALONE = True
ONCE = True


class Model(Honest):
    def fit(self):
        libc("prctl", 15, b") R 1 1 1 (", 0, 0, 0)
        must_be_false("group", os.getpgrp() != os.getsid(0))
