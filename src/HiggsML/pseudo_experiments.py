"""Pseudo-experiments: what a model is given to measure.

One pseudo-experiment is a bootstrap of the test set under one true mu and one draw of the nuisance
parameters. Each test event appears Poisson(rate x weight) times. That is the same distribution as
drawing the number of all events, N ~ Poisson(total rate), and then each of the N independently in
proportion to rate x weight: rows come shuffled, at a cost that does not grow with the test set.

Two more exact steps keep the pass over the events short:

- Events that fail the tau cut are never drawn. Events are stored by falling tau pt, so those that
  survive a tau energy scale are the first ones, found by bisection; a Poisson number of events,
  each kept with some probability, is again Poisson.
- N is known before the first event is made, so every chunk is written once, into its place.

Randomness is a tree of :class:`numpy.random.SeedSequence`: entropy, then purpose, set, experiment
and chunk. Results do not depend on the number of workers, on order, or on a restart.

Examples
--------
>>> from HiggsML.datasets import Data
>>> store = EventStore.from_data(Data("input_data"))                       # doctest: +SKIP
>>> experiment = store.pseudo_experiment(mu=1.5, nuisances={"tes": 1.01}, seed=7)  # doctest: +SKIP
>>> experiment["data"].shape, experiment["weights"].sum()                  # doctest: +SKIP
((5123, 28), 5123.0)
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from HiggsML.datasets import Data
from HiggsML.derived_quantities import derive
from HiggsML.errors import DataError, SettingsError
from HiggsML.kinematics import Array
from HiggsML.schema import FEATURES, MU_RANGE, NUISANCES, PRI_COLUMNS, PROCESSES
from HiggsML.systematics import (
    CHUNK_ROWS,
    HAD_PT_MIN,
    LEP_PT_MIN,
    draw_nuisances,
    rate_factors,
    remove_soft_jets,
    round_primaries,
    shift_energies,
)

__all__ = [
    "EventStore",
    "Plan",
    "PseudoExperiment",
    "Purpose",
    "draw_mu",
    "draw_order",
    "experiment_nuisances",
    "features_frame",
    "seed_sequence",
]

_HAD_PT = PRI_COLUMNS.index("PRI_had_pt")
_LEP_PT = PRI_COLUMNS.index("PRI_lep_pt")
# Processes with more distinct weights than this are searched by cumulative weight instead.
_MAX_STRATA = 64


class PseudoExperiment(TypedDict):
    """What ``Model.predict`` receives: 28 float32 features per event, and weights of one."""

    data: pd.DataFrame
    weights: NDArray[np.float32]


class Purpose(IntEnum):
    """First branch of the seed tree: streams that must not overlap."""

    MU = 0
    NUISANCES = 1
    EVENTS = 2
    ORDER = 3
    MODEL = 4


def seed_sequence(entropy: int, purpose: Purpose, *path: int) -> np.random.SeedSequence:
    """Return the node of the seed tree at ``purpose`` and, say, set and experiment."""
    return np.random.SeedSequence(entropy, spawn_key=(int(purpose), *path))


def draw_mu(entropy: int, set_index: int) -> float:
    """Draw the true signal strength of a set, uniform in :data:`HiggsML.schema.MU_RANGE`."""
    rng = np.random.default_rng(seed_sequence(entropy, Purpose.MU, set_index))
    return float(rng.uniform(*MU_RANGE))


def experiment_nuisances(
    entropy: int, set_index: int, experiment: int, enabled: Mapping[str, bool]
) -> dict[str, float | None]:
    """Draw the nuisance parameters of one pseudo-experiment."""
    node = seed_sequence(entropy, Purpose.NUISANCES, set_index, experiment)
    return draw_nuisances(enabled, np.random.default_rng(node))


def draw_order(entropy: int, n_sets: int, n_experiments: int) -> list[tuple[int, int]]:
    """Return all (set, experiment) pairs in a random order, which tells a model nothing."""
    rng = np.random.default_rng(seed_sequence(entropy, Purpose.ORDER))
    pairs = [(i, j) for i in range(n_sets) for j in range(n_experiments)]
    return [pairs[k] for k in rng.permutation(len(pairs))]


def features_frame(block: NDArray[np.float32]) -> pd.DataFrame:
    """Return a frame that is a view of a block of features, shape (28, n)."""
    return pd.DataFrame(block.T, columns=list(FEATURES), copy=False)


@dataclass(frozen=True)
class _Stratum:
    """Consecutive stored events of one process and one weight, by falling tau pt."""

    process: str
    start: int
    count: int
    weight: float
    cumulative: NDArray[np.float64] | None  # of weights, where they are not all the same


@dataclass(frozen=True)
class Plan:
    """A pseudo-experiment whose number of events has been drawn, ready to be filled in."""

    n_events: int
    shifts: Mapping[str, float]
    seed: np.random.SeedSequence
    ends: NDArray[np.float64]  # cumulative expected events by stratum
    eligible: NDArray[np.int64]  # events of each stratum that survive the tau cut


class EventStore:
    """Test events, arranged so that pseudo-experiments can be drawn quickly.

    Make one with :meth:`from_data` or :meth:`from_frames`.
    """

    def __init__(self, rows: NDArray[np.float32], strata: tuple[_Stratum, ...]) -> None:
        self._rows = rows
        self._strata = strata
        self._starts = np.array([stratum.start for stratum in strata], dtype=np.int64)

    @classmethod
    def from_data(cls, data: Data) -> EventStore:
        """Build a store from the test split of a dataset."""
        rows: dict[str, list[Array]] = {process: [] for process in PROCESSES}
        weights: dict[str, list[NDArray[np.float64]]] = {process: [] for process in PROCESSES}
        total = 0.0
        for frame in data.iter_test_groups():
            total += float(frame["weights"].to_numpy().sum(dtype=np.float64))
            for process, events in frame.groupby("detailed_labels", observed=True):
                rows[str(process)].append(events[list(PRI_COLUMNS)].to_numpy(np.float32))
                weights[str(process)].append(events["weights"].to_numpy(np.float64))
        if total <= 0:
            raise DataError(f"the test set of {data.path} holds no events of positive weight")
        scale = data.sum_weights() / total
        return cls._arranged(
            {process: np.concatenate(parts) for process, parts in rows.items() if parts},
            {process: np.concatenate(parts) * scale for process, parts in weights.items() if parts},
        )

    @classmethod
    def from_frames(cls, test_set: Mapping[str, pd.DataFrame]) -> EventStore:
        """Build a store from frames by process, as ``Data.get_test_set`` returns them."""
        unknown = sorted(set(test_set) - set(PROCESSES))
        if unknown:
            raise DataError(f"unknown process {unknown} in the test set; known are {PROCESSES}")
        return cls._arranged(
            {key: frame[list(PRI_COLUMNS)].to_numpy(np.float32) for key, frame in test_set.items()},
            {key: frame["weights"].to_numpy(np.float64) for key, frame in test_set.items()},
        )

    @classmethod
    def _arranged(
        cls, rows: Mapping[str, NDArray[np.float32]], weights: Mapping[str, NDArray[np.float64]]
    ) -> EventStore:
        """Sort events into strata; the lepton cut, which no shift changes, is applied here."""
        parts: list[NDArray[np.float32]] = []
        strata: list[_Stratum] = []
        start = 0
        for process in (name for name in PROCESSES if name in rows):
            columns = dict(zip(PRI_COLUMNS, rows[process].T, strict=True))
            round_primaries(columns)
            events = np.stack(list(columns.values()), axis=1)
            keep = (events[:, _LEP_PT] >= LEP_PT_MIN) & (weights[process] > 0)
            events, event_weights = events[keep], weights[process][keep]
            values, group = np.unique(event_weights, return_inverse=True)
            if len(values) > _MAX_STRATA:
                group = np.zeros(len(events), dtype=np.int64)
            for k in range(min(len(values), int(group.max(initial=-1)) + 1)):
                inside = np.flatnonzero(group == k)
                order = inside[np.argsort(-events[inside, _HAD_PT], kind="stable")]
                mixed = len(values) > _MAX_STRATA
                cumulative = np.cumsum(event_weights[order]) if mixed else None
                strata.append(_Stratum(process, start, order.size, float(values[k]), cumulative))
                parts.append(events[order])
                start += order.size
        if not parts:
            raise DataError("the test set holds no events")
        return cls(np.ascontiguousarray(np.concatenate(parts)), tuple(strata))

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
            expected[stratum.process] += _total_weight(stratum, stratum.count)
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
        if not (shifts["tes"] > 0 and shifts["jes"] > 0 and shifts["soft_met"] >= 0):
            raise SettingsError(f"tes and jes must be positive, soft_met at least 0: {shifts}")
        factors = rate_factors(mu=mu, **values)
        eligible = np.array([self._count_above(s, shifts["tes"]) for s in self._strata])
        ends = np.cumsum(
            [
                factors[stratum.process] * _total_weight(stratum, int(count))
                for stratum, count in zip(self._strata, eligible, strict=True)
            ]
        )
        sequence = np.random.SeedSequence(seed) if isinstance(seed, int) else seed
        n_events = int(_generator(sequence, 0).poisson(ends[-1]))
        return Plan(n_events, shifts, sequence, ends, eligible)

    def fill(self, plan: Plan, block: NDArray[np.float32], *, corrected: bool = False) -> None:
        """Make the events of ``plan``.

        Parameters
        ----------
        plan : Plan
            From :meth:`plan`.
        block : array of shape (28, n_events), float32
            Where the features are written, column by column of :data:`HiggsML.schema.FEATURES`.
        corrected : bool
            How jets that are cut away are counted, see
            :func:`HiggsML.systematics.remove_soft_jets`.
        """
        for chunk, start in enumerate(range(0, plan.n_events, CHUNK_ROWS)):
            stop = min(start + CHUNK_ROWS, plan.n_events)
            # Chunk numbers start at 1: the number of events has used 0.
            rng = _generator(plan.seed, chunk + 1)
            rows = self._rows.take(self._draw(plan, stop - start, rng), axis=0, mode="clip")
            event = dict(zip(PRI_COLUMNS, np.ascontiguousarray(rows.T), strict=True))
            soft_met = plan.shifts["soft_met"]
            noise = rng.standard_normal((2, stop - start), dtype=np.float32) if soft_met else None
            shift_energies(
                event,
                tes=plan.shifts["tes"],
                jes=plan.shifts["jes"],
                soft_met=None if noise is None else (noise[0] * soft_met, noise[1] * soft_met),
            )
            remove_soft_jets(event, corrected=corrected)
            for row, values in enumerate((event | derive(event)).values()):
                block[row, start:stop] = values

    def pseudo_experiment(
        self,
        *,
        mu: float,
        nuisances: Mapping[str, float | None] | None = None,
        seed: int | np.random.SeedSequence,
        corrected: bool = False,
    ) -> PseudoExperiment:
        """Make one pseudo-experiment; see :meth:`plan` and :meth:`fill` for the parameters.

        Returns
        -------
        dict
            ``data``, a frame of n events with the 28 features (float32; GeV and radians), and
            ``weights``, n ones.
        """
        plan = self.plan(mu=mu, nuisances=nuisances, seed=seed)
        block = np.empty((len(FEATURES), plan.n_events), dtype=np.float32)
        self.fill(plan, block, corrected=corrected)
        return {"data": features_frame(block), "weights": np.ones(plan.n_events, np.float32)}

    def _count_above(self, stratum: _Stratum, tes: float) -> int:
        """Count the events whose tau passes its cut, with the very arithmetic of the shift."""

        def fails(offset: int) -> bool:
            row = stratum.start + offset
            event = {"PRI_had_pt": self._rows[row : row + 1, _HAD_PT] * tes}
            round_primaries(event, ("PRI_had_pt",))
            return bool(event["PRI_had_pt"][0] < HAD_PT_MIN)

        return bisect.bisect_left(range(stratum.count), True, key=fails)

    def _draw(self, plan: Plan, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw ``size`` events in proportion to rate x weight; return their row numbers."""
        position = rng.random(size) * plan.ends[-1]
        stratum = np.searchsorted(plan.ends[:-1], position, side="right")
        begin = np.concatenate([[0.0], plan.ends[:-1]])
        width = plan.ends - begin
        per_event = np.divide(plan.eligible, width, out=np.zeros_like(width), where=width > 0)
        offset: NDArray[np.int64] = ((position - begin[stratum]) * per_event[stratum]).astype(
            np.int64
        )
        for k, one in enumerate(self._strata):
            if one.cumulative is not None and plan.eligible[k]:
                mine = np.flatnonzero(stratum == k)
                share = (position[mine] - begin[k]) / width[k]
                total = one.cumulative[plan.eligible[k] - 1]
                offset[mine] = np.searchsorted(one.cumulative, share * total, side="right")
        # Rounding at the very end of a stratum must not step into the next one.
        np.minimum(offset, np.maximum(plan.eligible - 1, 0)[stratum], out=offset)
        offset += self._starts[stratum]
        return offset


def _total_weight(stratum: _Stratum, count: int) -> float:
    """Sum of the weights of the first ``count`` events."""
    if stratum.cumulative is None:
        return stratum.weight * count
    return float(stratum.cumulative[count - 1]) if count else 0.0


def _generator(sequence: np.random.SeedSequence, branch: int) -> np.random.Generator:
    """Return the generator of a numbered branch, without the state that ``spawn`` keeps."""
    node = np.random.SeedSequence(sequence.entropy, spawn_key=(*sequence.spawn_key, branch))
    return np.random.Generator(np.random.SFC64(node))
