"""Become another user, or run programs that do. Must: no capability, no new privileges."""

import os
import re
import subprocess

from attack import Honest, must_be_false, must_fail


class Model(Honest):
    def fit(self):
        status = open("/proc/self/status").read()
        must_be_false("capabilities", re.findall(r"Cap(?:Eff|Prm|Amb):\s*0*([1-9a-f]\w*)", status))
        must_be_false("new privileges", "NoNewPrivs:\t1" not in status)
        must_fail("user", os.setuid, 54321)
        must_fail("root", lambda: os.setgroups([0, 1, 2]))
        must_fail("su", lambda: subprocess.run(["su", "-c", "id"], check=True, timeout=10))
