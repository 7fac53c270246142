"""Rewrite the package, the libraries or the interpreter's start files. Must: refused."""

import os
import sys

import numpy as np
from attack import Honest, must_fail


class Model(Honest):
    def fit(self):
        import pwd

        import HiggsML

        must_fail("package", open, HiggsML.__file__, "a")
        for name in ("evil.pth", "sitecustomize.py", "usercustomize.py"):
            must_fail(name, open, os.path.join(os.path.dirname(np.__path__[0]), name), "w")
        home = pwd.getpwuid(os.getuid()).pw_dir
        must_fail("user site", os.makedirs, home + "/.local/lib/evil")
        must_fail("interpreter", open, sys.executable, "ab")
