"""Leave a message in what of which file is in memory. Must: not be told what is."""

import ctypes
import mmap
import os
import sys

from attack import Honest, libc, must_be_false, must_fail

RWF_NOWAIT, SYS_CACHESTAT = 8, 451


class Model(Honest):
    def fit(self):
        file = os.open(sys.executable, os.O_RDONLY)
        must_fail("read without waiting", os.preadv, file, [bytearray(4096)], 0, RWF_NOWAIT)
        memory = mmap.mmap(file, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        address = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
        states = ctypes.create_string_buffer(16)
        must_fail("mincore", libc, "mincore", address, 4096, states)
        extent, found = (ctypes.c_uint64 * 2)(0, 4096), (ctypes.c_uint64 * 5)()
        must_fail("cachestat", libc, "syscall", SYS_CACHESTAT, file, extent, found, 0)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)  # reports success, does nothing
        must_be_false("anything told", any(states.raw) or any(found))
