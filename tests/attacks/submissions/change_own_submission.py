"""Rewrite model.py for the next worker, or leave byte code. Must: refused."""

import os
from pathlib import Path

from attack import Honest, must_fail


class Model(Honest):
    def fit(self):
        must_fail("rewrite", open, __file__, "w")
        must_fail("new file", open, Path(__file__).parent / "json.py", "w")
        must_fail("cache", os.mkdir, Path(__file__).parent / "__pycache__")
