"""Work on many rows in chunks, by several threads."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

__all__ = [
    "CHUNK_ROWS",
    "PIECE_ROWS",
    "Work",
    "pieces",
    "run_beside",
    "run_in_chunks",
    "threads_for",
]

CHUNK_ROWS = 131_072
"""Most rows of a chunk, which has random numbers of its own."""

PIECE_ROWS = 44_000
"""Most rows that one thread works on at a time: few enough that temporary arrays stay in the
processor's cache. Several threads take a whole chunk each, in which they compute longer between two
turns at Python's interpreter lock: with two threads that is worth a tenth."""

_CHUNKS_ARE_MULTIPLE_OF = 4
"""Chunks are equally large, and so many that two or four threads have equally many of them; they
must not depend on the number of threads, since each has random numbers of its own."""

_THRESHOLD_RAISING = (32 << 20) - 8192  # bytes

_ROWS_WORTH_THREADS = 2 * CHUNK_ROWS

T = TypeVar("T")
Work = Callable[[int, slice], None]
"""What a thread does with a chunk, given its number and its rows."""


def pieces(rows: slice, threads: int) -> Iterator[slice]:
    """Yield equally large pieces of a chunk: of at most :data:`PIECE_ROWS` for one thread.

    Examples
    --------
    >>> list(pieces(slice(0, 50_000), threads=1))
    [slice(0, 25000, None), slice(25000, 50000, None)]
    """
    size = rows.stop - rows.start
    count = -(-size // (PIECE_ROWS if threads == 1 else CHUNK_ROWS))
    ends = [rows.start + -(-size * number // count) for number in range(1, count + 1)]
    return map(slice, [rows.start, *ends], ends)


def run_in_chunks(n_rows: int, work: Work, *, threads: int) -> None:
    """Do some work on every chunk.

    Parameters
    ----------
    n_rows : int
        Rows in all.
    work : callable
        Called with the number and the rows of each chunk, by several threads at once; writes these
        rows only. NumPy releases the interpreter lock meanwhile.
    threads : int
        How many, at most.

    Examples
    --------
    >>> squares = [0] * 5
    >>> def work(number, rows):
    ...     squares[rows] = [k * k for k in range(rows.start, rows.stop)]
    >>> run_in_chunks(5, work, threads=2)
    >>> squares
    [0, 1, 4, 9, 16]
    """
    count = -(-n_rows // CHUNK_ROWS)
    if count > 1:
        count += -count % _CHUNKS_ARE_MULTIPLE_OF
    ends = [-(-n_rows * number // count) for number in range(1, count + 1)]
    chunks = list(enumerate(map(slice, [0, *ends], ends)))
    threads = min(threads, len(chunks))
    _keep_freed_memory()
    waiting = iter(chunks)

    def work_through() -> None:
        for number, rows in waiting:
            work(number, rows)

    if threads <= 1:
        work_through()
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work_through) for _ in range(threads)]:
            done.result()


@functools.cache
def _keep_freed_memory() -> None:
    """Have the C library keep what temporary arrays free, up to some tens of megabytes.

    It gives the top of its memory back to the system when more than its threshold is free there,
    and gets it again, cleared, for the next array: a tenth of a pass over the events. Freeing the
    largest kind of block that raises this threshold (glibc: at most 32 MiB) once, is enough.
    """
    np.empty(_THRESHOLD_RAISING, np.uint8)


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
    if threads_for(n_rows) == 1:
        made = function()
        return lambda: made
    pool = ThreadPoolExecutor(1)
    running = pool.submit(function)
    pool.shutdown(wait=False)
    return running.result


def threads_for(n_rows: int) -> int:
    """Return how many threads work on so many rows: one on few.

    On many it is what OMP_NUM_THREADS says, or as many as there are processors.
    """
    if n_rows < _ROWS_WORTH_THREADS:
        return 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) > 0 else os.cpu_count() or 1
