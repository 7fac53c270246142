"""Start Python with PYTHONPATH and LD_PRELOAD of its own. Must: still restricted."""

import os
import subprocess
import sys
from pathlib import Path

from attack import CONFIG, Honest, must_fail


class Model(Honest):
    def fit(self):
        Path("sitecustomize.py").write_text("import os; print('in a new process')")
        environment = dict(os.environ, PYTHONPATH=os.getcwd(), LD_PRELOAD="", PYTHONSTARTUP="x")
        code = f"open({CONFIG['secret']!r})"
        must_fail(
            "new process",
            lambda: subprocess.run(
                [sys.executable, "-c", code], env=environment, check=True, stderr=subprocess.DEVNULL
            ),
        )
