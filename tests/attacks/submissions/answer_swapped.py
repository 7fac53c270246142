"""Answer a swapped interval. Must: complete; scoring counts it as a miss, and says so."""

from attack import ANSWER, Honest, say

ALONE = True
ONCE = True


class Model(Honest):
    def predict(self, test_set):
        say("refused", "a gain", "scoring counts a swapped interval as a miss")
        return dict(ANSWER, p16=1.1, p84=0.9)
