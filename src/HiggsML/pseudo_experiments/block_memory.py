"""Memory for blocks of features that is used again when nobody holds a block any more.

A fresh block is a hundred megabytes that the system clears page by page while they are written.
"""

from __future__ import annotations

import sys
import threading

import numpy as np
from numpy.typing import NDArray

from HiggsML.schema import FEATURES

__all__ = ["BlockMemory"]

_KEPT = 2
_ROOM = 1.05
"""Share that is allocated beyond what is asked for: numbers of events fluctuate."""
_OWN_REFERENCES = 3
"""Of memory that nobody else holds: our list's, the loop's, and that of the counting function."""


class BlockMemory:
    """Gives blocks, in the memory of earlier ones where it is free; keeps at most two.

    Every view of a block, a frame or a column say, refers to its memory, so that Python's own count
    of references tells whether anybody can still see it.

    Examples
    --------
    >>> memory = BlockMemory()
    >>> first = memory.block(1000)
    >>> first.shape
    (28, 1000)
    >>> column, where = first[3], first.ctypes.data
    >>> del first  # one column of it is still held
    >>> memory.block(1000).ctypes.data == where
    False
    >>> del column
    >>> memory.block(990).ctypes.data == where
    True
    """

    def __init__(self) -> None:
        self._kept: list[NDArray[np.float32]] = []
        self._lock = threading.Lock()

    def block(self, n_events: int) -> NDArray[np.float32]:
        """Return a block of shape (28, n_events) whose content is arbitrary."""
        size = len(FEATURES) * n_events
        with self._lock:
            used = []
            for memory in self._kept:
                if sys.getrefcount(memory) > _OWN_REFERENCES:
                    used.append(memory)
                elif memory.size >= size:
                    return memory[:size].reshape(len(FEATURES), n_events)
            # What is free is too small: it makes room. The oldest of those in use is given up.
            memory = np.empty(int(size * _ROOM), np.float32)
            self._kept = [*used[-_KEPT + 1 :], memory]
            return memory[:size].reshape(len(FEATURES), n_events)
