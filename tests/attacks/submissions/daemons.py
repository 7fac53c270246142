"""Leave processes that ignore every signal. Must: nothing is left."""

import contextlib
import os
import signal
import subprocess
import time

from attack import Honest, must_be_false

ALONE = True
EXPECT = "completes"


class Model(Honest):
    def fit(self):
        for _ in range(5):
            if os.fork() == 0:
                if os.fork() == 0:
                    for number in range(1, 32):
                        with contextlib.suppress(OSError, ValueError):
                            signal.signal(number, signal.SIG_IGN)
                    while True:
                        time.sleep(1000)
                os._exit(0)
        subprocess.Popen(["sleep", "271828"])
        must_be_false("nothing", False)
