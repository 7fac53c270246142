"""Memory that the trusted process writes and the submission can only read.

The memory has no name, cannot be resized and, once sealed, not be written by whoever else holds its
descriptor (Linux; elsewhere an unlinked file that the receiver holds open for reading).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import IO

import numpy as np
from numpy.typing import NDArray

from HiggsML.schema import FEATURES

__all__ = ["SharedBlock", "map_block", "sealed_memory"]

_F_SEAL_WRITE, _F_SEAL_FUTURE_WRITE = 0x08, 0x10  # linux/fcntl.h


class SharedBlock:
    """Memory for the features of one pseudo-experiment that another process may read.

    The trusted side writes through :meth:`array`; whoever gets :attr:`descriptor` can neither write
    to it nor change its size.

    Parameters
    ----------
    n_events : int
        Capacity.
    """

    def __init__(self, n_events: int) -> None:
        self.capacity = n_events
        size = max(1, n_events) * len(FEATURES) * 4
        writable, self.descriptor = _memory(size)
        self._map = mmap.mmap(writable, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        if writable == self.descriptor:
            _seal(self.descriptor)
        else:
            os.close(writable)

    def array(self, n_events: int) -> NDArray[np.float32]:
        """Return a writable view of shape (28, n_events)."""
        flat = np.frombuffer(self._map, dtype=np.float32, count=len(FEATURES) * n_events)
        return flat.reshape(len(FEATURES), n_events)

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """Open the memory for one reader: its offset and locks are nobody else's."""
        own = f"/proc/self/fd/{self.descriptor}"
        if not os.path.exists(own):  # noqa: PTH110 (asked for every pseudo-experiment)
            yield self.descriptor
            return
        descriptor = os.open(own, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Free the memory once no view is left."""
        os.close(self.descriptor)


def map_block(descriptor: int, n_events: int) -> NDArray[np.float32]:
    """Return the features in a shared block as an array of shape (28, n_events).

    The array is writable, for models that work in place, but what is written stays private.
    """
    size = max(1, n_events) * len(FEATURES) * 4
    private = mmap.mmap(descriptor, size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    flat = np.frombuffer(private, dtype=np.float32, count=len(FEATURES) * n_events)
    return flat.reshape(len(FEATURES), n_events)


def sealed_memory(write: Callable[[IO[bytes]], object]) -> int:
    """Return a descriptor of memory that can only be read, filled by a call of ``write``."""
    writable, readable = _memory(0)
    with open(writable, "wb", closefd=writable != readable) as file:
        write(file)
    if writable == readable:
        _seal(readable, _F_SEAL_WRITE)
    return readable


def _memory(size: int) -> tuple[int, int]:
    """Return descriptors to write to and to read from nameless memory; the same one if sealable."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("higgsml", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, size)
        return descriptor, descriptor
    writable, name = tempfile.mkstemp(prefix="higgsml-")
    readable = os.open(name, os.O_RDONLY)
    os.unlink(name)  # noqa: PTH108 (mkstemp gives a string)
    os.ftruncate(writable, size)
    return writable, readable


def _seal(descriptor: int, write_seal: int = _F_SEAL_FUTURE_WRITE) -> None:
    """Forbid others to write and to resize; mappings that exist stay writable."""
    import fcntl  # not on every system where this module can be imported

    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | write_seal
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL)
