"""Test events arranged for drawing: in strata of equal weight, by falling tau pt.

Few events fit into memory (:func:`arrange`). Many are converted once, by streaming, into a file
that is memory-mapped (:mod:`HiggsML.pseudo_experiments.store_file`). Both give the same rows in the
same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from HiggsML.errors import DataError
from HiggsML.physics.shifts import LEP_PT_MIN, rounded
from HiggsML.pseudo_experiments.digits import Digits
from HiggsML.schema import PRI_COLUMNS, PROCESSES

__all__ = [
    "HAD_PT",
    "MAX_STRATA",
    "Buckets",
    "Layout",
    "Rows",
    "StoredEvents",
    "Stratum",
    "arrange",
    "kept_events",
    "rows_and_weights",
    "tau_pt_bins",
]

HAD_PT = PRI_COLUMNS.index("PRI_had_pt")

MAX_STRATA = 64
"""A process with more distinct weights becomes one stratum with cumulative weights."""

Rows = NDArray[np.float32]

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


def arrange(
    frames: Mapping[str, pd.DataFrame],
    *,
    scale: float = 1.0,
    identity: Mapping[str, Any] | None = None,
) -> StoredEvents:
    """Arrange events in memory.

    Parameters
    ----------
    frames : mapping of str to DataFrame
        By process: the sixteen primaries and ``weights``.
    scale : float
        Factor on all weights.
    identity : mapping, optional
        What tells the dataset from others, see :class:`HiggsML.pseudo_experiments.digits.Digits`;
        by default the number of events of each process.
    """
    unknown = sorted(set(frames) - set(PROCESSES))
    if unknown:
        raise DataError(f"unknown process {unknown} in the test set; known are {PROCESSES}")
    layout = Layout()
    digits = Digits(identity or {name: len(frame) for name, frame in frames.items()})
    pieces = {name: rows_and_weights(name, frame, digits) for name, frame in frames.items()}
    for name, (rows, weights) in pieces.items():
        layout.count(name, rows[:, HAD_PT], weights)
    strata = layout.strata(scale)
    n_rows = sum(stratum.count for stratum in strata)
    if not n_rows:
        raise DataError("the test set holds no events of positive weight that pass the lepton cut")
    stored = np.empty((n_rows, len(PRI_COLUMNS)), dtype=np.float32)
    mixed = any(stratum.mixed for stratum in strata)
    all_weights = np.empty(n_rows) if mixed else None
    for stratum, stratum_key in zip(strata, layout.keys_in_order(), strict=True):
        rows, weights = pieces[stratum.process]
        mine = np.flatnonzero(layout.member(stratum_key, weights))
        order = mine[np.argsort(-rows[mine, HAD_PT], kind="stable")]
        where = slice(stratum.start, stratum.start + stratum.count)
        stored[where] = rows[order]
        if all_weights is not None:
            all_weights[where] = weights[order] * scale
    return StoredEvents(stored, strata, all_weights)


class Layout:
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
        bins = tau_pt_bins(had_pt)
        for k, weight in enumerate(values):
            counts = np.bincount(bins[group == k], minlength=_PT_BINS)
            key = (process, float(weight))
            self._counts[key] = self._counts.get(key, 0) + counts

    def keys_in_order(self) -> list[tuple[str, float]]:
        """Return process and weight of each stratum, in order."""
        return sorted(self._counts, key=lambda key: (PROCESSES.index(key[0]), key[1]))

    def strata(self, scale: float) -> tuple[Stratum, ...]:
        """Return the strata, one after the other, with scaled weights."""
        strata_, start = [], 0
        for process, weight in self.keys_in_order():
            count = int(self._counts[process, weight].sum())
            mixed = process in self._mixed
            mean = self._mixed[process] / max(count, 1) if mixed else weight
            strata_.append(Stratum(process, start, count, float(mean * scale), mixed))
            start += count
        return tuple(strata_)

    def member(self, key: tuple[str, float], weights: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which of a process's events belong to a stratum."""
        if key[0] in self._mixed:
            return np.ones(len(weights), dtype=bool)
        same: NDArray[np.bool_] = weights == key[1]
        return same

    def buckets(self, strata: tuple[Stratum, ...]) -> Buckets:
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
        return Buckets(of_bin, np.array(starts))


@dataclass
class Buckets:
    """Where each bucket of events begins, and how far it is filled."""

    of_bin: dict[tuple[str, float], NDArray[np.int64]]
    starts: NDArray[np.int64]

    def __post_init__(self) -> None:
        self.cursor = self.starts[:-1].copy()

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield first row and end of each bucket."""
        yield from zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True)


def kept_events(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell which events can be drawn; no shift changes the lepton, so its cut is applied here."""
    lep_pt = rounded(frame["PRI_lep_pt"].to_numpy(np.float32))
    return (lep_pt >= LEP_PT_MIN) & (frame["weights"].to_numpy() > 0)


def rows_and_weights(
    process: str, frame: pd.DataFrame, digits: Digits
) -> tuple[Rows, NDArray[np.float64]]:
    """Return a process's next events that can be drawn: primaries, shape (n, 16), and weights.

    Momenta that a nuisance parameter scales have their digits back, all else is rounded.
    """
    kept = frame[kept_events(frame)]
    columns = [rounded(kept[name].to_numpy(np.float32)) for name in PRI_COLUMNS]
    rows = digits.restore(process, np.stack(columns, axis=1))
    return rows, kept["weights"].to_numpy(np.float64)


def tau_pt_bins(had_pt: Rows) -> NDArray[np.int64]:
    """Return which bin of the counting pass each tau pt, rounded as it is there, is in."""
    bins: NDArray[np.int64] = (np.clip(rounded(had_pt), 0, 1e4) * 100).astype(np.int64)
    return np.minimum(bins, _PT_BINS - 1)
