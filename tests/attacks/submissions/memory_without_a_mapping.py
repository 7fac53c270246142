"""Make shared memory that no mapping shows any more. Must: be refused."""

import mmap

from attack import Honest, libc, must_fail, syscall

FLAGS = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS


class Model(Honest):
    def fit(self):
        must_fail("shared and anonymous", libc, "mmap", 0, 1 << 20, 3, FLAGS, -1, 0)
        must_fail("validated", libc, "mmap", 0, 1 << 20, 3, FLAGS | 3, -1, 0)
        must_fail("by the device", open, "/dev/zero", "rb")
        must_fail("a file in memory", syscall, "memfd_create", b"x", 0)
