"""Take leases on libraries, which would hold up the trusted process. Must: refused."""

import fcntl
import os

import numpy as np
from attack import CONFIG, Honest, must_fail


class Model(Honest):
    def fit(self):
        library = os.open(np.__file__, os.O_RDONLY)
        must_fail("lease", fcntl.fcntl, library, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        own = os.open("leased", os.O_RDWR | os.O_CREAT)
        must_fail("own lease", fcntl.fcntl, own, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        here = os.open(".", os.O_RDONLY)
        must_fail("notice", fcntl.fcntl, here, fcntl.F_NOTIFY, fcntl.DN_CREATE)
        must_fail("outside", os.open, CONFIG["output"], os.O_RDONLY | os.O_DIRECTORY)
