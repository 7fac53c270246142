"""Call the kernel by its 32-bit entry, which has other numbers. Must: refused."""

import ctypes
import mmap
import os

from attack import Honest, libc, must_be_false, must_fail

CODE = bytes.fromhex("b814000000cd80c3")  # mov eax, 20 (getpid); int 0x80; ret
X32_GETPID = 0x40000000 | 39


class Model(Honest):
    def fit(self):
        if os.uname().machine != "x86_64":
            must_be_false("no such entry", False)
            return
        child = os.fork()
        if child == 0:  # a kernel without that entry ends it
            memory = mmap.mmap(-1, 4096, prot=7)
            memory.write(CODE)
            address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
            os._exit(1 if ctypes.CFUNCTYPE(ctypes.c_int)(address)() > 0 else 0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        must_be_false("answered", status == 1)
        must_fail("x32", libc, "syscall", X32_GETPID)
