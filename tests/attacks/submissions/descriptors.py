"""Open files until nothing more is given. Must: an error here, no harm to the trusted process."""

import os

from attack import Honest, must_fail


class Model(Honest):
    def fit(self):
        held = []

        def flood():
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))

        must_fail("flood", flood)
        for one in held:
            os.close(one)
