"""Selected rows of the reference engine in any number: several processes, resumable.

A process is generated in chunks of Pythia events, each with a seed and a file of its own; the rows
are those of the chunks in their order, so that neither the number of workers nor an interruption
changes them.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from HiggsML.generator.pythia.event_record import pythia_seed, require_pythia
from HiggsML.generator.pythia.reference import reference_events
from HiggsML.schema import PROCESSES

__all__ = ["make_rows", "read_rows"]

_EVENTS_PER_CHUNK = 1_000


def make_rows(
    folder: Path,
    needed: Mapping[str, int],
    *,
    entropy: int,
    workers: int,
    progress: Callable[[int], None],
    events_per_chunk: int = _EVENTS_PER_CHUNK,
) -> None:
    """Generate chunk files until every process has the rows that are needed.

    Parameters
    ----------
    folder
        Where the chunks are kept; those that are there already, of the same entropy, are used.
    needed
        Rows of each process.
    entropy
        Root of all seeds.
    workers
        Processes of this machine.
    progress
        Called with the number of rows found so far.
    events_per_chunk
        Pythia events in each chunk; another number gives other rows.

    Raises
    ------
    SettingsError
        If ``pythia8mc`` or ``fastjet`` is not installed.

    """
    require_pythia()
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        before = 0
        for process, rows in needed.items():
            make = functools.partial(_make_chunk, folder, process, entropy, events_per_chunk)
            for batch in _until(rows, functools.partial(pool.submit, make), 2 * workers):
                progress(before + min(batch, rows))
            before += rows
    finally:
        pool.shutdown(cancel_futures=True)


def _until(rows: int, submit: Callable[[int], Future[int]], ahead: int) -> Iterator[int]:
    """Give the number of rows after each chunk, in the order of the chunks."""
    waiting: deque[Future[int]] = deque()
    n_rows = chunk = 0
    while n_rows < rows:
        while len(waiting) < ahead:
            waiting.append(submit(chunk))
            chunk += 1
        n_rows += waiting.popleft().result()
        yield n_rows
    for future in waiting:
        future.cancel()


def _path(folder: Path, process: str, chunk: int) -> Path:
    return folder / f"{process}-{chunk:06d}.npy"


def _make_chunk(folder: Path, process: str, entropy: int, events: int, chunk: int) -> int:
    """Generate one chunk unless it is there; return its number of rows."""
    target = _path(folder, process, chunk)
    if not target.exists():
        key = (PROCESSES.index(process), chunk)
        seed = pythia_seed(np.random.SeedSequence(entropy, spawn_key=key))
        values = reference_events(process, events, seed=seed)
        unfinished = target.with_suffix(f".{os.getpid()}.part")
        with unfinished.open("wb") as file:
            np.save(file, values)
        unfinished.replace(target)
    return len(np.load(target, mmap_mode="r"))


def read_rows(folder: Path, process: str, start: int, count: int) -> NDArray[np.float32]:
    """Rows ``start`` to ``start + count`` of a process whose chunks are complete."""
    parts = []
    seen = chunk = 0
    while seen < start + count:
        values = np.load(_path(folder, process, chunk), mmap_mode="r")  # most are only counted
        parts.append(values[max(start - seen, 0) : start + count - seen])
        seen += len(values)
        chunk += 1
    return np.concatenate(parts) if parts else np.empty((0, 16), dtype=np.float32)
