"""Ask the kernel for facts about the trusted process that need no file. Must: refused."""

import ctypes
import os

from attack import PARENT, Honest, libc, must_fail, syscall

GET_ROBUST_LIST = {"x86_64": 274, "aarch64": 100}


class Model(Honest):
    def fit(self):
        head, size = ctypes.c_void_p(), ctypes.c_size_t()
        number = GET_ROBUST_LIST[os.uname().machine]
        must_fail(
            "address", libc, "syscall", number, PARENT, ctypes.byref(head), ctypes.byref(size)
        )
        must_fail("same memory", syscall, "kcmp", os.getpid(), PARENT, 1, 0, 0)
        must_fail("pages", syscall, "move_pages", PARENT, 0, None, None, None, 0)
        must_fail("counters", syscall, "perf_event_open", bytes(128), PARENT, -1, -1, 0)
        must_fail("limits", syscall, "prlimit64", PARENT, 7, None, bytes(16))
        must_fail("time", libc, "clock_gettime", ~PARENT << 3 | 2, ctypes.create_string_buffer(16))
