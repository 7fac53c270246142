"""Never finish fit, holding the interpreter's lock. Must: the budget's message."""

import re

from attack import Honest

ALONE = True
ONCE = True
EXPECT = "import and fit took longer than its budget"
FIT_SECONDS = 4


class Model(Honest):
    def fit(self):
        re.match(r"(a+)+$", "a" * 64 + "b")
