"""Work on many rows in chunks, by several threads, in temporary arrays that are used again."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["CHUNK_ROWS", "Scratch", "Work", "run_beside", "run_in_chunks"]

CHUNK_ROWS = 131_072
"""Most rows of a chunk: few enough that its columns stay in the processor's cache, and so many that
threads compute most of the time and rarely wait for Python's interpreter lock."""

_CHUNKS_ARE_MULTIPLE_OF = 4
"""Chunks are equally large, and so many that two or four threads have equally many of them; they
must not depend on the number of threads, since each has random numbers of its own."""

_ROWS_WORTH_THREADS = 2 * CHUNK_ROWS

T = TypeVar("T")
Work = Callable[[int, slice], None]
"""What a thread does with a chunk, given its number and its rows."""


class Scratch:
    """Temporary arrays of one worker.

    Fresh arrays of a chunk's size would be got from the operating system, cleared by it and given
    back for every operation, which takes longer than the arithmetic itself.
    """

    def __init__(self, dtype: DTypeLike = np.float32) -> None:
        self.dtype = np.dtype(dtype)
        self._arrays: list[NDArray[Any]] = []
        self._longest = 0

    def take(self, count: int, size: int) -> list[NDArray[Any]]:
        """Return the first ``count`` arrays, of shape (size,); their content is arbitrary."""
        if size > self._longest:
            self._longest = size
            self._arrays.clear()
        while len(self._arrays) < count:
            self._arrays.append(np.empty(self._longest, self.dtype))
        return [array[:size] for array in self._arrays[:count]]


def run_in_chunks(
    n_rows: int, start_worker: Callable[[], Work], *, threads: int | None = None
) -> None:
    """Do some work on every chunk.

    Parameters
    ----------
    n_rows : int
        Rows in all.
    start_worker : callable
        Called once by every thread; returns what that thread calls with the number and the rows of
        each chunk and writes these rows only; NumPy releases the interpreter lock meanwhile.
    threads : int, optional
        By default what OMP_NUM_THREADS says, or as many as there are processors, for many rows.
    """
    count = -(-n_rows // CHUNK_ROWS)
    if count > 1:
        count += -count % _CHUNKS_ARE_MULTIPLE_OF
    ends = [-(-n_rows * number // count) for number in range(1, count + 1)]
    chunks = list(enumerate(map(slice, [0, *ends], ends)))
    if threads is None:
        threads = _available_threads() if n_rows >= _ROWS_WORTH_THREADS else 1
    threads = min(threads, len(chunks))
    waiting = iter(chunks)

    def work_through() -> None:
        work = start_worker()
        for chunk in waiting:
            work(*chunk)

    if threads <= 1:
        work_through()
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work_through) for _ in range(threads)]:
            done.result()


def run_beside(n_rows: int, function: Callable[[], T]) -> Callable[[], T]:
    """Start something that takes a while for many rows, and go on where another thread can do it.

    Parameters
    ----------
    n_rows : int
        How many.
    function : callable
        Takes nothing.

    Returns
    -------
    callable
        Waits until it is done, and returns what it returns.
    """
    if n_rows < _ROWS_WORTH_THREADS or _available_threads() < 2:
        found = function()
        return lambda: found
    pool = ThreadPoolExecutor(1)
    running = pool.submit(function)
    pool.shutdown(wait=False)
    return running.result


def _available_threads() -> int:
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) > 0 else os.cpu_count() or 1
