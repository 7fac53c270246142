"""Run code where the fitted model is unpickled. Must: only in another restricted process."""

import os

from attack import CONFIG, Honest, must_fail

ALONE = True
EXPECT = "completes"
WORKERS = 2


class Model(Honest):
    def fit(self):
        self.payload = Payload()


class Payload:
    def __reduce__(self):
        return (spring, ())


def spring():
    must_fail("in the trusted process", open, os.path.join(CONFIG["output"], "result_0.json"), "w")
    must_fail("secret", open, CONFIG["secret"])
    return 1
