"""Stop, end or disturb the trusted process. Must: refused."""

import os
import signal

from attack import CONFIG, PARENT, Honest, must_fail, syscall


class Model(Honest):
    def fit(self):
        for number in (0, signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1):
            must_fail(str(number), os.kill, PARENT, number)
        must_fail("group", os.killpg, CONFIG["group"], signal.SIGKILL)
        must_fail("everything", os.kill, -1, 0)
        must_fail("thread", syscall, "tgkill", PARENT, PARENT, 9)
        must_fail("init", os.kill, 1, signal.SIGTERM)
