"""Get a descriptor of the trusted process from the channel's socket, and use it. Must: refused."""

import os
import signal
import socket

from attack import Honest, channel, must_fail, syscall

SO_PEERPIDFD = 77


class Model(Honest):
    def fit(self):
        try:
            pidfd = channel()[0].getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
        except OSError:
            pidfd = 0  # the kernel is older: any number will do
        must_fail("signal", signal.pidfd_send_signal, pidfd, signal.SIGKILL)
        must_fail("descriptor", syscall, "pidfd_getfd", pidfd, 0, 0)
        must_fail("namespace", syscall, "setns", pidfd, 0x40000000)
        must_fail("memory", syscall, "process_mrelease", pidfd, 0)
        must_fail("wait", os.waitid, 3, pidfd, os.WEXITED | os.WNOHANG)
