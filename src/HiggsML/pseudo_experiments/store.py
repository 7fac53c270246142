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
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from HiggsML.datasets.reader import Data
from HiggsML.errors import DataError, SettingsError
from HiggsML.physics.chunks import CHUNK_ROWS, Scratch, Work, run_in_chunks
from HiggsML.physics.features import derive
from HiggsML.physics.kinematics import Directions
from HiggsML.physics.shifts import (
    HAD_PT_MIN,
    rate_factors,
    remove_soft_jets,
    round_primaries,
    shift_energies,
)
from HiggsML.pseudo_experiments.seeds import (
    _generator,
)
from HiggsML.pseudo_experiments.stored_events import (
    HAD_PT,
    StoredEvents,
    Stratum,
    arrange,
    open_cached,
)
from HiggsML.schema import FEATURES, NUISANCES, PRI_COLUMNS, PROCESSES

__all__ = ["EventStore", "Plan", "PseudoExperiment", "features_frame", "unit_weights"]

MAX_EVENTS_IN_MEMORY = 1_000_000
"""Test sets with more events are converted to a memory-mapped file."""

_GATHERED_ROWS = 8192
"""Events that are picked and turned into columns at a time: they stay in the nearest cache."""


class PseudoExperiment(TypedDict):
    """What ``Model.predict`` receives: 28 float32 features per event, and weights of one."""

    data: pd.DataFrame
    weights: pd.Series


def features_frame(block: NDArray[np.float32]) -> pd.DataFrame:
    """Return a frame whose columns are views of a block of features, shape (28, n).

    Each column stands for itself, as in frames of the reference implementation: of one block,
    pandas would select columns with negative strides, which ``torch.tensor`` does not take.
    """
    return pd.DataFrame(dict(zip(FEATURES, block, strict=True)), copy=False)


def unit_weights(n_events: int) -> pd.Series:
    """Return the weights of a pseudo-experiment: a Series (float64) of ones."""
    return pd.Series(np.ones(n_events), name="weights", copy=False)


@dataclass(frozen=True)
class Plan:
    """A pseudo-experiment whose number of events has been drawn, ready to be filled in."""

    n_events: int
    shifts: Mapping[str, float]
    seed: np.random.SeedSequence
    order: NDArray[np.int64]  # numbers of the strata, the one with most expected events first
    ends: NDArray[np.float64]  # cumulative expected events of the strata, in this order
    eligible: NDArray[np.int64]  # their events that survive the tau cut


class EventStore:
    """Test events, arranged so that pseudo-experiments can be drawn quickly.

    Make one with :meth:`from_data` or :meth:`from_frames`.
    """

    def __init__(self, events: StoredEvents) -> None:
        self._rows = events.rows
        self._strata = events.strata
        self._cumulative = [events.cumulative(stratum) for stratum in events.strata]
        self._starts = np.array([stratum.start for stratum in events.strata], dtype=np.int64)

    @classmethod
    def from_data(cls, data: Data) -> EventStore:
        """Build a store from the test split of a dataset.

        A large one (see :data:`MAX_EVENTS_IN_MEMORY`) is memory-mapped: converted the first time,
        then opened at once.
        """
        if data.test_size > MAX_EVENTS_IN_MEMORY:
            return cls(open_cached(data))
        frame = pd.concat(list(data.iter_test_groups()) or [pd.DataFrame()], ignore_index=True)
        total = frame["weights"].to_numpy().sum(dtype=np.float64) if len(frame) else 0.0
        if total <= 0:
            raise DataError(f"the test set of {data.path} holds no events of positive weight")
        groups = frame.groupby("detailed_labels", observed=True)
        by_process = {str(process): events for process, events in groups}
        return cls(arrange(by_process, scale=data.sum_weights() / total))

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
        n_events = int(_generator(sequence, 0).poisson(ends[-1]))
        return Plan(n_events, shifts, sequence, order, ends, eligible[order])

    def fill(
        self,
        plan: Plan,
        block: NDArray[np.float32],
        *,
        watched: bool = False,
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
        watched : bool
            Whether others can read the block meanwhile. It then gets the primaries when they are
            final, at the price of a copy: before, they would tell the nuisance parameters.
        corrected : bool
            How jets that are cut away are counted, see
            :func:`HiggsML.physics.shifts.remove_soft_jets`.
        threads : int
            How many work at once; changes no number.
        """
        if block.shape != (len(FEATURES), plan.n_events):
            raise SettingsError(
                f"the block must have the shape {(len(FEATURES), plan.n_events)}, not {block.shape}"
            )
        run_in_chunks(
            plan.n_events,
            lambda: self._start_worker(plan, block, watched, corrected),
            threads=threads,
        )

    def _start_worker(
        self, plan: Plan, block: NDArray[np.float32], watched: bool, corrected: bool
    ) -> Work:
        scratch, angles = Scratch(), Scratch()
        integers, doubles = Scratch(np.int64), Scratch(np.float64)
        shifts, n_primaries = plan.shifts, len(PRI_COLUMNS)
        # NumPy copies 32 bytes in place, but calls a function for the 64 of a whole row.
        halves = self._rows.reshape(2 * len(self), n_primaries // 2)
        numbers = np.empty((_GATHERED_ROWS, 2), dtype=np.int64)
        gathered = np.empty((_GATHERED_ROWS, 2, n_primaries // 2), dtype=np.float32)
        longest = min(CHUNK_ROWS, plan.n_events)
        hidden = np.empty((n_primaries, longest if watched else 0), dtype=np.float32)
        noise = np.empty((2, longest), dtype=np.float32)

        def work(chunk: int, rows: slice) -> None:
            size = rows.stop - rows.start
            final, derived = np.split(block[:, rows], [n_primaries])
            primaries = hidden[:, :size] if watched else final
            # Branches of the seed start at 1 here: the number of events has used 0.
            rng = _generator(plan.seed, chunk + 1)
            (drawn,), (position,) = integers.take(1, size), doubles.take(1, size)
            self._draw(plan, rng, position, drawn)
            for start in range(0, size, _GATHERED_ROWS):
                part = drawn[start : start + _GATHERED_ROWS]
                both, events = numbers[: part.size], gathered[: part.size]
                np.multiply(part, 2, out=both[:, 0])
                np.add(both[:, 0], 1, out=both[:, 1])
                halves.take(both, axis=0, out=events, mode="wrap")
                primaries[:, start : start + part.size] = events.reshape(part.size, -1).T
            event = dict(zip(PRI_COLUMNS, primaries, strict=True))
            directions = Directions(event, angles)
            soft_met = shifts["soft_met"]
            if soft_met:
                pair = _gaussian_pair(soft_met, rng, noise[:, :size], scratch)
            shift_energies(
                event,
                tes=shifts["tes"],
                jes=shifts["jes"],
                soft_met=pair if soft_met else None,
                scratch=scratch,
                directions=directions,
            )
            remove_soft_jets(event, corrected=corrected, directions=directions)
            if watched:
                final[:] = primaries
            derive(event, derived, scratch, directions)

        return work

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

        Returns
        -------
        dict
            ``data``, a frame of n events with the 28 features (float32; GeV and radians), and
            ``weights``, a Series of n ones.
        """
        plan = self.plan(mu=mu, nuisances=nuisances, seed=seed)
        block = np.empty((len(FEATURES), plan.n_events), dtype=np.float32)
        self.fill(plan, block, corrected=corrected, threads=threads)
        return {"data": features_frame(block), "weights": unit_weights(plan.n_events)}

    def _count_above(self, stratum: Stratum, tes: float) -> int:
        """Count the events whose tau passes its cut, with the very arithmetic of the shift."""

        def fails(offset: int) -> bool:
            row = stratum.start + offset
            event = {"PRI_had_pt": self._rows[row : row + 1, HAD_PT] * tes}
            round_primaries(event, ("PRI_had_pt",))
            return bool(event["PRI_had_pt"][0] < HAD_PT_MIN)

        return bisect.bisect_left(range(stratum.count), True, key=fails)

    def _total_weight(self, k: int, count: int) -> float:
        """Sum of the weights of the first ``count`` events of stratum ``k``."""
        cumulative = self._cumulative[k]
        if cumulative is None:
            return self._strata[k].weight * count
        return float(cumulative[count - 1]) if count else 0.0

    def _draw(
        self,
        plan: Plan,
        rng: np.random.Generator,
        position: NDArray[np.float64],
        drawn: NDArray[np.int64],
    ) -> None:
        """Draw events in proportion to rate x weight; write their row numbers into ``drawn``.

        ``position`` is a temporary array of the same shape.
        """
        rng.random(out=position)
        position *= plan.ends[-1]
        begin = np.concatenate([[0.0], plan.ends[:-1]])
        width = plan.ends - begin
        # A hair less than the number of events, so that rounding never steps past the last one.
        per_event = np.divide(
            np.nextafter(plan.eligible, 0.0), width, out=np.zeros_like(width), where=width > 0
        )
        # Most events are of the first stratum in the plan: the others are looked up one by one.
        even = self._cumulative[plan.order[0]] is None
        others = np.flatnonzero(position >= plan.ends[0]) if even else np.arange(position.size)
        moved = position[others]
        stratum = np.searchsorted(plan.ends[:-1], moved, side="right")
        moved -= begin[stratum]
        starts = self._starts[plan.order]
        position *= per_event[0]
        np.copyto(drawn, position, casting="unsafe")
        drawn += starts[0]
        drawn[others] = starts[stratum] + (moved * per_event[stratum]).astype(np.int64)
        for k, number in enumerate(plan.order):
            cumulative = self._cumulative[number]
            if cumulative is not None and plan.eligible[k]:
                mine, last = np.flatnonzero(stratum == k), plan.eligible[k] - 1
                target = moved[mine] / width[k] * cumulative[last]
                found = np.searchsorted(cumulative, target, side="right")
                drawn[others[mine]] = starts[k] + np.minimum(found, last)


def _gaussian_pair(
    width: float,
    rng: np.random.Generator,
    pair: NDArray[np.float32],
    scratch: Scratch,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw two independent Gaussians of a common width by Box and Muller's transform.

    On arrays it is faster than the generator's own method, one number at a time. They are written
    into ``pair``, shape (2, n).
    """
    x, y = pair
    radius, angle = scratch.take(2, x.size)
    rng.random(out=radius, dtype=np.float32)
    np.subtract(1, radius, out=radius)  # in (0, 1]: the logarithm of zero is never taken
    np.log(radius, out=radius)
    radius *= -2
    np.sqrt(radius, out=radius)
    radius *= width
    rng.random(out=angle, dtype=np.float32)
    angle *= 2 * np.pi
    np.multiply(radius, np.cos(angle, out=x), out=x)
    np.multiply(radius, np.sin(angle, out=y), out=y)
    return x, y
