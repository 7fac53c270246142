"""Work on many rows in chunks that fit into the processor's cache, by several threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

__all__ = ["CHUNK_ROWS", "run_in_chunks"]

CHUNK_ROWS = 16_384
"""The temporaries of a chunk of float32 columns stay in the cache; two threads that work on much
smaller ones would mostly wait for Python's interpreter lock."""

_ROWS_WORTH_THREADS = 8 * CHUNK_ROWS


def run_in_chunks(
    n_rows: int, work: Callable[[int, slice], None], *, threads: int | None = None
) -> None:
    """Call ``work(chunk_number, rows)`` for every chunk.

    Parameters
    ----------
    n_rows : int
        Rows in all.
    work : callable
        Writes its own rows only; NumPy releases the interpreter lock while it computes.
    threads : int, optional
        By default what OMP_NUM_THREADS says, or as many as there are processors, for many rows.
    """
    chunks = [
        (number, slice(start, min(start + CHUNK_ROWS, n_rows)))
        for number, start in enumerate(range(0, n_rows, CHUNK_ROWS))
    ]
    if threads is None:
        threads = _available_threads() if n_rows >= _ROWS_WORTH_THREADS else 1
    if threads == 1 or len(chunks) < 2:
        for chunk in chunks:
            work(*chunk)
        return
    with ThreadPoolExecutor(threads) as pool:
        # The list passes on the first exception.
        list(pool.map(lambda chunk: work(*chunk), chunks))


def _available_threads() -> int:
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) > 0 else os.cpu_count() or 1
