"""Answer nothing. Must: named."""

from attack import Honest

ALONE = True
ONCE = True
EXPECT = "not NoneType"


class Model(Honest):
    def predict(self, test_set):
        return None
