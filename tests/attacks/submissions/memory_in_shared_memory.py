"""Keep memory in files of /dev/shm that nobody has mapped. Must: be ended by the budget."""

import os

from attack import Honest

ALONE = True
EXCLUSIVE = True  # whose files they are is not told: all that is in /dev/shm counts
EXPECT = "BudgetError: the submission used .* of memory; its budget is 1.0 GB|No space left"


class Model(Honest):
    def fit(self):
        for number in range(80):
            name = f"/dev/shm/attack-memory-{number}"
            with open(name, "w+b") as file:
                file.write(bytes(32 << 20))
            if number % 2:  # without a name, held open only
                self.__dict__[name] = os.open(name, os.O_RDWR)
                os.unlink(name)
        raise OSError("never ended")
