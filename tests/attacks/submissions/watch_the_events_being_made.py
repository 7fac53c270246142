"""Look at the shared memory while the next events are made. Must: no primaries but final ones.

Unshifted values, or events of one process next to each other, would tell nuisances and labels. The
derived quantities may be seen half computed, since they follow from final primaries.
"""

import contextlib
import mmap
import os
import threading

import numpy as np
from attack import Honest, must_be_false

N_PRIMARIES, STEP = 16, 97


class Model(Honest):
    memory = None
    before = None

    def predict(self, test_set):
        n = len(test_set["data"])
        if self.memory is not None:
            self.stop.set()
            self.thread.join()
            primaries = self.memory[: N_PRIMARIES * n : STEP]
            allowed = set(primaries.tolist()) | self.before | {0.0}
            seen = {
                v for one in self.seen for v in np.frombuffer(one, np.float32)[: primaries.size]
            }
            must_be_false("passing values", {v for v in seen if v not in allowed and v == v})
        else:
            for name in os.listdir("/proc/self/fd"):
                with contextlib.suppress(OSError):
                    if "memfd:higgsml" in os.readlink(f"/proc/self/fd/{name}"):
                        block = mmap.mmap(int(name), 0, mmap.MAP_SHARED, mmap.PROT_READ)
                        self.memory = np.frombuffer(block, np.float32)
        self.before, self.seen = set(self.memory[::STEP].tolist()), set()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()
        return super().predict(test_set)

    def look(self):
        while not self.stop.wait(0.0005):
            self.seen.add(self.memory[::STEP].tobytes())
