"""Execute a new program in place of a child, to shed the restrictions. Must: they stay."""

import resource
import subprocess

from attack import CONFIG, Honest, must_be_false, must_fail


class Model(Honest):
    def fit(self):
        must_fail(
            "sh", lambda: subprocess.run(["/bin/sh", "-c", f"cat {CONFIG['secret']}"], check=True)
        )
        must_fail("raise limits", resource.setrlimit, resource.RLIMIT_CORE, (1, 1))
        must_be_false("core dumps", resource.getrlimit(resource.RLIMIT_CORE) != (0, 0))
