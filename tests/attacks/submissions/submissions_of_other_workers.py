"""Reach the same submission's processes of other workers. Must: refused (else predict fails)."""

import os
import signal

from attack import Honest, libc

ALONE = True
WORKERS = 2


class Model(Honest):
    def predict(self, test_set):
        gained = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            if int(name) == os.getpid():
                continue
            for what, function in (
                ("signal", lambda n=name: os.kill(int(n), signal.SIGSTOP)),
                ("memory", lambda n=name: open(f"/proc/{n}/mem", "rb")),
                ("directory", lambda n=name: os.listdir(f"/proc/{n}/cwd/.")),
                ("trace", lambda n=name: libc("ptrace", 16, int(n), 0, 0)),
            ):
                try:
                    function()
                    gained.append((what, name))
                except OSError:
                    pass
        if gained:
            raise RuntimeError(f"GAINED {gained}")
        return super().predict(test_set)
