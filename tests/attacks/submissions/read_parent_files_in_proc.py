"""Read the trusted process's environment, command line and maps. Must: refused."""

import os

from attack import PARENT, Honest, must_fail


class Model(Honest):
    def fit(self):
        for name in ("environ", "cmdline", "maps", "status", "stat", "mem", "auxv", "io", "stack"):
            must_fail(name, open, f"/proc/{PARENT}/{name}", "rb")
        for name in ("cwd", "exe", "root"):
            must_fail(name, os.listdir, f"/proc/{PARENT}/{name}/.")
