"""Read the pipe of the own output, to starve its reader. Must: the run goes on."""

import os
import time

from attack import Honest, must_be_false

ALONE = True
ONCE = True


class Model(Honest):
    def fit(self):
        must_be_false("nothing", False)
        time.sleep(2)  # until that has been read: on a busy machine it is stolen, too
        for _ in range(3):
            if os.fork() == 0:
                reader = os.open("/proc/self/fd/1", os.O_RDONLY)
                while True:
                    os.read(reader, 1 << 16)
        for _ in range(1000):
            os.write(1, b"x" * 100 + b"\n")
