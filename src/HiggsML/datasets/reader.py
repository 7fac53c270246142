"""The one reader of the official dataset layout: a parquet file and its ``*_metadata.json``.

The first share of the rows is the test set, the rest the training set. Only the row groups that
hold requested rows are read. Derived quantities that the file does not hold are computed.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from HiggsML.datasets.checks import (
    KNOWN,
    REQUIRED,
    check_split,
    open_parquet,
    other_columns,
    read_metadata,
)
from HiggsML.datasets.folder import single_parquet
from HiggsML.datasets.values import checked_columns
from HiggsML.errors import DataError, SettingsError
from HiggsML.files import size_text
from HiggsML.machine import machine_memory
from HiggsML.physics.features import derive_in_chunks
from HiggsML.schema import (
    DER_COLUMNS,
    FEATURES,
    PRI_COLUMNS,
    PROCESSES,
)
from HiggsML.systematics import DEFAULT_SEED, systematics
from HiggsML.systematics.arguments import random_generator

__all__ = [
    "EVENT_BYTES",
    "Data",
    "TrainSet",
    "as_series",
    "scale_weights",
    "split_size",
    "training_rows",
    "whole_numbers",
]

logger = logging.getLogger(__name__)


EVENT_BYTES = 160
"""Of a training event in memory: features, labels, name of the process, position."""

_BATCH_ROWS = 250_000
_SCALED_ROWS = 1_000_000


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
        if not isinstance(input_dir, (str, os.PathLike)):
            raise DataError(f"input_dir must be the path of a dataset's folder, not {input_dir!r}")
        self.input_dir = Path(input_dir)
        self.path = single_parquet(self.input_dir)
        self.parquet_file = open_parquet(self.path)
        self.total_rows = int(self.parquet_file.metadata.num_rows)
        names = self.parquet_file.schema_arrow.names
        self.metadata = read_metadata(self.path, self.total_rows, names)
        self.test_size = split_size(test_size, self.total_rows, "test_size")
        self.train_size = self.total_rows - self.test_size
        check_split(self.parquet_file, self.test_size, self.path)
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
        source = np.random if seed is None or train_size is None else random_generator(seed)
        chosen = training_rows(self.train_size, train_size, selected_indices, source)
        chosen = np.arange(self.train_size) if chosen is None else chosen
        _warn_of_size(chosen.size, self.train_size)
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
        for _, table in self._pieces(0, self.test_size, columns or REQUIRED):
            checked = checked_columns(table, self.path)
            checked["detailed_labels"] = checked["detailed_labels"].to_pandas()
            yield pd.DataFrame(checked)

    def iter_training_tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the training set piece by piece, in file order, all columns or some, unchecked."""
        for _, table in self._pieces(self.test_size, self.total_rows, columns):
            yield table

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
        destination = dict(zip(FEATURES, features, strict=True))
        weights, labels = np.empty((2, rows.size), dtype=np.float32)
        destination |= {"weights": weights, "labels": labels}
        others: dict[str, list[pa.ChunkedArray]] = {
            name: [] for name in other_columns(self.parquet_file.schema_arrow)
        }
        processes, filled = [], 0
        for table in self._tables(rows, columns):
            for name, pieces in others.items():
                pieces.append(table[name])
            table = table.select([name for name in columns if name in KNOWN])
            for name, values in checked_columns(table, self.path, filled).items():
                if name == "detailed_labels":
                    processes.append(values)
                else:
                    destination[name][filled : filled + len(table)] = values
            filled += len(table)
        primaries, derived = np.split(features, [len(PRI_COLUMNS)])
        if not set(DER_COLUMNS) <= set(columns):
            derive_in_chunks({name: destination[name] for name in PRI_COLUMNS}, derived)
        scale_weights(weights, self.sum_weights())
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
            name: as_series(
                pa.chunked_array(
                    [chunk for part in parts for chunk in part.chunks], schema.field(name).type
                ),
                f"{self.path}: column {name}",
            )
            for name, parts in pieces.items()
        }

    def _tables(self, rows: NDArray[np.intp], columns: list[str]) -> Iterator[pa.Table]:
        """Yield the wanted rows (sorted positions), piece by piece."""
        bounds = self._row_group_ends()
        wanted = np.diff(np.searchsorted(rows, [0, *bounds])) > 0
        # Each sequence of row groups that hold wanted rows is read on its own.
        changes = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]])))
        for first, last in changes.reshape(-1, 2):
            ends = int(bounds[first - 1]) if first else 0, int(bounds[last - 1])
            for start, table in self._pieces(*ends, columns):
                begin, end = np.searchsorted(rows, [start, start + len(table)])
                if end == begin:
                    continue
                inside = rows[begin:end] - start
                # Rows in sequence need no copy. Counting them is not enough: an index may come
                # twice, and rows that nobody asked for (of the test set) would be handed out.
                if (np.diff(inside) == 1).all():
                    yield table.slice(int(inside[0]), inside.size)
                else:
                    yield table.take(pa.array(inside))

    def _pieces(
        self, first: int, last: int, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield the rows from ``first`` to before ``last``, a few at a time, with their position.

        However large a row group is, never more than a part of it is in memory.
        """
        names = list(columns or self.parquet_file.schema_arrow.names)
        ends = self._row_group_ends()
        starts = np.concatenate([[0], ends[:-1]])
        groups = np.flatnonzero((ends > first) & (starts < last))
        # Arrow keeps something of every row group that it has read until the last of them is done:
        # so no more are read together than make a batch.
        batch = (starts[groups] - starts[groups[:1]]) // _BATCH_ROWS
        for together in np.split(groups, np.flatnonzero(np.diff(batch)) + 1):
            start = int(starts[together[0]]) if together.size else last
            try:
                for piece in self.parquet_file.iter_batches(
                    _BATCH_ROWS, row_groups=together.tolist(), columns=names
                ):
                    before = max(0, first - start)
                    table = pa.Table.from_batches([piece]).slice(before, last - start - before)
                    if len(table):
                        yield start + before, table
                    start += piece.num_rows
            except (pa.ArrowException, OSError) as error:
                group = int(np.searchsorted(ends, start, side="right"))
                raise DataError(f"{self.path}, row group {group}: {error}") from error

    def _row_group_ends(self) -> NDArray[np.int64]:
        """Return the position after the last row of each row group."""
        metadata = self.parquet_file.metadata
        sizes = [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
        return np.cumsum(np.array(sizes, dtype=np.int64))


def scale_weights(weights: NDArray[np.float32], sum_weights: float) -> None:
    """Have weights sum to the expected number of events, in place and a few at a time.

    Raises
    ------
    DataError
        If they are all zero.
    """
    total = weights.sum(dtype=np.float64)
    if weights.size and not total > 0:
        raise DataError(
            f"the weights of all {weights.size} events read are zero, so they can not sum to the "
            f"expected number of events ({sum_weights:g}): each needs its cross section times "
            "luminosity over the number of generated events"
        )
    for start in range(0, weights.size, _SCALED_ROWS):
        part = weights[start : start + _SCALED_ROWS]
        part[:] = part.astype(np.float64) * (sum_weights / total)


def as_series(column: pa.ChunkedArray, where: str) -> pd.Series:
    """Return a column that the challenge does not know for a frame.

    Raises
    ------
    DataError
        If pandas has nothing for its type: the time of a zone that this machine does not know, ...
    """
    try:
        series: pd.Series = column.to_pandas()
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise DataError(
            f"{where} ({column.type}) can not be read: {error}; remove it from the file, or give "
            "it another type"
        ) from error
    return series


def training_rows(
    available: int,
    train_size: float | None,
    selected_indices: ArrayLike | None,
    source: Any,
) -> NDArray[np.intp] | None:
    """Return which training rows were asked for, sorted; None means all, without any choice.

    Parameters
    ----------
    available : int
        How many there are.
    train_size, selected_indices
        See :meth:`Data.load_train_set`.
    source : numpy.random.Generator or module
        Has the method ``choice``.
    """
    if train_size is not None:
        count = split_size(train_size, available, "train_size")
        chosen: NDArray[np.intp] = np.sort(source.choice(available, size=count, replace=False))
        return chosen
    return None if selected_indices is None else _checked_indices(selected_indices, available)


def _warn_of_size(count: int, available: int) -> None:
    """Warn of a training set that is larger than the machine's memory."""
    size, memory = count * EVENT_BYTES, machine_memory()
    if size > memory:
        warnings.warn(
            f"{count:,} of {available:,} training events take {size_text(size)}, and this machine "
            f"has {size_text(memory)} of memory: load_train_set(train_size="
            f"{memory // (2 * EVENT_BYTES)}) leaves room for a copy",
            stacklevel=3,
        )


class TrainSet:
    """The ``get_train_set`` of a Model in this process; pickled with it, it forgets the events.

    Without a seed it gives the same rows in every run, as a judged run does.

    Parameters
    ----------
    data : Data
        Keeps none of the events.

    Examples
    --------
    >>> len(TrainSet(data)(train_size=100))
    100
    """

    def __init__(self, data: Data | None) -> None:
        self._data = data

    def __call__(
        self, train_size: Any = None, selected_indices: Any = None, *, seed: int | None = None
    ) -> pd.DataFrame | None:
        """Return training events; see :meth:`Data.load_train_set`."""
        if self._data is None:
            raise SettingsError("get_train_set can be called in __init__ and fit, not in predict")
        seed = DEFAULT_SEED if seed is None else seed
        self._data.load_train_set(
            train_size=train_size, selected_indices=selected_indices, seed=seed
        )
        frame = self._data.get_train_set()
        self._data.delete_train_set()
        return frame

    def __reduce__(self) -> tuple[Any, ...]:
        return TrainSet, (None,)


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


def _checked_indices(selected: ArrayLike, available: int) -> NDArray[np.intp]:
    indices = whole_numbers(selected)
    if indices.size and (indices.min() < 0 or indices.max() >= available):
        raise SettingsError(
            f"selected_indices must lie in 0 .. {available - 1} (positions within the training "
            f"set), got {indices.min()} .. {indices.max()}"
        )
    return np.sort(indices.astype(np.intp))
