"""Leave session and process group, to survive the end. Must: refused."""

import os
import subprocess

from attack import Honest, must_be_false, must_fail


class Model(Honest):
    def fit(self):
        must_fail("session", os.setsid)
        must_fail("group", os.setpgid, 0, 0)
        must_fail("program", subprocess.Popen, ["sleep", "1"], start_new_session=True)
        must_fail("setsid", lambda: subprocess.run(["setsid", "--wait", "sleep", "0"], check=True))
        must_be_false("left", os.getpgrp() != os.getsid(0))
