"""Punch holes into the shared events, or make them writable later. Must: refused."""

import contextlib
import mmap
import os

from attack import Honest, libc, must_fail

PUNCH_HOLE_KEEP_SIZE = 3
MADV_REMOVE = 9


class Model(Honest):
    def predict(self, test_set):
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                number = int(name)
                if "memfd:higgsml" not in os.readlink(f"/proc/self/fd/{name}"):
                    continue
                must_fail("hole", libc, "fallocate", number, PUNCH_HOLE_KEEP_SIZE, 0, 4096)
                memory = mmap.mmap(number, 4096, mmap.MAP_SHARED, mmap.PROT_READ)
                must_fail("remove", memory.madvise, MADV_REMOVE)
                address = libc("mmap", 0, 4096, 1, 1, number, 0)
                must_fail("protection", libc, "mprotect", address, 4096, 3)
        return super().predict(test_set)
