"""Make namespaces and mounts of its own. Must: refused."""

import os
import subprocess

from attack import Honest, libc, must_fail, syscall


class Model(Honest):
    def fit(self):
        for flag in (0x10000000, 0x40000000, 0x20000, 0x20000000):
            must_fail(hex(flag), libc, "unshare", flag)
        must_fail("mount", libc, "mount", b"none", b"/tmp", b"tmpfs", 0, None)
        must_fail("chroot", os.chroot, "/")
        must_fail("setns", syscall, "setns", 0, 0)
        must_fail("program", lambda: subprocess.run(["unshare", "-r", "id"], check=True))
