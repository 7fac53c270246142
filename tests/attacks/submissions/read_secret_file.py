"""Read a file of the trusted user by every name that /proc gives it. Must: refused."""

import os
import subprocess

from attack import CONFIG, PARENT, Honest, must_fail


class Model(Honest):
    def fit(self):
        for prefix in ("", "/proc/self/root", f"/proc/{PARENT}/root", "/proc/thread-self/root"):
            must_fail(prefix, open, prefix + CONFIG["secret"])
        must_fail("chdir", lambda: open(os.path.relpath(CONFIG["secret"])))
        must_fail("cat", lambda: subprocess.run(["cat", CONFIG["secret"]], check=True))
