"""Change the events in the memory shared with the trusted process. Must: refused."""

import contextlib
import mmap
import os

from attack import Honest, must_fail


class Model(Honest):
    def predict(self, test_set):

        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                number, target = int(name), os.readlink(f"/proc/self/fd/{name}")
                if "memfd:higgsml" not in target:
                    continue
                must_fail("map", mmap.mmap, number, 4096, mmap.MAP_SHARED, mmap.PROT_WRITE)
                must_fail("write", os.write, number, b"0")
                must_fail("shrink", os.ftruncate, number, 0)
                must_fail("grow", os.ftruncate, number, 1 << 30)
                # The name in /proc opens it once more; the seals belong to the memory itself.
                with open(f"/proc/self/fd/{name}", "r+b", buffering=0) as again:
                    must_fail("write again", again.write, b"0")
                    flags = mmap.MAP_SHARED, mmap.PROT_WRITE
                    must_fail("map again", mmap.mmap, again.fileno(), 4096, *flags)
                    must_fail("resize again", again.truncate, 1)
        return super().predict(test_set)
