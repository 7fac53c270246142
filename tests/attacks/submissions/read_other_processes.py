"""Open files of any other process in /proc. Must: none can be opened."""

import contextlib
import os

from attack import Honest, must_be_false


class Model(Honest):
    def fit(self):
        own, opened = {str(os.getpid()), "self"}, []
        for name in os.listdir("/proc"):
            if name.isdigit() and name not in own:
                with contextlib.suppress(OSError):
                    opened.append(open(f"/proc/{name}/cmdline", "rb").read())
        must_be_false("opened", opened)
