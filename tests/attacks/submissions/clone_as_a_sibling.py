"""Make a process that belongs to the trusted one, or to other namespaces. Must: refused."""

import ctypes

from attack import Honest, libc, must_be_false, must_fail, syscall

CLONE_PARENT, CLONE_NEWUSER, CLONE_NEWPID, SIGCHLD = 0x8000, 0x10000000, 0x20000000, 17
PR_SET_PDEATHSIG, PR_GET_PDEATHSIG = 1, 2


class Model(Honest):
    def fit(self):
        for flags in (CLONE_PARENT, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWUSER | 1 << 40):
            must_fail(hex(flags), syscall, "clone", flags | SIGCHLD, 0, 0, 0, 0)
        arguments = CLONE_PARENT.to_bytes(8, "little") + bytes(80)
        must_fail("clone3", syscall, "clone3", arguments, len(arguments))
        libc("prctl", PR_SET_PDEATHSIG, 0, 0, 0, 0)
        found = ctypes.c_int(0)
        libc("prctl", PR_GET_PDEATHSIG, ctypes.byref(found), 0, 0, 0)
        must_be_false("survives its parent", found.value != 9)
        must_fail("executable data", libc, "personality", 0x0400000)
        must_fail("privileges again", libc, "prctl", 38, 0, 0, 0, 0)
        must_fail("capability", libc, "prctl", 47, 2, 21, 0, 0)
