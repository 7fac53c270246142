"""Read the shared memory behind the last event. Must: nothing but zeros on the first time."""

import contextlib
import mmap
import os

import numpy as np
from attack import Honest, must_be_false


class Model(Honest):
    seen = False

    def predict(self, test_set):
        base = test_set["data"].to_numpy(copy=False).base
        if not self.seen:
            n = len(test_set["data"])
            for name in os.listdir("/proc/self/fd"):
                with contextlib.suppress(OSError, ValueError):
                    number = int(name)
                    if "memfd:higgsml" in os.readlink(f"/proc/self/fd/{name}"):
                        memory = mmap.mmap(number, 0, mmap.MAP_SHARED, mmap.PROT_READ)
                        tail = np.frombuffer(memory, np.float32)[28 * n :]
                        must_be_false("behind", bool(tail.any()))
            self.seen = True
        return super().predict(test_set)
