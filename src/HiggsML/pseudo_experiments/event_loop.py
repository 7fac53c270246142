"""The loop over the events of a pseudo-experiment: draw, gather, shift, cut and derive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from HiggsML.physics.chunks import pieces, run_in_chunks
from HiggsML.physics.features import features_of
from HiggsML.physics.kinematics import Vector, direction
from HiggsML.pseudo_experiments.seeds import generator
from HiggsML.schema import PRI_COLUMNS

__all__ = ["Plan", "draw_rows", "fill_block", "gaussian_pair"]

Rows = NDArray[np.float32]

_GATHERED_ROWS = 4096
"""Events whose rows are copied at a time: they stay in the nearest cache."""


@dataclass(frozen=True)
class Plan:
    """A pseudo-experiment whose number of events has been drawn, ready to be filled in.

    Attributes
    ----------
    n_events : int
        How many it has.
    shifts : mapping of str to float
        Values of ``tes``, ``jes`` and ``soft_met``.
    seed : numpy.random.SeedSequence
        Source of all its randomness.
    ends : array of shape (k,)
        Cumulative expected events of the strata, the one with most expected events first.
    starts, eligible : array of shape (k,), int64
        First row of each stratum, and how many of its events survive the tau cut.
    cumulative : sequence of k arrays or None
        Cumulative weights of the events of a stratum, where they differ.

    Examples
    --------
    >>> from HiggsML.pseudo_experiments import EventStore
    >>> plan = EventStore.from_data(data).plan(mu=1.0, nuisances={"jes": 0.99}, seed=7)
    >>> plan.shifts
    {'tes': 1.0, 'jes': 0.99, 'soft_met': 0.0}
    """

    n_events: int
    shifts: Mapping[str, float]
    seed: np.random.SeedSequence
    ends: NDArray[np.float64]
    starts: NDArray[np.int64]
    eligible: NDArray[np.int64]
    cumulative: tuple[NDArray[np.float64] | None, ...]


def fill_block(
    stored: Rows, plan: Plan, block: Rows, *, corrected: bool = False, threads: int = 1
) -> None:
    """Make the events of ``plan``.

    Parameters
    ----------
    stored : array of shape (n, 16), float32
        Primaries of all stored events; those that no shift changes are rounded.
    plan : Plan
        What to make.
    block : array of shape (28, n_events), float32
        Where the features are written. Nothing is written before it is final: others may be
        able to read the block meanwhile.
    corrected : bool
        How jets that are cut away are counted, see
        :func:`HiggsML.physics.shifts.without_soft_jets`.
    threads : int
        How many work at once; changes no number.
    """
    rows = np.asarray(stored)  # a memory map's slices take longer to make

    def work(number: int, chunk: slice) -> None:
        # Branches of the seed start at 1 here: the number of events has used 0.
        rng = generator(plan.seed, number + 1)
        size, width = chunk.stop - chunk.start, plan.shifts["soft_met"]
        drawn = draw_rows(plan, rng, size)
        soft_met = gaussian_pair(width, size, rng) if width else None
        for part in pieces(slice(0, size), threads):
            features = features_of(
                _gather(rows, drawn[part]),
                tes=plan.shifts["tes"],
                jes=plan.shifts["jes"],
                soft_met=soft_met and Vector(soft_met.x[part], soft_met.y[part]),
                rounded_before=True,
                corrected=corrected,
            )
            for column, values in zip(block[:, chunk], features, strict=True):
                column[part] = values

    run_in_chunks(plan.n_events, work, threads=threads)


def draw_rows(plan: Plan, rng: np.random.Generator, size: int) -> NDArray[np.int64]:
    """Draw stored events in proportion to rate x weight; return their row numbers."""
    position = rng.random(size) * plan.ends[-1]
    begin = np.concatenate([[0.0], plan.ends[:-1]])
    width = plan.ends - begin
    # A hair less than the number of events, so that rounding never steps past the last one.
    per_event = np.divide(
        np.nextafter(plan.eligible, 0.0), width, out=np.zeros_like(width), where=width > 0
    )
    # Most events are of the first stratum in the plan: the others are looked up one by one.
    even = plan.cumulative[0] is None
    others = np.flatnonzero(position >= plan.ends[0]) if even else np.arange(size)
    stratum = np.searchsorted(plan.ends[:-1], position[others], side="right")
    moved = position[others] - begin[stratum]
    drawn: NDArray[np.int64] = plan.starts[0] + (position * per_event[0]).astype(np.int64)
    drawn[others] = plan.starts[stratum] + (moved * per_event[stratum]).astype(np.int64)
    for k, cumulative in enumerate(plan.cumulative):
        if cumulative is not None and plan.eligible[k]:
            mine, last = np.flatnonzero(stratum == k), plan.eligible[k] - 1
            target = moved[mine] / width[k] * cumulative[last]
            positions = np.searchsorted(cumulative, target, side="right")
            drawn[others[mine]] = plan.starts[k] + np.minimum(positions, last)
    return drawn


def _gather(stored: Rows, drawn: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
    """Return the primaries of drawn events as columns."""
    columns = np.empty((len(PRI_COLUMNS), drawn.size), stored.dtype)
    for start in range(0, drawn.size, _GATHERED_ROWS):
        rows = slice(start, start + _GATHERED_ROWS)
        columns[:, rows] = stored.take(drawn[rows], axis=0, mode="wrap").T
    return dict(zip(PRI_COLUMNS, columns, strict=True))


def gaussian_pair(width: float, size: int, rng: np.random.Generator) -> Vector:
    """Draw two independent Gaussians of a common width by Box and Muller's transform.

    On arrays it is faster than the generator's own method, one number at a time.
    """
    # 1 - u is in (0, 1]: the logarithm of zero is never taken.
    radius = np.sqrt(-2 * np.log(1 - rng.random(size, np.float32))) * width
    pair: Vector = radius * direction(rng.random(size, np.float32) * (2 * np.pi))
    return pair
