"""What the files of a dataset must hold: columns, values, shares of signal, metadata."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from HiggsML.errors import DataError
from HiggsML.schema import DER_COLUMNS, LABEL_COLUMNS, MISSING, PRI_COLUMNS, PROCESSES, SIGNAL
from HiggsML.source_files import refuse_pointer, visible

__all__ = [
    "KNOWN",
    "REQUIRED",
    "check_schema",
    "check_split",
    "checked_columns",
    "other_columns",
    "read_metadata",
]

logger = logging.getLogger(__name__)

REQUIRED = (*PRI_COLUMNS, *LABEL_COLUMNS)
"""Columns that every file must have."""
KNOWN = frozenset((*REQUIRED, *DER_COLUMNS))
"""Columns that mean something."""

_PANDAS_INDEX = "__index_level_"  # how pandas names the column of a frame's index
_OF_ONE_JET = ("PRI_jet_leading_pt", "PRI_jet_subleading_pt")
_MOMENTA = ("PRI_lep_pt", "PRI_had_pt", "PRI_jet_all_pt", "PRI_met", *_OF_ONE_JET)
_MAY_LACK = tuple(name for name in PRI_COLUMNS if "jet_leading" in name or "subleading" in name)
_RANGES = {
    **dict.fromkeys(_MOMENTA, (0.0, 14_000.0, "momenta in GeV")),
    **{
        name: (-3.15, 3.15, "angles in radians, from -pi to pi")
        for name in PRI_COLUMNS
        if name.endswith("_phi")
    },
    **{name: (-15.0, 15.0, "pseudorapidities") for name in PRI_COLUMNS if name.endswith("_eta")},
    "PRI_n_jets": (0.0, 100.0, "numbers of jets"),
}
"""Lowest and highest value that columns can have in collisions of 14 TeV, and what they hold."""
_CHECKED_ROWS = 5_000_000  # of larger files, reading a column takes longer than is worth it
_FEWEST_ROWS = 100  # in either split: of fewer, chance may leave out a class
_BEYOND_CHANCE = 6.0  # standard deviations


def check_schema(schema: pa.Schema, path: Path) -> None:
    """Refuse a file without the needed columns, or with some of a wrong type."""
    missing = [name for name in REQUIRED if name not in schema.names]
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}")
    if len(set(schema.names)) < len(schema.names):
        raise DataError(f"{path} names a column twice")
    for field in schema:
        if field.name not in KNOWN:
            continue
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
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
    refuse_pointer(path)
    try:
        metadata = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
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
        if not (valid and 0 < total <= sys.float_info.max):
            raise DataError(f"{path}: sum_weights must be a positive number, got {total!r}")
    return metadata


def other_columns(table: pa.Table | pa.Schema) -> list[str]:
    """Return the names of the columns that the challenge does not know."""
    names = table.names if isinstance(table, pa.Schema) else table.column_names
    return [n for n in names if n not in KNOWN and not n.startswith(_PANDAS_INDEX)]


def check_split(file: pq.ParquetFile, test_size: int, path: Path) -> None:
    """Compare the shares of signal in the test and the training rows, as far as they can be read.

    Raises
    ------
    DataError
        If one of them has no signal or no background.
    """
    n_rows = np.array([test_size, file.metadata.num_rows - test_size])
    if file.metadata.num_rows > _CHECKED_ROWS or n_rows.min() < _FEWEST_ROWS:
        return
    try:
        label = file.read(columns=["labels"])["labels"].to_numpy()
    except (pa.ArrowException, OSError):
        return  # reading the rows says more
    signal = np.array([np.sum(label[:test_size] == 1), np.sum(label[test_size:] == 1)])
    for name, rows, n_signal in zip(("test", "training"), n_rows, signal, strict=True):
        if n_signal in (0, rows):
            raise DataError(
                f"{path}: the {name} split ({rows} rows) has no "
                f"{'background' if n_signal else 'signal'}; the first rows of the file are the "
                "test split: shuffle the rows"
            )
    share = signal.sum() / n_rows.sum()
    spread = np.sqrt(share * (1 - share) * (1 / n_rows).sum())
    of_test, of_training = signal / n_rows
    if abs(of_test - of_training) > _BEYOND_CHANCE * spread:
        warnings.warn(
            f"{path}: {of_test:.2%} of the test rows are signal, but {of_training:.2%} of the "
            "training rows, which chance does not do: shuffle the rows if the file is sorted",
            stacklevel=3,
        )


class _Column(NamedTuple):
    """Values of a column, and where they stand."""

    path: Path
    name: str
    first_row: int
    values: NDArray[np.float32]

    def refuse(self, wrong: NDArray[np.bool_], what: str, instead: str) -> None:
        """Raise a DataError that shows the first of the wrong values, if there is any."""
        if wrong.any():
            rows = np.flatnonzero(wrong)
            raise DataError(
                f"{self.path}: column {self.name} has {rows.size} {what}, the first is "
                f"{self.values[rows[0]]:g} in row {self.first_row + rows[0]} of those read; "
                f"{instead}"
            )


def _check_momenta(column: _Column) -> None:
    """Refuse negative momenta; a jet that is not there has -25, and nothing else."""
    if column.name not in _MOMENTA:
        return
    wrong = column.values < 0
    if column.name in _OF_ONE_JET:
        wrong &= column.values != MISSING
    instead = f"only a jet that is not there is marked, with {MISSING:g}"
    column.refuse(wrong, "negative values", instead)


def _check_range(column: _Column) -> None:
    """Refuse momenta in MeV, angles in degrees and numbers that mark what is not there."""
    if column.name not in _RANGES:
        return
    low, high, what = _RANGES[column.name]
    wrong = (column.values < low) | (column.values > high)
    if column.name in _MAY_LACK:
        wrong &= column.values != MISSING
    column.refuse(wrong, f"values outside {low:g} .. {high:g}", f"it must hold {what}")


def checked_columns(table: pa.Table, path: Path, first_row: int = 0) -> dict[str, Any]:
    """Return a table's columns, after checking every value: arrays (float32), processes as text."""
    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table[name]
        if column.null_count:
            raise DataError(f"{path}: column {name} has {column.null_count} empty values")
        # Combining even a single chunk would copy it.
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        if name == "detailed_labels":
            columns[name] = column.cast(pa.string())
            unknown = set(column.unique().to_pylist()) - set(PROCESSES)
            if unknown:
                raise DataError(
                    f"{path}: unknown process {sorted(unknown)} in detailed_labels; known are "
                    f"{', '.join(PROCESSES)}"
                )
            continue
        values = column.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
        finite = np.isfinite(values)
        if not finite.all():
            bad = np.flatnonzero(~finite)
            raise DataError(
                f"{path}: column {name} has {bad.size} values that are NaN or infinite, the first "
                f"in row {first_row + bad[0]} of those read"
            )
        columns[name] = values
        named = _Column(path, name, first_row, values)
        _check_momenta(named)
        _check_range(named)
    if len(table) and columns["weights"].min() < 0:
        raise DataError(f"{path}: {(columns['weights'] < 0).sum()} weights are negative")
    is_signal = pc.equal(columns["detailed_labels"], SIGNAL).to_numpy(zero_copy_only=False)
    wrong = np.count_nonzero(columns["labels"] != is_signal)
    if wrong:
        raise DataError(f"{path}: labels must be 1 for {SIGNAL} and 0 else; {wrong} rows differ")
    return columns
