"""Leave files in /dev/shm for whoever comes later. Must: be gone after the run."""

import os

from attack import ANSWER, Honest, must_be_false

ALONE = True


class Model(Honest):
    def fit(self):
        with open("/dev/shm/attack-left", "w+b") as file:
            file.write(b"what I have seen")
        descriptor = os.open("/dev/shm/attack-closed", os.O_CREAT | os.O_RDWR, 0)
        os.close(descriptor)

    def predict(self, test_set):
        must_be_false("left by another run", False)
        return dict(ANSWER)
