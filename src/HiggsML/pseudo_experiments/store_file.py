"""The file of converted test events: memory-mapped, so that workers share one copy of it.

It holds the rows, and the weights if a stratum is mixed; see
:mod:`HiggsML.datasets.cached_file` for its head, and for where it lies.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from HiggsML.datasets import cached_file
from HiggsML.datasets.cached_file import Progress, Steps, identity_of
from HiggsML.datasets.identity import data_identity
from HiggsML.datasets.reader import Data
from HiggsML.errors import DataError
from HiggsML.files import allocate
from HiggsML.physics.shifts import rounded
from HiggsML.pseudo_experiments.digits import Digits
from HiggsML.pseudo_experiments.stored_events import (
    HAD_PT,
    Buckets,
    Layout,
    Rows,
    StoredEvents,
    Stratum,
    kept_events,
    rows_and_weights,
    tau_pt_bins,
)
from HiggsML.schema import LABEL_COLUMNS, PRI_COLUMNS, PROCESSES

__all__ = ["cache_path", "convert", "open_cached", "open_file"]

_MAGIC = b"HiggsML events 2"
_ENDING = "events"
_ROW_BYTES = 4 * len(PRI_COLUMNS)


def open_cached(data: Data, progress: Progress | None = None) -> StoredEvents:
    """Return the memory-mapped test events of a dataset, converting them the first time.

    A file that is damaged, or was made from other data, is made anew.

    Raises
    ------
    DataError
        If the events can not be read, or there is no room for the converted file.
    """
    identity = identity_of(data)
    return cached_file.open_cached(
        data,
        "test events",
        ending=_ENDING,
        identity=identity,
        size=data.test_size * _ROW_BYTES,
        convert=lambda path: convert(data, path, identity, progress),
        open_file=partial(open_file, identity=identity),
    )


def cache_path(data: Data) -> list[Path]:
    """Return where the converted events may be: beside the data, or in the user's cache."""
    return cached_file.cache_path(data, identity_of(data), _ENDING)


def convert(
    data: Data,
    path: Path,
    identity: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> None:
    """Write the test events of a dataset to a store file, in three streaming passes.

    The first pass counts events by stratum and tau pt, which fixes where each bucket of about a
    million neighbors in pt goes; the second puts the events there; the third sorts each bucket.
    The file appears under its name only when it is complete.
    """
    steps = Steps(3 * data.test_size, progress)
    layout = Layout()
    total = 0.0
    for frame in data.iter_test_groups(("PRI_had_pt", "PRI_lep_pt", *LABEL_COLUMNS)):
        total += float(frame["weights"].to_numpy().sum(dtype=np.float64))
        for process, part in frame.groupby("detailed_labels", observed=True):
            kept = part[kept_events(part)]
            pt = rounded(kept["PRI_had_pt"].to_numpy(np.float32))
            layout.count(str(process), pt, kept["weights"].to_numpy(np.float64))
        steps.add(len(frame))
    scale = data.sum_weights() / total if total else 1.0
    strata = layout.strata(scale)
    n_rows = sum(stratum.count for stratum in strata)
    if not n_rows:
        raise DataError(f"the test set of {data.path} holds no events that pass the lepton cut")
    content = {
        "identity": dict(identity or identity_of(data)),
        "strata": [asdict(stratum) for stratum in strata],
    }
    mixed = any(stratum.mixed for stratum in strata)
    size = n_rows * (_ROW_BYTES + (8 if mixed else 0))
    offset = len(cached_file.description(_MAGIC, content, size))
    with cached_file.new_file(path) as file:
        # A full disk is noticed here, not as a crash while the mapped file is written.
        allocate(file, offset + size)
        mapped = _mapped(file, offset, n_rows, mixed, mode="r+")
        _fill(*mapped, data, layout, strata, scale, steps)
        del mapped  # Windows renames no file that is mapped
        cached_file.write_description(file, _MAGIC, content, size)
    steps.finish()


def open_file(path: Path, identity: Mapping[str, Any] | None = None) -> StoredEvents:
    """Map a store file.

    Some of its blocks are compared with their checksums, of a small file all.

    Raises
    ------
    DataError
        If it is not one, is cut short or damaged, was made from other data than ``identity``, or
        may have been written by somebody else.
    """
    with cached_file.opened(path) as file:
        content, offset = cached_file.read_description(path, file, _MAGIC, identity)
        strata = _checked_strata(path, content)
        n_rows = sum(stratum.count for stratum in strata)
        mixed = any(stratum.mixed for stratum in strata)
        size = n_rows * (_ROW_BYTES + (8 if mixed else 0))
        cached_file.check_blocks(path, file, content, offset, size)
        rows, weights = _mapped(file, offset, n_rows, mixed, mode="r")
    if weights is not None and not (np.isfinite(weights).all() and (weights > 0).all()):
        raise DataError(f"{path} holds weights that are not positive")
    with suppress(OSError, ValueError, AttributeError):
        # Random access to a cold file would read it page by page; ask for all of it now.
        rows._mmap.madvise(mmap.MADV_WILLNEED)  # type: ignore[attr-defined]
    return StoredEvents(rows, strata, weights)


def _checked_strata(path: Path, content: Mapping[str, Any]) -> tuple[Stratum, ...]:
    """Return the strata: one after the other from the first row on, known and of some weight."""
    try:
        strata = tuple(Stratum(**one) for one in content["strata"])
        start, expected = 0, 0.0
        for stratum in strata:
            known = stratum.process in PROCESSES and isinstance(stratum.mixed, bool)
            counted = type(stratum.start) is type(stratum.count) is int and stratum.count >= 0
            weighed = 0 < stratum.weight < math.inf or stratum.count == 0
            if not (known and counted and weighed and stratum.start == start):
                raise DataError(f"{path} has an impossible stratum: {stratum}")
            start += stratum.count
            expected += stratum.count * stratum.weight
        most = content["identity"].get("sum_weights", math.inf) * (1 + 1e-6)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} does not describe its strata: {error}") from error
    if not start or not 0 < expected <= most:
        raise DataError(f"{path} has strata of {expected:g} expected events, of {most:g} at most")
    return strata


def _fill(
    rows: Rows,
    weights: NDArray[np.float64] | None,
    data: Data,
    layout: Layout,
    strata: tuple[Stratum, ...],
    scale: float,
    steps: Steps,
) -> None:
    """Write the test events into their buckets, and sort each of these by falling tau pt."""
    buckets, digits = layout.buckets(strata), Digits(data_identity(data))
    for frame in data.iter_test_groups():
        for process, events in frame.groupby("detailed_labels", observed=True):
            _distribute(str(process), events, digits, scale, layout, buckets, rows, weights)
        steps.add(len(frame))
        _forget(rows)
    for start, stop in buckets.ranges():
        order = np.argsort(-rows[start:stop, HAD_PT], kind="stable")
        rows[start:stop] = rows[start:stop][order]
        if weights is not None:
            weights[start:stop] = weights[start:stop][order]
        steps.add(stop - start)
        _forget(rows)
    for mapped in (rows, weights):
        if isinstance(mapped, np.memmap):
            mapped.flush()


def _forget(rows: Rows) -> None:
    """Have pages of the mapped file count no longer as this process's memory; they stay cached."""
    with suppress(OSError, ValueError, AttributeError):
        rows._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def _distribute(
    process: str,
    events: pd.DataFrame,
    digits: Digits,
    scale: float,
    layout: Layout,
    buckets: Buckets,
    rows: Rows,
    weights: NDArray[np.float64] | None,
) -> None:
    """Append events to their buckets, in the order in which they come."""
    new_rows, new_weights = rows_and_weights(process, events, digits)
    for key in (key for key in layout.keys_in_order() if key[0] == process):
        mine = np.flatnonzero(layout.member(key, new_weights))
        bucket = buckets.of_bin[key][tau_pt_bins(new_rows[mine, HAD_PT])]
        order = np.argsort(bucket, kind="stable")
        mine, bucket = mine[order], bucket[order]
        numbers, first = np.unique(bucket, return_index=True)
        for number, piece in zip(numbers, np.split(mine, first[1:]), strict=True):
            begin = buckets.cursor[number]
            end = begin + piece.size
            rows[begin:end] = new_rows[piece]
            if weights is not None:
                weights[begin:end] = new_weights[piece] * scale
            buckets.cursor[number] = end


def _mapped(
    file: IO[bytes], offset: int, n_rows: int, mixed: bool, *, mode: Any
) -> tuple[Rows, NDArray[np.float64] | None]:
    shape = (n_rows, len(PRI_COLUMNS))
    rows = np.memmap(file, np.float32, mode=mode, offset=offset, shape=shape)
    if not mixed:
        return rows, None
    end = offset + n_rows * _ROW_BYTES
    return rows, np.memmap(file, np.float64, mode=mode, offset=end, shape=(n_rows,))
