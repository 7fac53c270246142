"""Answer an object whose __float__ attacks. Must: it runs in the cage only."""

from attack import ANSWER, CONFIG, Honest, must_fail

ALONE = True
ONCE = True
EXPECT = "completes|mu_hat as|failed in predict"


class Model(Honest):
    def predict(self, test_set):
        return dict(ANSWER, mu_hat=Hostile())


class Hostile(float):
    def __float__(self):
        must_fail("secret", open, CONFIG["secret"])
        return 1.0
