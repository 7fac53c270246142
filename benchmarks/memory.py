"""Memory of processes, from ``/proc``, and what a whole command takes."""

import contextlib
import resource
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple

INTERVAL = 0.2  # s between samples, at least
REST = 50  # times what a sample took, before the next: walking large tables costs the run time


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


class Cost(NamedTuple):
    """What a command took: processor time and time on the clock [s], peak memory [MB].

    Processor time is that of all processes together, which other load on the machine hardly
    changes; so is the memory, as :func:`private_and_shared` counts it.
    """

    processor: float
    clock: float
    memory: float


def cost_of(command):
    """Run a command, whose progress stays visible, and return its cost.

    Raises
    ------
    SystemExit
        If the command fails.
    """
    command = [str(word) for word in command]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peaks, ended = [0.0], threading.Event()

    def watch():
        pause = INTERVAL
        while not ended.wait(pause):
            began = time.perf_counter()
            peaks.append(private_and_shared(process.pid))
            pause = max(INTERVAL, REST * (time.perf_counter() - began))

    watcher = threading.Thread(target=watch)
    watcher.start()
    status = process.wait()
    clock = time.perf_counter() - start
    ended.set()
    watcher.join()
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {status}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(seconds, clock, max(peaks))
