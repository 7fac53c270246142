"""Make empty files without end. Must: the budget's message."""

from attack import Honest

ALONE = True
ONCE = True
EXPECT = "too many temporary files; its budget is 2,000"


class Model(Honest):
    def fit(self):
        for number in range(10**9):
            open(f"f{number}", "wb").close()
