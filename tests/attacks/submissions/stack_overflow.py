"""Overflow the stack of the interpreter. Must: named."""

import sys

from attack import Honest, libc

ALONE = True
ONCE = True
EXPECT = "ended by SIGSEGV|RecursionError"


class Model(Honest):
    def fit(self):
        sys.setrecursionlimit(10**9)

        class Deep:
            def __getattr__(self, name):
                return getattr(self, name + "x")

        libc("raise", 11)
