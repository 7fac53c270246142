"""Ask for training events without end, and keep the memory. Must: the budget's message."""

from attack import Honest

ALONE = True
ONCE = True
EXPECT = "get_train_set 65 times; its budget is 64"


class Model(Honest):
    def fit(self):
        self.kept = [self.get_train_set(train_size=10) for _ in range(1000)]
