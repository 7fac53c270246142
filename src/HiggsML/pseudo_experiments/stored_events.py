"""Test events arranged for drawing: in strata of equal weight, by falling tau pt.

Few events fit into memory (:func:`arrange`). Many are converted once, by streaming, into a file
that is memory-mapped (:func:`open_cached`): workers share one copy of it, and opening takes no time
whatever its size. Both give the same rows in the same order.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from HiggsML.datasets.reader import Data
from HiggsML.errors import DataError
from HiggsML.files import allocate
from HiggsML.physics.shifts import LEP_PT_MIN, rounded
from HiggsML.schema import LABEL_COLUMNS, PRI_COLUMNS, PROCESSES

__all__ = [
    "HAD_PT",
    "MAX_STRATA",
    "StoredEvents",
    "Stratum",
    "arrange",
    "cache_path",
    "convert",
    "open_cached",
    "open_file",
]

logger = logging.getLogger(__name__)

HAD_PT = PRI_COLUMNS.index("PRI_had_pt")
_LEP_PT = PRI_COLUMNS.index("PRI_lep_pt")

MAX_STRATA = 64
"""A process with more distinct weights becomes one stratum with cumulative weights."""

Rows = NDArray[np.float32]

_MAGIC = b"HiggsML events 1"
_HEAD = struct.Struct("<16sQI")  # magic, length of the description, its checksum
_ALIGNMENT = 4096
_ROW_BYTES = 4 * len(PRI_COLUMNS)
_BUCKET_ROWS = 1_000_000
_PT_BINS = 1 << 18  # of 10 MeV in the counting pass; tau pt above 2.6 TeV share the last one


@dataclass(frozen=True)
class Stratum:
    """Consecutive stored events of one process and one weight, by falling tau pt.

    ``weight`` is a mean where ``mixed`` says that weights differ.
    """

    process: str
    start: int
    count: int
    weight: float
    mixed: bool = False


@dataclass(frozen=True)
class StoredEvents:
    """Primaries of all events, shape (n, 16), and how they are arranged.

    ``weights`` holds each event's weight if a stratum is mixed, else None.
    """

    rows: Rows
    strata: tuple[Stratum, ...]
    weights: NDArray[np.float64] | None = None

    def cumulative(self, stratum: Stratum) -> NDArray[np.float64] | None:
        """Return the running sum of a mixed stratum's weights, None for any other."""
        if not stratum.mixed or self.weights is None:
            return None
        return np.cumsum(self.weights[stratum.start : stratum.start + stratum.count])


def arrange(frames: Mapping[str, pd.DataFrame], *, scale: float = 1.0) -> StoredEvents:
    """Arrange events in memory.

    Parameters
    ----------
    frames : mapping of str to DataFrame
        By process: the sixteen primaries and ``weights``.
    scale : float
        Factor on all weights.
    """
    unknown = sorted(set(frames) - set(PROCESSES))
    if unknown:
        raise DataError(f"unknown process {unknown} in the test set; known are {PROCESSES}")
    layout = _Layout()
    pieces = {name: _rows_and_weights(frame) for name, frame in frames.items()}
    for name, (rows, weights) in pieces.items():
        layout.count(name, rows[:, HAD_PT], weights)
    strata = layout.strata(scale)
    n_rows = sum(stratum.count for stratum in strata)
    if not n_rows:
        raise DataError("the test set holds no events of positive weight that pass the lepton cut")
    stored = np.empty((n_rows, len(PRI_COLUMNS)), dtype=np.float32)
    mixed = any(stratum.mixed for stratum in strata)
    all_weights = np.empty(n_rows) if mixed else None
    for stratum, place in zip(strata, layout.keys_in_order(), strict=True):
        rows, weights = pieces[stratum.process]
        mine = np.flatnonzero(layout.member(place, weights))
        order = mine[np.argsort(-rows[mine, HAD_PT], kind="stable")]
        where = slice(stratum.start, stratum.start + stratum.count)
        stored[where] = rows[order]
        if all_weights is not None:
            all_weights[where] = weights[order] * scale
    return StoredEvents(stored, strata, all_weights)


def open_cached(data: Data) -> StoredEvents:
    """Return the memory-mapped test events of a dataset, converting them the first time.

    A file that is damaged, or was made from other data, is made anew.

    Raises
    ------
    DataError
        If the events can not be read, or there is no room for the converted file.
    """
    identity = _identity(data)
    for path in cache_path(data, identity):
        if path.exists():
            try:
                return open_file(path, identity)
            except DataError as error:
                logger.warning("%s; it is made anew", error)
    failures = []
    for path in cache_path(data, identity):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            convert(data, path, identity)
            return open_file(path, identity)
        except OSError as error:
            failures.append(f"{path}: {error.strerror or error}")
    raise DataError(
        "the test events can not be converted: " + "; ".join(failures) + "; free some space "
        f"({data.test_size * _ROW_BYTES / 1e9:.1f} GB), or set XDG_CACHE_HOME to where there is"
    )


def cache_path(data: Data, identity: Mapping[str, Any] | None = None) -> list[Path]:
    """Return where the converted events may be: beside the data, or in the user's cache."""
    text = json.dumps(dict(identity or _identity(data)), sort_keys=True)
    name = f"{data.path.stem}-{zlib.crc32(text.encode()):08x}.events"
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "higgsml"
    return [data.input_dir / ".higgsml-cache" / name, user_cache / name]


def convert(data: Data, path: Path, identity: Mapping[str, Any] | None = None) -> None:
    """Write the test events of a dataset to a store file, in three streaming passes.

    The first pass counts events by stratum and tau pt, which fixes where each bucket of about a
    million neighbors in pt goes; the second puts the events there; the third sorts each bucket.
    The file appears under its name only when it is complete.
    """
    layout = _Layout()
    total = 0.0
    for frame in data.iter_test_groups(("PRI_had_pt", "PRI_lep_pt", *LABEL_COLUMNS)):
        total += float(frame["weights"].to_numpy().sum(dtype=np.float64))
        for process, part in frame.groupby("detailed_labels", observed=True):
            kept = part[_kept(part)]
            pt = rounded(kept["PRI_had_pt"].to_numpy(np.float32))
            layout.count(str(process), pt, kept["weights"].to_numpy(np.float64))
    strata = layout.strata(data.sum_weights() / total if total else 1.0)
    n_rows = sum(stratum.count for stratum in strata)
    if not n_rows:
        raise DataError(f"the test set of {data.path} holds no events that pass the lepton cut")
    head = _description(identity or _identity(data), strata)
    mixed = any(stratum.mixed for stratum in strata)
    size = len(head) + n_rows * (_ROW_BYTES + (8 if mixed else 0))
    part_file = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part_file.open("w+b") as file:
            # A full disk is noticed here, not as a crash while the mapped file is written.
            allocate(file, size)
            file.write(head)
            file.flush()
            rows, weights = _mapped(part_file, len(head), n_rows, mixed, mode="r+")
            buckets = layout.buckets(strata)
            scale = data.sum_weights() / total
            for frame in data.iter_test_groups():
                for process, events in frame.groupby("detailed_labels", observed=True):
                    _distribute(str(process), events, scale, layout, buckets, rows, weights)
            for start, stop in buckets.ranges():
                order = np.argsort(-rows[start:stop, HAD_PT], kind="stable")
                rows[start:stop] = rows[start:stop][order]
                if weights is not None:
                    weights[start:stop] = weights[start:stop][order]
            for mapped in (rows, weights):
                if isinstance(mapped, np.memmap):
                    mapped.flush()
            os.fsync(file.fileno())
            del rows, weights, mapped  # Windows renames no file that is mapped
        part_file.replace(path)
    finally:
        part_file.unlink(missing_ok=True)


def open_file(path: Path, identity: Mapping[str, Any] | None = None) -> StoredEvents:
    """Map a store file.

    Raises
    ------
    DataError
        If it is not one, is cut short or damaged, or was made from other data than ``identity``.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD.size)
            magic, length, checksum = _HEAD.unpack(head)
            text = file.read(length) if length < 1 << 26 else b""
    except (OSError, struct.error) as error:
        raise DataError(f"{path} can not be read as an event store: {error}") from error
    if magic != _MAGIC or len(text) != length or zlib.crc32(text) != checksum:
        raise DataError(f"{path} is not an event store, or its head is damaged")
    content = json.loads(text)
    if identity is not None and content["identity"] != dict(identity):
        raise DataError(f"{path} was made from other data")
    strata = tuple(Stratum(**one) for one in content["strata"])
    n_rows = sum(stratum.count for stratum in strata)
    mixed = any(stratum.mixed for stratum in strata)
    offset = _aligned(_HEAD.size + length)
    expected = offset + n_rows * (_ROW_BYTES + (8 if mixed else 0))
    if path.stat().st_size != expected:
        raise DataError(f"{path} has {path.stat().st_size} bytes instead of {expected}: cut short")
    rows, weights = _mapped(path, offset, n_rows, mixed, mode="r")
    with suppress(OSError, ValueError, AttributeError):
        # Random access to a cold file would read it page by page; ask for all of it now.
        rows._mmap.madvise(mmap.MADV_WILLNEED)  # type: ignore[attr-defined]
    return StoredEvents(rows, strata, weights)


# ----------------------------------------------------------------------------------------------


class _Layout:
    """Counts events by process, weight and tau pt, and derives strata and buckets from that."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, float], NDArray[np.int64]] = {}
        self._mixed: dict[str, float] = {}  # sum of weights of processes with too many of them

    def count(self, process: str, had_pt: Rows, weights: NDArray[np.float64]) -> None:
        """Add events that will be stored."""
        values, group = np.unique(weights, return_inverse=True)
        known = {weight for name, weight in self._counts if name == process}
        if process not in self._mixed and len(known | set(values)) > MAX_STRATA:
            self._mixed[process] = 0.0
            merged = np.zeros(_PT_BINS, dtype=np.int64)
            for weight in known:
                counts = self._counts.pop((process, weight))
                merged += counts
                self._mixed[process] += weight * int(counts.sum())
            self._counts[process, 0.0] = merged
        if process in self._mixed:
            self._mixed[process] += float(weights.sum())
            values, group = np.zeros(1), np.zeros(len(weights), dtype=np.intp)
        bins = _pt_bins(had_pt)
        for k, weight in enumerate(values):
            counts = np.bincount(bins[group == k], minlength=_PT_BINS)
            key = (process, float(weight))
            self._counts[key] = self._counts.get(key, 0) + counts

    def keys_in_order(self) -> list[tuple[str, float]]:
        """Return process and weight of each stratum, in order."""
        return sorted(self._counts, key=lambda key: (PROCESSES.index(key[0]), key[1]))

    def strata(self, scale: float) -> tuple[Stratum, ...]:
        """Return the strata, one after the other, with scaled weights."""
        found, start = [], 0
        for process, weight in self.keys_in_order():
            count = int(self._counts[process, weight].sum())
            mixed = process in self._mixed
            mean = self._mixed[process] / max(count, 1) if mixed else weight
            found.append(Stratum(process, start, count, float(mean * scale), mixed))
            start += count
        return tuple(found)

    def member(self, key: tuple[str, float], weights: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which of a process's events belong to a stratum."""
        if key[0] in self._mixed:
            return np.ones(len(weights), dtype=bool)
        same: NDArray[np.bool_] = weights == key[1]
        return same

    def buckets(self, strata: tuple[Stratum, ...]) -> _Buckets:
        """Divide each stratum into buckets of neighbors in tau pt, the hardest first."""
        of_bin, starts = {}, [0]
        for stratum, key in zip(strata, self.keys_in_order(), strict=True):
            falling = self._counts[key][::-1]
            before = np.cumsum(falling) - falling
            number = before // _BUCKET_ROWS  # not every number needs to occur
            _, dense = np.unique(number, return_inverse=True)
            of_bin[key] = (dense + len(starts) - 1)[::-1]
            sizes = np.bincount(dense, weights=falling).astype(np.int64)
            starts += (stratum.start + np.cumsum(sizes)).tolist()
        return _Buckets(of_bin, np.array(starts))


@dataclass
class _Buckets:
    """Where each bucket of events begins, and how far it is filled."""

    of_bin: dict[tuple[str, float], NDArray[np.int64]]
    starts: NDArray[np.int64]

    def __post_init__(self) -> None:
        self.cursor = self.starts[:-1].copy()

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield first row and end of each bucket."""
        yield from zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True)


def _distribute(
    process: str,
    events: pd.DataFrame,
    scale: float,
    layout: _Layout,
    buckets: _Buckets,
    rows: Rows,
    weights: NDArray[np.float64] | None,
) -> None:
    """Append events to their buckets, in the order in which they come."""
    new_rows, new_weights = _rows_and_weights(events)
    for key in (key for key in layout.keys_in_order() if key[0] == process):
        mine = np.flatnonzero(layout.member(key, new_weights))
        bucket = buckets.of_bin[key][_pt_bins(new_rows[mine, HAD_PT])]
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


def _kept(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell which events can be drawn; no shift changes the lepton, so its cut is applied here."""
    lep_pt = rounded(frame["PRI_lep_pt"].to_numpy(np.float32))
    return (lep_pt >= LEP_PT_MIN) & (frame["weights"].to_numpy() > 0)


def _rows_and_weights(frame: pd.DataFrame) -> tuple[Rows, NDArray[np.float64]]:
    """Return the events that can be drawn: rounded primaries, shape (n, 16), and weights."""
    kept = frame[_kept(frame)]
    columns = [rounded(kept[name].to_numpy(np.float32)) for name in PRI_COLUMNS]
    return np.stack(columns, axis=1), kept["weights"].to_numpy(np.float64)


def _pt_bins(had_pt: Rows) -> NDArray[np.int64]:
    """Return which bin of the counting pass each tau pt is in."""
    bins: NDArray[np.int64] = (np.clip(had_pt, 0, 1e4) * 100).astype(np.int64)
    return np.minimum(bins, _PT_BINS - 1)


def _identity(data: Data) -> dict[str, Any]:
    """Return what distinguishes this test set from any other: the parquet footer names them all."""
    size = data.path.stat().st_size
    with data.path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        (length,) = struct.unpack("<I", file.read(4))
        file.seek(-8 - length, os.SEEK_END)
        footer = zlib.crc32(file.read(length))
    return {
        "size": size,
        "modified": data.path.stat().st_mtime_ns,
        "footer": footer,
        "test_size": data.test_size,
        "sum_weights": data.sum_weights(),
    }


def _description(identity: Mapping[str, Any], strata: tuple[Stratum, ...]) -> bytes:
    content = {"identity": dict(identity), "strata": [asdict(stratum) for stratum in strata]}
    text = json.dumps(content).encode()
    head = _HEAD.pack(_MAGIC, len(text), zlib.crc32(text)) + text
    return head.ljust(_aligned(len(head)), b"\0")


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _mapped(
    path: Path, offset: int, n_rows: int, mixed: bool, *, mode: Any
) -> tuple[Rows, NDArray[np.float64] | None]:
    shape = (n_rows, len(PRI_COLUMNS))
    rows = np.memmap(path, np.float32, mode=mode, offset=offset, shape=shape)
    if not mixed:
        return rows, None
    end = offset + n_rows * _ROW_BYTES
    return rows, np.memmap(path, np.float64, mode=mode, offset=end, shape=(n_rows,))
