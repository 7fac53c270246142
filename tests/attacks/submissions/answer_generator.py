"""Answer a generator. Must: named."""

from attack import ANSWER, Honest

ALONE = True
ONCE = True
EXPECT = "not generator"


class Model(Honest):
    def predict(self, test_set):
        return (one for one in ANSWER.items())
