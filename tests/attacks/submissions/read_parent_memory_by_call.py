"""Read and write the trusted process's memory by system call. Must: refused."""

import ctypes
import struct

from attack import PARENT, Honest, libc, must_fail


class Model(Honest):
    def fit(self):
        memory = ctypes.create_string_buffer(8)
        local = struct.pack("=QQ", ctypes.addressof(memory), 8)
        remote = struct.pack("=QQ", 0x400000, 8)
        must_fail("read", libc, "process_vm_readv", PARENT, local, 1, remote, 1, 0)
        must_fail("write", libc, "process_vm_writev", PARENT, local, 1, remote, 1, 0)
