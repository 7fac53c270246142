"""Pseudo-experiments: what a model is given to measure.

One pseudo-experiment is a bootstrap of the test set under one true mu and one draw of the nuisance
parameters. Each test event appears Poisson(rate x weight) times. That is the same distribution as
drawing the number of all events, N ~ Poisson(total rate), and then each of the N independently in
proportion to rate x weight: rows come shuffled, at a cost that does not grow with the test set.

More exact steps keep the pass over the events short:

- Events that fail the tau cut are never drawn. Events are stored by falling tau pt, so those that
  survive a tau energy scale are the first ones, found by bisection; a Poisson number of events,
  each kept with some probability, is again Poisson.
- The momenta that a nuisance parameter scales are stored with their digits beyond the third decimal
  (:mod:`HiggsML.pseudo_experiments.digits`) and rounded when they have been shifted.
- N is known before the first event is made, so every chunk is written once, into its place.

Randomness is a tree of :class:`numpy.random.SeedSequence`: entropy, then purpose, set, experiment
and chunk. Results do not depend on the number of workers, on order, or on a restart.

Examples
--------
>>> from HiggsML.datasets.reader import Data
>>> store = EventStore.from_data(Data("input_data"))                       # doctest: +SKIP
>>> experiment = store.pseudo_experiment(mu=1.5, nuisances={"tes": 1.01}, seed=7)  # doctest: +SKIP
>>> experiment["data"].shape, experiment["weights"].sum()                  # doctest: +SKIP
((5123, 28), 5123.0)
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from typing import TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from HiggsML.datasets.cached_file import Progress
from HiggsML.datasets.identity import data_identity
from HiggsML.datasets.reader import Data
from HiggsML.errors import DataError, SettingsError
from HiggsML.physics.shifts import HAD_PT_MIN, rate_factors, rounded
from HiggsML.pseudo_experiments.block_memory import BlockMemory
from HiggsML.pseudo_experiments.event_loop import Plan, fill_block
from HiggsML.pseudo_experiments.seeds import generator
from HiggsML.pseudo_experiments.store_file import open_cached
from HiggsML.pseudo_experiments.stored_events import (
    HAD_PT,
    StoredEvents,
    Stratum,
    arrange,
)
from HiggsML.schema import FEATURES, NUISANCES, PROCESSES

__all__ = ["EventStore", "Plan", "PseudoExperiment", "features_frame", "unit_weights"]

MAX_EVENTS_IN_MEMORY = 1_000_000
"""Test sets with more events are converted to a memory-mapped file."""


class PseudoExperiment(TypedDict):
    """What ``Model.predict`` receives: 28 float32 features per event, and weights of one.

    Examples
    --------
    >>> sorted(store.pseudo_experiment(mu=1.0, seed=7))
    ['data', 'weights']
    """

    data: pd.DataFrame
    weights: pd.Series


def features_frame(block: NDArray[np.float32]) -> pd.DataFrame:
    """Return a frame whose columns are views of a block of features, shape (28, n).

    Each column stands for itself, as in frames of the reference implementation: of one block,
    pandas would select columns with negative strides, which ``torch.tensor`` does not take.

    Examples
    --------
    >>> features_frame(np.zeros((28, 3), np.float32)).shape
    (3, 28)
    """
    return pd.DataFrame(dict(zip(FEATURES, block, strict=True)), copy=False)


def unit_weights(n_events: int) -> pd.Series:
    """Return the weights of a pseudo-experiment: a Series (float64) of ones.

    Examples
    --------
    >>> unit_weights(3).tolist()
    [1.0, 1.0, 1.0]
    """
    return pd.Series(np.ones(n_events), name="weights", copy=False)


class EventStore:
    """Test events, arranged so that pseudo-experiments can be drawn quickly.

    Make one with :meth:`from_data` or :meth:`from_frames`.

    Examples
    --------
    >>> store = EventStore.from_data(data)
    >>> experiment = store.pseudo_experiment(mu=1.5, nuisances={"tes": 1.01}, seed=7)
    >>> experiment["data"].shape == (len(experiment["weights"]), 28)
    True
    """

    def __init__(self, events: StoredEvents) -> None:
        self._rows = events.rows
        self._strata = events.strata
        self._cumulative = [events.cumulative(stratum) for stratum in events.strata]
        self._memory = BlockMemory()
        self._starts = np.array([stratum.start for stratum in events.strata], dtype=np.int64)

    @classmethod
    def from_data(cls, data: Data, progress: Progress | None = None) -> EventStore:
        """Build a store from the test split of a dataset.

        A large one (see :data:`MAX_EVENTS_IN_MEMORY`) is memory-mapped: converted the first time,
        then opened at once.

        Parameters
        ----------
        data : Data
            The dataset.
        progress : callable, optional
            Called with how many of how many steps of a conversion are done.
        """
        if data.test_size > MAX_EVENTS_IN_MEMORY:
            return cls(open_cached(data, progress))
        frame = pd.concat(list(data.iter_test_groups()) or [pd.DataFrame()], ignore_index=True)
        total = frame["weights"].to_numpy().sum(dtype=np.float64) if len(frame) else 0.0
        if total <= 0:
            raise DataError(f"the test set of {data.path} holds no events of positive weight")
        groups = frame.groupby("detailed_labels", observed=True)
        by_process = {str(process): events for process, events in groups}
        scale = data.sum_weights() / total
        return cls(arrange(by_process, scale=scale, identity=data_identity(data)))

    @classmethod
    def from_frames(cls, test_set: Mapping[str, pd.DataFrame]) -> EventStore:
        """Build a store from frames by process, as ``Data.get_test_set`` returns them."""
        return cls(arrange(test_set))

    def __len__(self) -> int:
        return len(self._rows)

    def effective_repeats(self) -> dict[str, float]:
        """Stored events per expected event (mu = 1), by process.

        Below about 20 the bootstrap repeats events so often that the finite simulation, not the
        method, decides the coverage.
        """
        stored = dict.fromkeys(PROCESSES, 0)
        expected = dict.fromkeys(PROCESSES, 0.0)
        for stratum in self._strata:
            stored[stratum.process] += stratum.count
            expected[stratum.process] += stratum.weight * stratum.count
        return {name: stored[name] / expected[name] for name in PROCESSES if expected[name]}

    def plan(
        self,
        *,
        mu: float,
        nuisances: Mapping[str, float | None] | None = None,
        seed: int | np.random.SeedSequence,
    ) -> Plan:
        """Draw the number of events of a pseudo-experiment.

        Parameters
        ----------
        mu : float
            True signal strength.
        nuisances : mapping of str to float or None, optional
            Values of any of the six; absent or None means nominal.
        seed : int or numpy.random.SeedSequence
            Source of all randomness of this pseudo-experiment.
        """
        values = dict(nuisances or {})
        unknown = sorted(set(values) - set(NUISANCES))
        if unknown:
            raise SettingsError(f"unknown nuisances {unknown}; known are {', '.join(NUISANCES)}")
        shifts = {}
        for name in ("tes", "jes", "soft_met"):
            value = values.pop(name, None)
            shifts[name] = float(NUISANCES[name].nominal if value is None else value)
        possible = shifts["tes"] > 0 and shifts["jes"] > 0 and shifts["soft_met"] >= 0
        if not possible or not all(map(math.isfinite, shifts.values())):
            raise SettingsError(
                f"tes and jes must be positive, soft_met at least 0, all finite: {shifts}"
            )
        factors = rate_factors(mu=mu, **values)
        eligible = np.array([self._count_above(s, shifts["tes"]) for s in self._strata])
        expected = np.array([
            factors[stratum.process] * self._total_weight(k, int(eligible[k]))
            for k, stratum in enumerate(self._strata)
        ])  # fmt: skip
        order = np.argsort(-expected, kind="stable")
        ends = np.cumsum(expected[order])
        sequence = (
            seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
        )
        return Plan(
            n_events=int(generator(sequence, 0).poisson(ends[-1])),
            shifts=shifts,
            seed=sequence,
            ends=ends,
            starts=self._starts[order],
            eligible=eligible[order],
            cumulative=tuple(self._cumulative[k] for k in order),
        )

    def fill(
        self,
        plan: Plan,
        block: NDArray[np.float32],
        *,
        corrected: bool = False,
        threads: int = 1,
    ) -> None:
        """Make the events of ``plan``.

        Parameters
        ----------
        plan : Plan
            From :meth:`plan`.
        block : array of shape (28, n_events), float32
            Where the features are written, column by column of :data:`HiggsML.schema.FEATURES`.
            What others can read of it meanwhile is final.
        corrected : bool
            How jets that are cut away are counted, see
            :func:`HiggsML.physics.shifts.without_soft_jets`.
        threads : int
            How many work at once; changes no number.
        """
        if block.shape != (len(FEATURES), plan.n_events):
            raise SettingsError(
                f"the block must have the shape {(len(FEATURES), plan.n_events)}, not {block.shape}"
            )
        fill_block(self._rows, plan, block, corrected=corrected, threads=threads)

    def pseudo_experiment(
        self,
        *,
        mu: float,
        nuisances: Mapping[str, float | None] | None = None,
        seed: int | np.random.SeedSequence,
        corrected: bool = False,
        threads: int = 1,
    ) -> PseudoExperiment:
        """Make one pseudo-experiment; see :meth:`plan` and :meth:`fill` for the parameters.

        The memory of earlier ones is used again when nothing refers to their data any more.

        Returns
        -------
        dict
            ``data``, a frame of n events with the 28 features (float32; GeV and radians), and
            ``weights``, a Series of n ones.
        """
        plan = self.plan(mu=mu, nuisances=nuisances, seed=seed)
        block = self._memory.block(plan.n_events)
        self.fill(plan, block, corrected=corrected, threads=threads)
        return {"data": features_frame(block), "weights": unit_weights(plan.n_events)}

    def _count_above(self, stratum: Stratum, tes: float) -> int:
        """Count the events whose tau passes its cut, with the very arithmetic of the shift."""

        def fails(offset: int) -> bool:
            row = stratum.start + offset
            return bool(rounded(self._rows[row : row + 1, HAD_PT] * tes)[0] < HAD_PT_MIN)

        return bisect.bisect_left(range(stratum.count), True, key=fails)

    def _total_weight(self, k: int, count: int) -> float:
        """Sum of the weights of the first ``count`` events of stratum ``k``."""
        cumulative = self._cumulative[k]
        if cumulative is None:
            return self._strata[k].weight * count
        return float(cumulative[count - 1]) if count else 0.0
