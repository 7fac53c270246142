"""List and open shared memory of others. Must: no list, no name of the trusted side."""

import contextlib
import os
from multiprocessing import shared_memory

from attack import Honest, must_be_false, must_fail


class Model(Honest):
    def fit(self):
        before = set()
        with contextlib.suppress(OSError):
            before = {n for n in os.listdir("/dev/shm") if "higgsml" in n}
        must_be_false("names", before)
        for name in ("higgsml", "psm_higgsml", "events"):
            must_fail(name, shared_memory.SharedMemory, name)
