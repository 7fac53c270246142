"""Reserve more address space than the machine has. Must: MemoryError here."""

import mmap

import numpy as np
from attack import Honest, must_fail


class Model(Honest):
    def fit(self):
        must_fail("reserve", np.empty, 1 << 43, np.uint8)
        must_fail("map", mmap.mmap, -1, 1 << 44)
