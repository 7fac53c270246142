"""Open files to everyone and change their times. Must: nothing changes."""

import contextlib
import os

from attack import CONFIG, Honest, must_be_false, must_fail


class Model(Honest):
    def fit(self):
        before = os.stat(CONFIG["secret"])
        with contextlib.suppress(OSError):
            os.chmod(CONFIG["secret"], 0o777)
        with contextlib.suppress(OSError):
            os.utime(CONFIG["secret"], (1, 1))
        must_fail("owner", os.chown, CONFIG["secret"], 12345, 12345)
        after = os.stat(CONFIG["secret"])
        must_be_false(
            "changed", (after.st_mode, after.st_mtime) != (before.st_mode, before.st_mtime)
        )
