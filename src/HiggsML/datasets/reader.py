"""The one reader of the official dataset layout: a parquet file and its ``*_metadata.json``.

The first share of the rows is the test set, the rest the training set. Only the row groups that
hold requested rows are read. Derived quantities that the file does not hold are computed.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from HiggsML.errors import DataError, SettingsError
from HiggsML.physics.features import derive_in_chunks
from HiggsML.schema import (
    DER_COLUMNS,
    FEATURES,
    LABEL_COLUMNS,
    MISSING,
    PRI_COLUMNS,
    PROCESSES,
    SIGNAL,
)
from HiggsML.source_files import openable, refuse_pointer, visible
from HiggsML.systematics import DEFAULT_SEED, systematics
from HiggsML.systematics.arguments import random_generator

__all__ = ["Data", "split_size"]

logger = logging.getLogger(__name__)


_REQUIRED = (*PRI_COLUMNS, *LABEL_COLUMNS)
_KNOWN = frozenset((*_REQUIRED, *DER_COLUMNS))
_PANDAS_INDEX = "__index_level_"  # how pandas names the column of a frame's index
_BATCH_ROWS = 250_000
_OF_ONE_JET = ("PRI_jet_leading_pt", "PRI_jet_subleading_pt")
_MOMENTA = ("PRI_lep_pt", "PRI_had_pt", "PRI_jet_all_pt", "PRI_met", *_OF_ONE_JET)
_CHECKED_ROWS = 5_000_000  # of larger files, reading a column takes longer than is worth it
_FEWEST_ROWS = 100  # in either split: of fewer, chance may leave out a class
_BEYOND_CHANCE = 6.0  # standard deviations


def split_size(size: Any, available: int, name: str) -> int:
    """Turn a share (float in 0..1) or a count (int) of rows into a count of at most ``available``.

    Raises
    ------
    SettingsError
        If it is negative, a share above 1, or not a number.

    Examples
    --------
    >>> split_size(0.3, 1000, "test_size"), split_size(50, 1000, "test_size")
    (300, 50)
    """
    if isinstance(size, (bool, np.bool_)) or not isinstance(size, (int, float, np.number)):
        raise SettingsError(f"{name} must be a share (float) or a count (int), not {size!r}")
    if isinstance(size, (float, np.floating)):
        if not 0.0 <= size <= 1.0:
            raise SettingsError(f"{name} as a share must lie in 0.0 .. 1.0, got {size}")
        return int(size * available)
    if size < 0:
        raise SettingsError(f"{name} as a count must not be negative, got {size}")
    if size > available:
        logger.info("%s of %d rows asked for; all %d are used", name, size, available)
    return min(int(size), available)


class Data:
    """A dataset directory in the official layout.

    Parameters
    ----------
    input_dir : str or Path
        Directory with one parquet file and, usually, one ``*_metadata.json``.
    test_size : float or int
        Share or number of rows, from the start of the file, that form the test set.
    data_format : str
        "parquet"; an option of earlier releases.

    Attributes
    ----------
    metadata : dict
        Content of the metadata file, empty without one.
    total_rows, test_size, train_size : int
        Numbers of rows in the file, its test set and its training set.

    Raises
    ------
    DataError
        If the directory or its files are not as required; the message says what and where.

    Examples
    --------
    >>> data = Data(folder / "dataset", test_size=0.25)
    >>> data.load_train_set()
    >>> data.get_train_set().shape
    (450, 31)
    """

    def __init__(
        self,
        input_dir: str | Path,
        test_size: float = 0.3,
        *,
        data_format: str = "parquet",
    ) -> None:
        if data_format != "parquet":
            raise SettingsError(
                f"data_format {data_format!r} is no longer read: the datasets of today are parquet"
            )
        self.input_dir = Path(input_dir)
        self.path = _single_parquet(self.input_dir)
        refuse_pointer(self.path)
        try:
            source = openable(self.path)
            self.parquet_file = pq.ParquetFile(source, read_dictionary=["detailed_labels"])
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.path} is not a readable parquet file: {error}") from error
        self.total_rows = int(self.parquet_file.metadata.num_rows)
        _check_schema(self.parquet_file.schema_arrow, self.path)
        names = self.parquet_file.schema_arrow.names
        self.metadata = _read_metadata(self.path, self.total_rows, names)
        self.test_size = split_size(test_size, self.total_rows, "test_size")
        self.train_size = self.total_rows - self.test_size
        _check_split(self.parquet_file, self.test_size, self.path)
        self._train_set: pd.DataFrame | None = None
        self._test_set: dict[str, pd.DataFrame] | None = None

    def load_train_set(
        self,
        train_size: float | None = None,
        selected_indices: ArrayLike | None = None,
        *,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        """Load training events; :meth:`get_train_set` then returns them.

        Parameters
        ----------
        train_size : float or int, optional
            Share or number of the training rows, chosen at random; a larger number means all.
        selected_indices : array of int, optional
            Positions within the training set instead; ignored when ``train_size`` is given.
            Floats that are whole numbers are fine.
        seed : int or numpy.random.Generator, optional
            Choice of the rows. Without one, NumPy's global state decides, as in the reference
            implementation: ``numpy.random.seed`` makes the choice repeatable. (In a judged run it
            always is.)
        """
        if train_size is not None:
            count = split_size(train_size, self.train_size, "train_size")
            source = np.random if seed is None else random_generator(seed)
            chosen = np.sort(source.choice(self.train_size, size=count, replace=False))
        elif selected_indices is not None:
            chosen = _checked_indices(selected_indices, self.train_size)
        else:
            chosen = np.arange(self.train_size)
        self._train_set = self._load(chosen + self.test_size)

    def load_test_set(self) -> None:
        """Load the test events; :meth:`get_test_set` then returns them."""
        frame = self._load(np.arange(self.test_size)).drop(columns="labels")
        self._test_set = {
            process: frame[frame["detailed_labels"] == process].drop(columns="detailed_labels")
            for process in PROCESSES
        }

    def get_train_set(self) -> pd.DataFrame | None:
        """Return the loaded training set, or None.

        Returns
        -------
        DataFrame
            The 28 features (float32), ``weights``, ``detailed_labels`` (process) and ``labels``
            (1 signal, 0 background); then columns of the file that the challenge does not know. The
            weights sum to the expected number of events.
        """
        if self._train_set is None:
            logger.warning("there is no training set yet: call load_train_set first")
        return self._train_set

    def get_test_set(self) -> dict[str, pd.DataFrame] | None:
        """Return the loaded test set as one frame per process (features and weights), or None."""
        return self._test_set

    def delete_train_set(self) -> None:
        """Free the training set's memory."""
        self._train_set = None

    def get_syst_train_set(
        self,
        tes: float = 1.0,
        jes: float = 1.0,
        soft_met: float = 0.0,
        ttbar_scale: float | None = None,
        diboson_scale: float | None = None,
        bkg_scale: float | None = None,
        dopostprocess: bool = False,
        *,
        seed: int | np.random.Generator = DEFAULT_SEED,
    ) -> pd.DataFrame:
        """Return the training set (loaded if need be) under systematic shifts."""
        if self._train_set is None:
            self.load_train_set()
        assert self._train_set is not None  # noqa: S101 (for the type checker)
        return systematics(
            self._train_set,
            tes=tes,
            jes=jes,
            soft_met=soft_met,
            seed=seed,
            ttbar_scale=ttbar_scale,
            diboson_scale=diboson_scale,
            bkg_scale=bkg_scale,
            dopostprocess=dopostprocess,
        )

    def iter_test_groups(self, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """Yield the test set piece by piece, in file order, never more than a few at a time.

        The weights are those of the file: scale them so that they sum to :meth:`sum_weights`.

        Parameters
        ----------
        columns : sequence of str, optional
            Which to read; primaries and labels by default. The labels must be among them.
        """
        left = self.test_size
        batches = self.parquet_file.iter_batches(_BATCH_ROWS, columns=list(columns or _REQUIRED))
        try:
            for batch in batches:
                table = pa.Table.from_batches([batch]).slice(0, left)
                left -= len(table)
                found = _checked_columns(table, self.path)
                found["detailed_labels"] = found["detailed_labels"].to_pandas()
                yield pd.DataFrame(found)
                if left <= 0:
                    break
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.path} can not be read: {error}") from error

    def sum_weights(self) -> float:
        """Expected number of events: the metadata's, or else the sum of the file's weights."""
        if "sum_weights" not in self.metadata:
            total = 0.0
            try:
                for batch in self.parquet_file.iter_batches(_BATCH_ROWS, columns=["weights"]):
                    weights = batch["weights"].to_numpy(zero_copy_only=False).astype(np.float64)
                    if not (np.isfinite(weights).all() and (weights >= 0).all()):
                        raise DataError(f"{self.path}: some weights are negative, NaN or infinite")
                    total += float(weights.sum())
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{self.path} can not be read: {error}") from error
            self.metadata["sum_weights"] = total
        return float(self.metadata["sum_weights"])

    def _load(self, rows: NDArray[np.intp]) -> pd.DataFrame:
        """Read rows (sorted positions in the file), check them, complete and scale them."""
        columns: list[str] = self.parquet_file.schema_arrow.names
        features = np.empty((len(FEATURES), rows.size), dtype=np.float32)
        place = dict(zip(FEATURES, features, strict=True))
        weights, labels = np.empty((2, rows.size), dtype=np.float32)
        place |= {"weights": weights, "labels": labels}
        others: dict[str, list[pa.ChunkedArray]] = {
            name: []
            for name in columns
            if name not in _KNOWN and not name.startswith(_PANDAS_INDEX)
        }
        processes, filled = [], 0
        for table in self._tables(rows, columns):
            for name, pieces in others.items():
                pieces.append(table[name])
            table = table.select([name for name in columns if name in _KNOWN])
            for name, values in _checked_columns(table, self.path, filled).items():
                if name == "detailed_labels":
                    processes.append(values)
                else:
                    place[name][filled : filled + len(table)] = values
            filled += len(table)
        primaries, derived = np.split(features, [len(PRI_COLUMNS)])
        if not set(DER_COLUMNS) <= set(columns):
            derive_in_chunks({name: place[name] for name in PRI_COLUMNS}, derived)
        total = weights.sum(dtype=np.float64)
        if total > 0:
            weights[:] = weights.astype(np.float64) * (self.sum_weights() / total)
        label_columns = {
            "weights": weights,
            "detailed_labels": pa.chunked_array(processes, pa.string()).to_pandas(),
            "labels": labels,
        }
        # Of views: putting single columns in order would copy them all.
        return pd.concat(
            [
                pd.DataFrame(primaries.T, columns=list(PRI_COLUMNS), copy=False),
                pd.DataFrame(label_columns),
                pd.DataFrame(derived.T, columns=list(DER_COLUMNS), copy=False),
                pd.DataFrame(self._other_columns(others)),
            ],
            axis=1,
        )

    def _other_columns(self, pieces: Mapping[str, list[pa.ChunkedArray]]) -> dict[str, pd.Series]:
        """Return columns that the challenge does not know, as they are in the file."""
        schema = self.parquet_file.schema_arrow
        return {
            name: pa.chunked_array(
                [chunk for part in parts for chunk in part.chunks], schema.field(name).type
            ).to_pandas()
            for name, parts in pieces.items()
        }

    def _tables(self, rows: NDArray[np.intp], columns: list[str]) -> Iterator[pa.Table]:
        """Yield the wanted rows (sorted positions) of each row group that has any."""
        start = 0
        for group in range(self.parquet_file.num_row_groups):
            end = start + self.parquet_file.metadata.row_group(group).num_rows
            first, last = np.searchsorted(rows, [start, end])
            if last > first:
                try:
                    table = self.parquet_file.read_row_group(group, columns=columns)
                except (pa.ArrowException, OSError) as error:
                    raise DataError(f"{self.path}, row group {group}: {error}") from error
                inside = rows[first:last] - start
                # Rows in sequence need no copy. Counting them is not enough: an index may come
                # twice, and rows that nobody asked for (of the test set) would be handed out.
                if (np.diff(inside) == 1).all():
                    yield table.slice(int(inside[0]), inside.size)
                else:
                    yield table.take(pa.array(inside))
            start = end


def _single_parquet(directory: Path) -> Path:
    if not directory.is_dir():
        raise DataError(
            f"{directory} is not a directory: name the one that holds the dataset, or make "
            f"one: higgsml generate --scenario mini --events 480000 --output {directory}"
        )
    found = visible(directory, "*.parquet")
    if not found:
        raise DataError(
            f"no parquet file in {directory}: a dataset is one <name>.parquet and its "
            "<name>_metadata.json; 'higgsml generate' makes one"
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DataError(f"{directory} holds {len(found)} parquet files ({names}): leave one there")
    return found[0]


def _check_schema(schema: pa.Schema, path: Path) -> None:
    missing = [name for name in _REQUIRED if name not in schema.names]
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}")
    if len(set(schema.names)) < len(schema.names):
        raise DataError(f"{path} names a column twice")
    for field in schema:
        if field.name not in _KNOWN:
            continue
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        is_number = pa.types.is_floating(kind) or pa.types.is_integer(kind)
        if field.name == "detailed_labels" and not is_text:
            raise DataError(f"{path}: column detailed_labels must hold text, not {field.type}")
        if field.name != "detailed_labels" and not is_number:
            raise DataError(f"{path}: column {field.name} must be numeric, not {field.type}")


def _read_metadata(parquet: Path, total_rows: int, schema_names: Sequence[str]) -> dict[str, Any]:
    """Read and check the metadata file beside ``parquet``; without one, return {}."""
    found = visible(parquet.parent, "*_metadata.json")
    if not found:
        logger.warning("no *_metadata.json beside %s: the sum of its weights is used", parquet)
        return {}
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DataError(f"{parquet.parent} holds several metadata files ({names}): leave one")
    path = found[0]
    refuse_pointer(path)
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
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


def whole_numbers(selected: ArrayLike) -> NDArray[Any]:
    """Return ``selected_indices`` as an array of integers; integral floats are fine.

    Raises
    ------
    SettingsError
        If they are anything else.
    """
    indices = np.asarray(selected)
    if indices.ndim == 1 and indices.dtype.kind == "f" and np.isfinite(indices).all():
        whole = indices.astype(np.int64)
        indices = whole if (whole == indices).all() else indices
    if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
        raise SettingsError("selected_indices must be a list or one-dimensional array of integers")
    return indices


def _check_split(file: pq.ParquetFile, test_size: int, path: Path) -> None:
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
    for name, rows, found in zip(("test", "training"), n_rows, signal, strict=True):
        if found in (0, rows):
            raise DataError(
                f"{path}: the {name} split ({rows} rows) has no "
                f"{'background' if found else 'signal'}; the first rows of the file are the test "
                "split: shuffle the rows"
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


def _checked_indices(selected: ArrayLike, available: int) -> NDArray[np.intp]:
    indices = whole_numbers(selected)
    if indices.size and (indices.min() < 0 or indices.max() >= available):
        raise SettingsError(
            f"selected_indices must lie in 0 .. {available - 1} (positions within the training "
            f"set), got {indices.min()} .. {indices.max()}"
        )
    return np.sort(indices.astype(np.intp))


def _check_momenta(name: str, values: NDArray[np.float32], path: Path, first_row: int) -> None:
    """Refuse negative momenta; a jet that is not there has -25, and nothing else."""
    if name not in _MOMENTA:
        return
    wrong = values < 0
    if name in _OF_ONE_JET:
        wrong &= values != MISSING
    if wrong.any():
        bad = np.flatnonzero(wrong)
        raise DataError(
            f"{path}: column {name} has {bad.size} negative values, the first is "
            f"{values[bad[0]]:g} in row {first_row + bad[0]} of those read; only a jet that is "
            f"not there is marked, with {MISSING:g}"
        )


def _checked_columns(table: pa.Table, path: Path, first_row: int = 0) -> dict[str, Any]:
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
        _check_momenta(name, values, path, first_row)
    if len(table) and columns["weights"].min() < 0:
        raise DataError(f"{path}: {(columns['weights'] < 0).sum()} weights are negative")
    is_signal = pc.equal(columns["detailed_labels"], SIGNAL).to_numpy(zero_copy_only=False)
    wrong = np.count_nonzero(columns["labels"] != is_signal)
    if wrong:
        raise DataError(f"{path}: labels must be 1 for {SIGNAL} and 0 else; {wrong} rows differ")
    return columns
