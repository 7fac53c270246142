"""Never finish __del__. Must: the run ends all the same."""

from attack import Honest, must_be_false

ALONE = True
EXPECT = "completes"


class Model(Honest):
    def fit(self):
        must_be_false("nothing", False)

    def __del__(self):
        while True:
            pass
