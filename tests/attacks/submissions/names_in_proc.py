"""Read what the names in /proc tell of the trusted process. Must: be closed with namespaces."""

import os

from attack import PARENT, Honest, must_be_false, must_fail

PRIVATE = os.stat("/proc/self/ns/user").st_ino != 4026531837


class Model(Honest):
    def fit(self):
        for name in ("fd", "task", "fdinfo", "map_files", "mem", "environ", "maps", "net/unix"):
            path = f"/proc/{PARENT}/{name}"
            must_fail(f"open {name}", open, path)
            if PRIVATE:
                must_fail(f"list {name}", os.listdir, path)
                must_fail(f"count {name}", os.stat, path)
                around = f"/proc/self/task/../../{PARENT}/{name}"
                must_fail(f"the other way {name}", os.stat, around)
        must_be_false("names without namespaces are stated in SECURITY.md", False)
