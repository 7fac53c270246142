"""Memory that forked processes share, as ``mmap.mmap(-1, size)`` makes it, where it is counted.

A shared mapping without a file is refused: it would be memory that nobody sees. One of a file
without a name does the same for its processes.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Any

__all__ = ["map_files_instead"]

_SHARED_MEMORY = "/dev/shm"  # noqa: S108 (the fixed place of POSIX shared memory)
_Original = mmap.mmap


def map_files_instead() -> None:
    """Have :class:`mmap.mmap` map a file in memory where it is asked for none."""
    mmap.mmap = _Mapping  # type: ignore[misc]


class _Mapping(_Original):
    """A mapping of a file, or of memory that is shared with processes to be forked."""

    def __new__(
        cls, fileno: int, length: int, flags: int = mmap.MAP_SHARED, *others: Any, **keywords: Any
    ) -> _Mapping:
        if fileno != -1 or not flags & mmap.MAP_SHARED:
            return super().__new__(cls, fileno, length, flags, *others, **keywords)
        if keywords.get("prot", others[0] if others else 0) & mmap.PROT_EXEC:
            # Code that is made at run time; nothing in /dev/shm can be executed.
            flags = flags & ~mmap.MAP_SHARED | mmap.MAP_PRIVATE
            return super().__new__(cls, fileno, length, flags, *others, **keywords)
        directory = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
        with tempfile.TemporaryFile(dir=directory) as file:
            file.truncate(length)
            flags &= ~mmap.MAP_ANONYMOUS
            return super().__new__(cls, file.fileno(), length, flags, *others, **keywords)


_Mapping.__name__ = _Mapping.__qualname__ = "mmap"
_Mapping.__module__ = "mmap"
