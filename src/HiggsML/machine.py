"""What this machine has."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

__all__ = ["NO_LIMIT", "machine_memory", "process_memory"]

NO_LIMIT = 1 << 62
"""Memory where its size can not be told [bytes]."""

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def machine_memory() -> int:
    """Return the memory of this machine, or of this container if it has less [bytes].

    Where it can not be told (Windows), it is taken as without limit: :data:`NO_LIMIT`.
    """
    if not hasattr(os, "sysconf"):
        return NO_LIMIT
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in _CGROUP_LIMITS:
        try:
            text = Path(name).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if text.isdigit():
            limits.append(int(text))
    return min(value for value in limits if value > 0)


def process_memory(pid: int | str = "self") -> tuple[int, int]:
    """Return the memory of a process, and the part of it that belongs to files [bytes].

    Pages count in every process that has mapped them. Both are 0 where nobody tells.
    """
    try:
        fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0, 0
    return int(fields[1]) * mmap.PAGESIZE, int(fields[2]) * mmap.PAGESIZE
