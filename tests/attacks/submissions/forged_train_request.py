"""Ask for training events in predict. Must: refused."""

from attack import Honest

ALONE = True
ONCE = True
EXPECT = "get_train_set can be called in"


class Model(Honest):
    def predict(self, test_set):
        self.get_train_set()
