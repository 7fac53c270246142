"""Bring sitecustomize.py and a .pth file. Must: they do nothing."""

import sys

from attack import Honest, must_be_false

ALONE = True
ONCE = True
EXPECT = "completes"
FILES = {
    "sitecustomize.py": "raise SystemExit('site')",
    "usercustomize.py": "raise SystemExit('user')",
    "evil.pth": "import os; os._exit(3)",
    "conftest.py": "raise SystemExit",
    "__init__.py": "1/0",
}


class Model(Honest):
    def fit(self):
        must_be_false("imported", "usercustomize" in sys.modules)
