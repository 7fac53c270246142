"""Attach to the trusted process as a debugger. Must: refused."""

from attack import PARENT, Honest, libc, must_fail


class Model(Honest):
    def fit(self):
        for request in (16, 0x4206):
            must_fail(hex(request), libc, "ptrace", request, PARENT, 0, 0)
