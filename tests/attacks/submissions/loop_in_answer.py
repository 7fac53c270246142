"""Return a mapping that never ends. Must: the budget's message."""

from attack import ANSWER, Honest

ALONE = True
ONCE = True
EXPECT = "one prediction took longer than its budget"
PREDICT_SECONDS = 2


class Model(Honest):
    def predict(self, test_set):
        class Endless(dict):
            def __contains__(self, key):
                while True:
                    pass

        return Endless(ANSWER)
