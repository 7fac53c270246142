"""Never finish the import. Must: the budget's message."""

from attack import Honest

ALONE = True
EXPECT = "import and fit took longer than its budget"
FIT_SECONDS = 4


while __name__ == "model":
    pass


class Model(Honest):
    pass
