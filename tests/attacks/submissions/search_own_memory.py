"""Search this process's whole memory for a secret of the trusted one. Must: not found."""

import contextlib
import re

from attack import CONFIG, Honest, must_be_false


class Model(Honest):
    def fit(self):
        found, pattern = [], re.compile(CONFIG["canary_pattern"].encode())
        with open("/proc/self/mem", "rb", 0) as memory:
            for line in open("/proc/self/maps"):
                fields = line.split()
                if not fields[1].startswith("r") or fields[-1] in ("[vvar]", "[vsyscall]"):
                    continue
                start, end = (int(part, 16) for part in fields[0].split("-"))
                if end - start > 1 << 27:
                    continue
                with contextlib.suppress(OSError):
                    memory.seek(start)
                    found += pattern.findall(memory.read(end - start))
        must_be_false("canary", found)
