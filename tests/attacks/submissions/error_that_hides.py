"""Fail with an error whose text raises another one. Must: named all the same."""

from attack import Honest

ALONE = True
ONCE = True
EXPECT = "can not be shown"


class Model(Honest):
    def fit(self):
        class Hidden(Exception):
            def __str__(self):
                raise SystemExit(0)

            __repr__ = __str__

            @property
            def __traceback__(self):
                raise SystemExit(0)

        raise Hidden
