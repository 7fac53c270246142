"""What the files of a dataset must hold: columns, shares of the processes, metadata."""

from __future__ import annotations

import json
import logging
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from HiggsML.datasets.values import check_processes
from HiggsML.errors import DataError
from HiggsML.schema import DER_COLUMNS, LABEL_COLUMNS, PRI_COLUMNS, PROCESSES, SIGNAL
from HiggsML.source_files import check_file, openable, similar_names, visible

__all__ = [
    "KNOWN",
    "REQUIRED",
    "check_split",
    "open_parquet",
    "other_columns",
    "read_metadata",
]

logger = logging.getLogger(__name__)

REQUIRED = (*PRI_COLUMNS, *LABEL_COLUMNS)
"""Columns that every file must have."""
KNOWN = frozenset((*REQUIRED, *DER_COLUMNS))
"""Columns that mean something."""

_PANDAS_INDEX = "__index_level_"  # how pandas names the column of a frame's index
_TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_CHECKED_ROWS = 5_000_000  # of larger files, reading a column takes longer than is worth it
_FEWEST_ROWS = 100  # in either split: of fewer, chance may leave out a class
_BEYOND_CHANCE = 6.0  # standard deviations
_FEWEST_EVENTS, _MOST_EVENTS = 1e-6, 1e15  # expected; more than all collisions of the LHC
_BUFFER_BYTES = 1 << 20  # of each column: without buffers a whole row group would be in memory


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open the parquet file of a dataset, which has all needed columns and some row.

    Raises
    ------
    DataError
        If it is another kind of file, damaged, or lacks something.
    """
    check_file(path, may_be=(b"PAR1",))
    try:
        source = openable(path)
        metadata = pq.read_metadata(source)
        _check_schema(metadata.schema.to_arrow_schema(), path)
        file = pq.ParquetFile(
            source,
            metadata=metadata,
            read_dictionary=["detailed_labels"],
            buffer_size=_BUFFER_BYTES,
        )
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable parquet file: {error}") from error
    if not metadata.num_rows:
        raise DataError(f"{path} has no rows")
    return file


def _check_schema(schema: pa.Schema, path: Path) -> None:
    """Refuse a file without the needed columns, or with some of a wrong type."""
    missing = [name for name in REQUIRED if name not in schema.names]
    if missing:
        raise DataError(
            f"{path} lacks the columns {', '.join(missing)}{similar_names(missing, schema.names)}"
        )
    if twice := [name for name, count in Counter(schema.names).items() if count > 1]:
        raise DataError(f"{path} names a column twice: {', '.join(map(repr, twice))}; leave one")
    for field in schema:
        if field.name not in KNOWN:
            continue
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        is_text = any(is_a(kind) for is_a in _TEXT)
        is_number = pa.types.is_floating(kind) or pa.types.is_integer(kind)
        if field.name == "detailed_labels" and not is_text:
            raise DataError(f"{path}: column detailed_labels must hold text, not {field.type}")
        if field.name != "detailed_labels" and not is_number:
            raise DataError(f"{path}: column {field.name} must be numeric, not {field.type}")


def read_metadata(parquet: Path, total_rows: int, schema_names: Sequence[str]) -> dict[str, Any]:
    """Read and check the metadata file beside ``parquet``; without one, return {}."""
    paths = visible(parquet.parent, "*_metadata.json")
    if not paths:
        logger.warning("no *_metadata.json beside %s: the sum of its weights is used", parquet)
        return {}
    if len(paths) > 1:
        names = ", ".join(path.name for path in paths)
        raise DataError(f"{parquet.parent} holds several metadata files ({names}): leave one")
    path = paths[0]
    check_file(path)
    try:
        metadata = json.loads(path.read_bytes())  # in UTF-8, UTF-16 or UTF-32
    except OSError as error:
        raise DataError(f"{path} can not be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(metadata, dict):
        raise DataError(f"{path} must hold a JSON object")
    if metadata.get("total_rows", total_rows) != total_rows:
        raise DataError(
            f"{path} says total_rows = {metadata['total_rows']!r}, but {parquet.name} has "
            f"{total_rows}: the two belong to different datasets, or one is cut short"
        )
    names = metadata.get("columns", [])
    if names and (not isinstance(names, list) or set(map(str, names)) != set(schema_names)):
        raise DataError(f"{path} lists other columns than {parquet.name} has")
    processes = metadata.get("detailed_labels", [])
    if not isinstance(processes, list) or not set(map(str, processes)) <= set(PROCESSES):
        raise DataError(f"{path}: unknown process in detailed_labels; known are {PROCESSES}")
    if "sum_weights" in metadata:
        total = metadata["sum_weights"]
        valid = isinstance(total, (int, float)) and not isinstance(total, bool)
        if not (valid and _FEWEST_EVENTS <= total <= _MOST_EVENTS):
            raise DataError(
                f"{path}: sum_weights must be a positive number, got {total!r:.40}: the expected "
                f"number of events, from {_FEWEST_EVENTS:g} to {_MOST_EVENTS:g}"
            )
    return metadata


def other_columns(table: pa.Table | pa.Schema) -> list[str]:
    """Return the names of the columns that the challenge does not know."""
    names = table.names if isinstance(table, pa.Schema) else table.column_names
    return [n for n in names if n not in KNOWN and not n.startswith(_PANDAS_INDEX)]


def check_split(file: pq.ParquetFile, test_size: int, path: Path) -> None:
    """Compare the shares of all processes in the test and the training rows.

    Only as far as they can be read in no time: not of a large file, and not of few rows.

    Raises
    ------
    DataError
        If one of them has no signal or no background, or none of any weight.
    """
    n_rows = np.array([test_size, file.metadata.num_rows - test_size])
    if file.metadata.num_rows > _CHECKED_ROWS or n_rows.min() < _FEWEST_ROWS:
        return
    try:
        table = file.read(columns=["detailed_labels", *([] if _no_zeros(file) else ["weights"])])
    except (pa.ArrowException, OSError):
        return  # reading the rows says more
    process = _process_numbers(table["detailed_labels"], path)
    counts = np.empty((2, len(PROCESSES)), dtype=np.int64)
    for number, (name, rows) in enumerate(
        {"test": slice(test_size), "training": slice(test_size, None)}.items()
    ):
        counts[number] = weighted = _counts(process[rows])
        if "weights" in table.column_names:
            weighted = _counts(process[rows][table["weights"].to_numpy()[rows] > 0])
        _check_classes(
            f"{path}: the {name} split ({n_rows[number]} rows)", counts[number], weighted
        )
    _warn_of_shares(counts, n_rows, path)


def _no_zeros(file: pq.ParquetFile) -> bool:
    """Tell whether the file states that all its weights are positive."""
    column = file.schema_arrow.names.index("weights")
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        if group.num_columns != len(file.schema_arrow.names):  # something nested: no such column
            return False
        statistics = group.column(column).statistics
        if statistics is None or not statistics.has_min_max or not statistics.min > 0:
            return False
    return True


def _counts(process: NDArray[np.int8]) -> NDArray[np.int64]:
    return np.bincount(process, minlength=len(PROCESSES) + 1)[:-1]


def _process_numbers(names: pa.ChunkedArray, path: Path) -> NDArray[np.int8]:
    """Return the position of each process in PROCESSES; what is empty gets the one after all."""
    if not pa.types.is_dictionary(names.type):
        names = names.dictionary_encode()
    numbers, end = np.full(len(names), len(PROCESSES), dtype=np.int8), 0
    for chunk in names.chunks:
        start, end = end, end + len(chunk)
        check_processes(chunk.dictionary, path)
        known = [PROCESSES.index(name) for name in chunk.dictionary.to_pylist()]
        table = np.array([*known, len(PROCESSES)], dtype=np.int8)  # the last one for what is empty
        codes = chunk.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
        numbers[start:end] = table[codes]
    return numbers


def _check_classes(split: str, counts: NDArray[np.int64], weighted: NDArray[np.int64]) -> None:
    """Refuse a split without signal or background, given its rows, and those of weight."""
    signal = np.array([name == SIGNAL for name in PROCESSES])
    for name, members in (("signal", signal), ("background", ~signal)):
        if not counts[members].any():
            raise DataError(
                f"{split} has no {name}; the first rows of the file are the test split: shuffle "
                "the rows"
            )
        if not weighted[members].any():
            raise DataError(
                f"{split} has {name} of weight zero only; the weights of all rows together are the "
                "expected number of events"
            )


def _warn_of_shares(counts: NDArray[np.int64], n_rows: NDArray[np.int64], path: Path) -> None:
    """Warn if a process has other shares of the test rows than of the training rows."""
    shares = counts.sum(axis=0) / n_rows.sum()
    spreads = np.sqrt(shares * (1 - shares) * (1 / n_rows).sum())
    of_test, of_training = counts / n_rows[:, np.newaxis]
    excess = np.abs(of_test - of_training) - _BEYOND_CHANCE * spreads
    # The one that differs most; if the signal does, it is named.
    worst = PROCESSES.index(SIGNAL) if excess[PROCESSES.index(SIGNAL)] > 0 else excess.argmax()
    if excess[worst] > 0:
        name = "signal" if PROCESSES[worst] == SIGNAL else PROCESSES[worst]
        warnings.warn(
            f"{path}: {of_test[worst]:.2%} of the test rows are {name}, but "
            f"{of_training[worst]:.2%} of the training rows, which chance does not do: shuffle the "
            "rows if the file is sorted",
            stacklevel=4,
        )
