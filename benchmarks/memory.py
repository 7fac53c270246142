"""Memory of processes, from ``/proc``."""

import contextlib
from pathlib import Path

INTERVAL = 0.2  # s between samples


def peak_of_this_process():
    """Peak resident memory [MB].

    Not ``ru_maxrss``: that of a new process starts with what its parent had when it forked.
    """
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("/proc/self/status does not say how much memory was used")


def private_and_shared(root):
    """Memory of a process and all below it [MB], without mapped files, shared pages counted once.

    Processes that have gone, or may not be looked at, count as nothing.
    """
    total, todo = 0, [root]
    while todo:
        pid = todo.pop()
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                    total += int(line.split()[1])
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                todo += map(int, (thread / "children").read_text().split())
    return total / 1024
