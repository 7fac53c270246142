"""The file of converted test events: memory-mapped, so that workers share one copy of it.

It holds a head (magic, length and checksum of a description in JSON), the rows, and the weights if
a stratum is mixed. The description has a checksum of every block of rows and weights. The file is
ours alone: one of another owner, a link, or one that others can write is made anew.
"""

from __future__ import annotations

import json
import logging
import math
import mmap
import os
import random
import stat
import struct
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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

try:
    import fcntl
except ImportError:  # Windows: what is being written can not be removed there
    fcntl = None  # type: ignore[assignment]

__all__ = ["cache_path", "convert", "open_cached", "open_file"]

logger = logging.getLogger(__name__)

_MAGIC = b"HiggsML events 2"
_HEAD = struct.Struct("<16sQI")  # magic, length of the description, its checksum
_ALIGNMENT = 4096
_ROW_BYTES = 4 * len(PRI_COLUMNS)
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)

_CHECKED_BYTES = 1 << 23
"""Size of a block with a checksum."""
_CHECKED_BLOCKS = 32
"""Most blocks that are compared at opening: 4 M events are read whole, of more a part by chance."""


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
    layout = Layout()
    total = 0.0
    for frame in data.iter_test_groups(("PRI_had_pt", "PRI_lep_pt", *LABEL_COLUMNS)):
        total += float(frame["weights"].to_numpy().sum(dtype=np.float64))
        for process, part in frame.groupby("detailed_labels", observed=True):
            kept = part[kept_events(part)]
            pt = rounded(kept["PRI_had_pt"].to_numpy(np.float32))
            layout.count(str(process), pt, kept["weights"].to_numpy(np.float64))
    strata = layout.strata(data.sum_weights() / total if total else 1.0)
    n_rows = sum(stratum.count for stratum in strata)
    if not n_rows:
        raise DataError(f"the test set of {data.path} holds no events that pass the lepton cut")
    identity = identity or _identity(data)
    mixed = any(stratum.mixed for stratum in strata)
    size = n_rows * (_ROW_BYTES + (8 if mixed else 0))
    # Checksums of what is not written yet take as much room as those that will be.
    head = _description(identity, strata, ["0" * 8] * -(-size // _CHECKED_BYTES))
    part_file = path.with_name(f"{path.name}.{os.getpid()}.part")
    _remove_stale_parts(path)
    descriptor = os.open(part_file, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINKS, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            _lock(file)  # tells others that somebody is at work
            # A full disk is noticed here, not as a crash while the mapped file is written.
            allocate(file, len(head) + size)
            rows, weights = _mapped(file, len(head), n_rows, mixed, mode="r+")
            buckets = layout.buckets(strata)
            digits = Digits(data_identity(data))
            scale = data.sum_weights() / total
            for frame in data.iter_test_groups():
                for process, events in frame.groupby("detailed_labels", observed=True):
                    _distribute(str(process), events, digits, scale, layout, buckets, rows, weights)
            for start, stop in buckets.ranges():
                order = np.argsort(-rows[start:stop, HAD_PT], kind="stable")
                rows[start:stop] = rows[start:stop][order]
                if weights is not None:
                    weights[start:stop] = weights[start:stop][order]
            for mapped in (rows, weights):
                if isinstance(mapped, np.memmap):
                    mapped.flush()
            del rows, weights, mapped  # Windows renames no file that is mapped
            count = -(-size // _CHECKED_BYTES)
            sums = [_checksum(file, len(head), size, number) for number in range(count)]
            file.seek(0)
            file.write(_description(identity, strata, sums))
            file.flush()
            os.fsync(file.fileno())
        part_file.replace(path)
    finally:
        part_file.unlink(missing_ok=True)


def open_file(path: Path, identity: Mapping[str, Any] | None = None) -> StoredEvents:
    """Map a store file.

    Some of its blocks are compared with their checksums, of a small file all.

    Raises
    ------
    DataError
        If it is not one, is cut short or damaged, was made from other data than ``identity``, or
        may have been written by somebody else.
    """
    try:
        # A pipe would have us wait for somebody who writes into it.
        descriptor = os.open(path, os.O_RDONLY | _NO_LINKS | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise DataError(f"{path} can not be read as an event store: {error}") from error
    with os.fdopen(descriptor, "rb") as file:
        _check_owner(path, os.fstat(descriptor))
        content, offset = _read_description(path, file)
        if identity is not None and content.get("identity") != dict(identity):
            raise DataError(f"{path} was made from other data")
        strata = _checked_strata(path, content)
        n_rows = sum(stratum.count for stratum in strata)
        mixed = any(stratum.mixed for stratum in strata)
        size = n_rows * (_ROW_BYTES + (8 if mixed else 0))
        actual = os.fstat(descriptor).st_size
        if actual != offset + size:
            raise DataError(f"{path} has {actual} bytes instead of {offset + size}: cut short")
        _check_blocks(path, file, content.get("checksums"), offset, size)
        rows, weights = _mapped(file, offset, n_rows, mixed, mode="r")
    if weights is not None and not (np.isfinite(weights).all() and (weights > 0).all()):
        raise DataError(f"{path} holds weights that are not positive")
    with suppress(OSError, ValueError, AttributeError):
        # Random access to a cold file would read it page by page; ask for all of it now.
        rows._mmap.madvise(mmap.MADV_WILLNEED)  # type: ignore[attr-defined]
    return StoredEvents(rows, strata, weights)


def _check_owner(path: Path, status: os.stat_result) -> None:
    """Refuse what is no regular file of ours, or what others could have written."""
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path} is not a regular file")
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise DataError(f"{path} belongs to another user (number {status.st_uid})")
    if os.name == "posix" and status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise DataError(f"{path} is open to other users (mode {mode:04o} instead of 0600)")


def _read_description(path: Path, file: IO[bytes]) -> tuple[dict[str, Any], int]:
    """Return the description at the start of a store file, and where its rows begin."""
    try:
        magic, length, checksum = _HEAD.unpack(file.read(_HEAD.size))
        text = file.read(length) if length < 1 << 26 else b""
    except (OSError, struct.error) as error:
        raise DataError(f"{path} can not be read as an event store: {error}") from error
    if magic != _MAGIC or len(text) != length or zlib.crc32(text) != checksum:
        raise DataError(f"{path} is not an event store, or its head is damaged")
    content: dict[str, Any] = json.loads(text)
    return content, _aligned(_HEAD.size + length)


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


def _check_blocks(path: Path, file: IO[bytes], sums: Any, offset: int, size: int) -> None:
    """Compare blocks with their checksums: all of a small file, a random choice of a large one."""
    count = -(-size // _CHECKED_BYTES)
    if not isinstance(sums, list) or len(sums) != count:
        raise DataError(f"{path} has no checksums of its {count} blocks")
    chosen = random.SystemRandom().sample(range(count), min(count, _CHECKED_BLOCKS))
    for number in sorted(chosen):
        if _checksum(file, offset, size, number) != sums[number]:
            raise DataError(f"{path} is damaged: block {number} does not fit its checksum")


def _checksum(file: IO[bytes], offset: int, size: int, number: int) -> str:
    """Return the checksum of a block of the rows and weights that begin at ``offset``."""
    start = number * _CHECKED_BYTES
    file.seek(offset + start)
    return f"{zlib.crc32(file.read(min(_CHECKED_BYTES, size - start))):08x}"


def _remove_stale_parts(path: Path) -> None:
    """Remove what conversions have left that were killed; one that goes on holds a lock."""
    for part in path.parent.glob("*.events.*.part"):
        with suppress(OSError):
            if part.is_symlink():
                part.unlink()
                continue
            with part.open("rb") as file:
                _lock(file)
                part.unlink()


def _lock(file: IO[bytes]) -> None:
    """Take the lock of a file, or raise OSError if another process has it."""
    if fcntl is not None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


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


def _description(
    identity: Mapping[str, Any], strata: tuple[Stratum, ...], checksums: list[str]
) -> bytes:
    content = {
        "identity": dict(identity),
        "strata": [asdict(stratum) for stratum in strata],
        "checksums": checksums,
    }
    text = json.dumps(content).encode()
    head = _HEAD.pack(_MAGIC, len(text), zlib.crc32(text)) + text
    return head.ljust(_aligned(len(head)), b"\0")


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _mapped(
    file: IO[bytes], offset: int, n_rows: int, mixed: bool, *, mode: Any
) -> tuple[Rows, NDArray[np.float64] | None]:
    shape = (n_rows, len(PRI_COLUMNS))
    rows = np.memmap(file, np.float32, mode=mode, offset=offset, shape=shape)
    if not mixed:
        return rows, None
    end = offset + n_rows * _ROW_BYTES
    return rows, np.memmap(file, np.float64, mode=mode, offset=end, shape=(n_rows,))
