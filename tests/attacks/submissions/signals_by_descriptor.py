"""Have the kernel signal the trusted process for us. Must: refused."""

import fcntl
import os
import signal

from attack import PARENT, Honest, must_fail


class Model(Honest):
    def fit(self):
        reader, _ = os.pipe()
        must_fail("owner", fcntl.fcntl, reader, fcntl.F_SETOWN, PARENT)
        must_fail("signal", fcntl.fcntl, reader, 10, signal.SIGKILL)
        must_fail("terminal", fcntl.ioctl, 0, 0x5412, b"x")
