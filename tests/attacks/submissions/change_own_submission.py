"""Rewrite model.py for the next run. Must: change a copy of its own only."""

import os
from pathlib import Path

from attack import CONFIG, Honest, must_be_false, must_fail

HERE = Path(__file__).resolve().parent


class Model(Honest):
    def fit(self):
        Path(__file__).write_text("raise SystemExit")
        (HERE / "json.py").write_text("raise SystemExit")
        os.mkdir(HERE / "saved")
        original = Path(CONFIG["submission"])
        must_be_false("the original's folder", HERE == original)
        must_fail("rewrite", open, original / "model.py", "w")
        must_fail("new file", open, original / "json.py", "w")
        must_fail("read", os.listdir, original)
