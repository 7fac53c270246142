"""The file of converted training events: columns that other processes map and share.

After the head (:mod:`HiggsML.datasets.cached_file`) stand the features, weights as in the dataset
and labels (float32), one column after the other, then the number of each event's process (one
byte), then, as an Arrow stream, columns that the challenge does not know. There is nothing of the
test set in it: whoever holds a descriptor of the file may read all of it.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from HiggsML.datasets import cached_file
from HiggsML.datasets.cached_file import Progress, Steps, aligned, identity_of
from HiggsML.datasets.checks import other_columns
from HiggsML.datasets.reader import EVENT_BYTES, Data, as_series, scale_weights
from HiggsML.datasets.values import checked_columns
from HiggsML.errors import DataError, SettingsError
from HiggsML.files import allocate, size_text
from HiggsML.machine import process_memory
from HiggsML.physics.features import derive_in_chunks
from HiggsML.schema import DER_COLUMNS, FEATURES, PRI_COLUMNS, PROCESSES

__all__ = [
    "OF_LIBRARIES",
    "TrainingColumns",
    "advice",
    "cache_path",
    "convert",
    "mapped_bytes",
    "open_cached",
    "open_file",
    "write",
]

_MAGIC = b"HiggsML columns1"
_ENDING = "training.events"
_FLOATS = (*FEATURES, "weights", "labels")
_NAMED_ROWS = 1_000_000
"""Names of processes that are made at a time."""
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform.startswith("linux") else 0)


_SPARSE = 50
"""NumPy chooses fewer rows than this part of all without a permutation of all."""
_BYTES_OF_ALL = 32
"""Memory for each event where all are mapped: its weight, and the name of its process."""
_BYTES_WITH_A_COPY = 3 * EVENT_BYTES
"""Memory for each event that is copied once more, by ``systematics`` for instance."""


OF_LIBRARIES = 256 << 20
"""Memory of a submission's process before it has any events."""


class _Layout:
    """Where each column begins, behind the head; all at the start of a page."""

    def __init__(self, n_rows: int, other_bytes: int) -> None:
        stride = aligned(4 * n_rows)
        self.starts = {name: stride * number for number, name in enumerate(_FLOATS)}
        self.process = stride * len(_FLOATS)
        self.others = self.process + aligned(n_rows)
        self.size = self.others + other_bytes


def open_cached(data: Data, progress: Progress | None = None) -> int:
    """Return a descriptor of a dataset's training events, converting them the first time.

    It can only be read, and belongs to the caller; nobody else has its position.

    Raises
    ------
    DataError
        If the events can not be read, or there is no room for the converted file.
    """
    identity = _identity(data)
    return cached_file.open_cached(
        data,
        "training events",
        ending=_ENDING,
        identity=identity,
        size=_Layout(data.train_size, 0).size,
        convert=partial(convert, data, progress=progress),
        open_file=partial(open_file, data=data),
    )


def cache_path(data: Data) -> list[Path]:
    """Return where the converted events may be: beside the data, or in the user's cache."""
    return cached_file.cache_path(data, _identity(data), _ENDING)


def convert(data: Data, path: Path, *, progress: Progress | None = None) -> None:
    """Write the training events of a dataset to a file, which appears when it is complete."""
    with cached_file.new_file(path) as file:
        write(data, file, identity=_identity(data), directory=path.parent, progress=progress)


def write(
    data: Data,
    file: IO[bytes],
    *,
    identity: Mapping[str, Any] | None = None,
    directory: Path | None = None,
    progress: Progress | None = None,
) -> None:
    """Write the training events of a dataset, a few rows at a time.

    Parameters
    ----------
    data : Data
        The dataset.
    file : binary file
        Empty. With an identity it gets checksums, and must be readable.
    identity : mapping, optional
        What distinguishes the events from others.
    directory : Path, optional
        Of temporary files.
    progress : callable, optional
        Called with how many of how many steps are done.

    Raises
    ------
    DataError
        If the dataset can not be read, or holds something wrong.
    OSError
        If there is no room.
    """
    with _other_columns(data, directory) as others:
        layout = _Layout(data.train_size, others.tell())
        content = {
            "identity": identity,
            "rows": data.train_size,
            "sum_weights": data.sum_weights(),
            "others": others.tell(),
        }
        head = cached_file.description(_MAGIC, content, layout.size)
        # A full disk is noticed before the work.
        allocate(file, len(head) + layout.size)
        steps, start, largest = Steps(data.train_size, progress), 0, 0.0
        for table in data.iter_training_tables():
            for position, values in _columns(table, data.path, start, layout):
                file.seek(len(head) + position)
                file.write(values.data)
            largest = max(largest, pc.max(table["weights"]).as_py())
            start += len(table)
            steps.add(len(table))
        if start and not largest > 0:
            raise DataError(f"{data.path}: the weights of all {start} training events are zero")
        others.seek(0)
        file.seek(len(head) + layout.others)
        shutil.copyfileobj(others, file)
    if identity is None:
        file.seek(0)
        file.write(head)
    else:
        cached_file.write_description(file, _MAGIC, content, layout.size)
    steps.finish()


def open_file(path: Path, *, data: Data | None = None) -> int:
    """Return a descriptor of a file of training events, from which one can only read.

    Raises
    ------
    DataError
        If it is not one, is cut short or damaged, was made from other data, or may have been
        written by somebody else.
    """
    identity = None if data is None else _identity(data)
    with cached_file.opened(path) as file:
        content, offset = cached_file.read_description(path, file, _MAGIC, identity)
        n_rows, others = content.get("rows"), content.get("others")
        if not (type(n_rows) is type(others) is int and n_rows >= 0 and others >= 0):
            raise DataError(f"{path} does not describe its columns")
        cached_file.check_blocks(path, file, content, offset, _Layout(n_rows, others).size)
        return os.dup(file.fileno())


class TrainingColumns:
    """Training events in a file that :func:`write` has made.

    Parameters
    ----------
    descriptor : int
        Of the file, owned by this object. It is trusted.

    Attributes
    ----------
    n_rows : int
        How many there are.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        with open(os.dup(descriptor), "rb") as file:  # noqa: PTH123 (a descriptor)
            file.seek(0)
            content, self._offset = cached_file.read_description(
                Path("training events"), file, _MAGIC, None
            )
        self.n_rows: int = content["rows"]
        self._sum_weights: float = content["sum_weights"]
        self._layout = _Layout(self.n_rows, content["others"])

    def close(self) -> None:
        """Close the descriptor; frames stay."""
        os.close(self._descriptor)

    def frame(self, rows: NDArray[np.intp] | None = None) -> pd.DataFrame:
        """Return events as :meth:`HiggsML.datasets.Data.get_train_set` does.

        Parameters
        ----------
        rows : array of int, optional
            Positions, sorted. Without them the frame is of all events: its columns are the file's
            pages until they are written to, which changes this process's copy alone.
        """
        memory = self._mapped()
        floats = {
            name: np.frombuffer(memory, np.float32, self.n_rows, self._offset + start)
            for name, start in self._layout.starts.items()
        }
        codes = np.frombuffer(memory, np.int8, self.n_rows, self._offset + self._layout.process)
        others = self._others(memory)
        if rows is not None:
            floats = {name: column[rows] for name, column in floats.items()}
            codes, others = codes[rows], others.take(pa.array(rows))
        scale_weights(floats["weights"], self._sum_weights)
        columns: dict[str, Any] = {name: floats[name] for name in PRI_COLUMNS}
        columns |= {"weights": floats["weights"], "detailed_labels": _names(codes)}
        columns |= {"labels": floats["labels"], **{name: floats[name] for name in DER_COLUMNS}}
        columns |= {name: as_series(others[name], f"column {name}") for name in others.column_names}
        return pd.DataFrame(columns, copy=False)

    def check_room(self, count: int | None, memory: int) -> None:
        """Refuse a frame that does not fit into memory.

        Parameters
        ----------
        count : int, optional
            Events that are copied; without it all are mapped.
        memory : int
            Of this process [bytes].

        Raises
        ------
        SettingsError
            The message says how much the frame takes, and how many events fit.
        """
        needed = self.n_rows * _BYTES_OF_ALL if count is None else count * EVENT_BYTES
        left = memory - _unshared_memory()
        if needed > left:
            raise SettingsError(
                f"{self.n_rows if count is None else count:,} training events take "
                f"{size_text(needed)}, and of the submission's memory, {size_text(memory)}, "
                f"{size_text(max(0, left))} is left{advice(self.n_rows, left)}"
            )

    def _mapped(self) -> mmap.mmap:
        """Map the file, so that what is written stays in this process."""
        # Room for a copy is not reserved: most pages are never written to.
        flags = mmap.MAP_PRIVATE | _NO_RESERVE
        return mmap.mmap(self._descriptor, 0, flags, mmap.PROT_READ | mmap.PROT_WRITE)

    def _others(self, memory: mmap.mmap) -> pa.Table:
        start = self._offset + self._layout.others
        if self._offset + self._layout.size == start:
            return pa.table({})
        return pa.ipc.open_stream(pa.py_buffer(memory).slice(start)).read_all()


def mapped_bytes(data: Data) -> int:
    """Return about how much address space the training events of a dataset take."""
    return _Layout(data.train_size, 0).size


def advice(n_rows: int, memory: int) -> str:
    """Return the end of a sentence: how many training events fit into memory.

    Parameters
    ----------
    n_rows : int
        How many there are.
    memory : int
        What there is for them [bytes].
    """
    most = max(0, memory) // _BYTES_WITH_A_COPY
    if most > n_rows // _SPARSE:  # else the choice itself takes 8 bytes for each of all events
        most = max(n_rows // _SPARSE, most - 8 * n_rows // _BYTES_WITH_A_COPY)
    return (
        f": get_train_set(train_size={min(n_rows, most)}) fits, with room for a copy "
        "(get_train_set() maps all events and copies none; what is made of them takes memory)"
    )


def _unshared_memory() -> int:
    """Return the memory of this process that belongs to no file [bytes]; 0 where unknown."""
    resident, of_files = process_memory()
    return resident - of_files


def _identity(data: Data) -> dict[str, str]:
    """Return a digest of what distinguishes the dataset: the submission reads no more of it."""
    text = json.dumps(identity_of(data), sort_keys=True)
    return {"dataset": hashlib.sha256(text.encode()).hexdigest()}


def _columns(
    table: pa.Table, path: Path, start: int, layout: _Layout
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield position and values of the next rows of each column, after checking them."""
    known = table.select([name for name in table.column_names if name not in other_columns(table)])
    columns = checked_columns(known, path, start)
    names = columns.pop("detailed_labels")
    if not set(DER_COLUMNS) <= set(columns):
        derived = np.empty((len(DER_COLUMNS), len(table)), np.float32)
        derive_in_chunks({name: columns[name] for name in PRI_COLUMNS}, derived)
        columns |= dict(zip(DER_COLUMNS, derived, strict=True))
    for name, position in layout.starts.items():
        yield position + 4 * start, np.ascontiguousarray(columns[name], np.float32)
    codes = pc.index_in(names, pa.array(PROCESSES)).to_numpy(zero_copy_only=False)
    yield layout.process + start, codes.astype(np.int8)


@contextmanager
def _other_columns(data: Data, directory: Path | None) -> Iterator[IO[bytes]]:
    """Give an Arrow stream of the columns that the challenge does not know, at its end."""
    schema = data.parquet_file.schema_arrow
    names = other_columns(schema)
    with tempfile.TemporaryFile(dir=directory) as file:
        if names:
            schema = pa.schema([schema.field(name) for name in names])
            with pa.ipc.new_stream(file, schema) as writer:
                for table in data.iter_training_tables(names):
                    writer.write_table(table)
        yield file


def _names(codes: NDArray[np.int8]) -> pd.Series:
    """Return the names of processes, given by their numbers."""
    names = pa.array(PROCESSES)
    pieces = [
        pa.DictionaryArray.from_arrays(codes[start : start + _NAMED_ROWS], names).cast(pa.string())
        for start in range(0, len(codes), _NAMED_ROWS)
    ]
    names_of_all: pd.Series = pa.chunked_array(pieces, pa.string()).to_pandas()
    return names_of_all
