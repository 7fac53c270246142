"""Never finish the second prediction. Must: the budget's message, and how far it came."""

from attack import Honest

ALONE = True
EXPECT = "one prediction took longer than its budget of 2 s .1 of 4 predictions"
PREDICT_SECONDS = 2


class Model(Honest):
    count = 0

    def predict(self, test_set):
        self.count += 1
        while self.count > 1:
            pass
        return super().predict(test_set)
