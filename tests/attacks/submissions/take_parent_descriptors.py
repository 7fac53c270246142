"""Copy a descriptor of the trusted process by pidfd. Must: refused."""

import os

from attack import PARENT, Honest, must_fail, syscall


class Model(Honest):
    def fit(self):
        must_fail("pidfd_open", syscall, "pidfd_open", PARENT, 0)
        must_fail("pidfd_getfd", syscall, "pidfd_getfd", 3, 3, 0)
        must_fail("kcmp", syscall, "kcmp", os.getpid(), PARENT, 0, 0, 0)
