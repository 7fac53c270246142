"""Look for open files that came with the process. Must: only pipes and the channel."""

import contextlib
import os

from attack import CONFIG, Honest, must_be_false


class Model(Honest):
    def fit(self):
        foreign = []
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/self/fd/{name}")
                if target.startswith("/") and not target.startswith(("/proc/", "/dev/", "/sys/")):
                    foreign.append(target)
        places = (CONFIG["input"], CONFIG["output"], os.path.dirname(CONFIG["secret"]))
        must_be_false("descriptors", [one for one in foreign if one.startswith(places)])
