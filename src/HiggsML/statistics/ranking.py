"""Ranks of methods that measured the same pseudo-experiments, with ties where chance may decide.

All methods have the same sets (one true mu each) and the same pseudo-experiments in them, so that
what is common to all, the events and the truth, drops out of their differences. Two sources of
chance remain in a difference: which values of mu were drawn, and which pseudo-experiments. Sets are
what is independent of each other; resampling whole sets (A. C. Davison and D. V. Hinkley, Bootstrap
Methods and their Application, 1997, section 3.8) contains both sources. With few sets the spread of
the resampled differences is compared with Student's t; what the pseudo-experiments make of it is
known better than what the drawn mu do.

A rank is a statement about pairs: a method's rank is one more than the number of methods that are
significantly better, after S. Holm's correction for the number of pairs (Scand. J. Statist. 6
(1979) 65), which keeps the probability of any false separation below the stated level.

Examples
--------
>>> import numpy as np
>>> rng = np.random.default_rng(1)
>>> truth = np.linspace(0.5, 2.5, 10)[:, None]
>>> shared, own = rng.normal(size=(2, 10, 200))
>>> def intervals(error, center):
...     return Intervals.of(truth, center - error, center + error)
>>> good = intervals(0.10, truth + 0.10 * shared)
>>> worse = intervals(0.112, truth + 0.10 * shared + 0.05 * own)
>>> board = rank({"worse": worse, "good": good}, seed=1)
>>> [(row.name, row.rank) for row in board.rows]
[('good', 1), ('worse', 2)]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from HiggsML.errors import ResultsError, SettingsError
from HiggsML.schema import COVERAGE_TARGET
from HiggsML.statistics.intervals import Intervals
from HiggsML.statistics.official_scores import EPSILON, coverage_penalty

__all__ = [
    "Board",
    "ErrorParts",
    "Pair",
    "Row",
    "holm",
    "rank",
]

Array = NDArray[np.float64]
Criterion = Literal["interval_score", "quantiles_score"]

N_RESAMPLINGS = 2000
LEVEL = 0.05
"""Family-wise error: the probability that any two equally good methods are separated."""

POWER = 0.8
"""Probability with which the smallest resolvable difference is found."""


class Pair(NamedTuple):
    """The first method's score less the second's, and how surely they differ.

    ``freedom`` are the degrees of freedom of Student's t; ``adjusted`` is Holm's p-value.

    Examples
    --------
    >>> Pair("a", "b", -0.1, 0.02, 9.0, p_value=0.001, adjusted=0.003).separated(level=0.05)
    True
    """

    first: str
    second: str
    difference: float
    error: float
    freedom: float
    p_value: float
    adjusted: float

    def separated(self, level: float) -> bool:
        """Tell whether the two differ at a family-wise error of ``level``."""
        return self.adjusted <= level


class ErrorParts(NamedTuple):
    """Standard errors of one method's score: all, and from the two sources of chance.

    Examples
    --------
    >>> ErrorParts(total=0.05, experiments=0.03, drawn_mu=0.04).total
    0.05
    """

    total: float
    experiments: float
    drawn_mu: float


class Row(NamedTuple):
    """One method on a board; ``low`` .. ``high`` hold the central 68.27 % of the resamplings.

    ``rank`` to ``last_rank`` are the places that the significant separations leave open.

    Examples
    --------
    >>> ends = np.linspace(0.8, 1.6, 40).reshape(2, 20)
    >>> rank({"mine": Intervals.of(1.2, ends - 0.1, ends + 0.1)}).rows[0].rank
    1
    """

    name: str
    rank: int
    last_rank: int
    score: float
    errors: ErrorParts
    low: float
    high: float


@dataclass(frozen=True)
class Board:
    """A ranking.

    Attributes
    ----------
    by : str
        The score that ranks.
    rows : tuple of Row
        Best first.
    pairs : tuple of Pair
        Every two methods.
    level : float
        Family-wise error of all separations.
    resolution : float or None
        The smallest difference of two scores that would be found with a probability of 80 %, for
        the best and the next one whose score is not the same; None without such two.

    Examples
    --------
    >>> ends = np.linspace(0.8, 1.6, 40).reshape(2, 20)
    >>> short, long = (Intervals.of(1.2, ends - half, ends + half) for half in (0.1, 1))
    >>> board = rank({"short": short, "long": long})
    >>> board.by, len(board.rows), len(board.pairs)
    ('interval_score', 2, 1)
    """

    by: Criterion
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    level: float
    resolution: float | None


def rank(
    methods: Mapping[str, Intervals],
    *,
    by: Criterion = "interval_score",
    level: float = LEVEL,
    seed: int | np.random.Generator = 0,
) -> Board:
    """Rank methods that measured the same pseudo-experiments.

    Parameters
    ----------
    methods : mapping of str to Intervals
        By name; all of one shape.
    by : {"interval_score", "quantiles_score"}
        What ranks: the interval score (less is better), which is proper, or the official score
        (more is better).
    level : float
        Family-wise error of the separations.
    seed : int or numpy.random.Generator
        Of the resamplings.

    Raises
    ------
    ResultsError
        If there is no method, or they measured different numbers of pseudo-experiments.
    SettingsError
        If ``level`` is not between 0 and 1 or ``by`` is no score.

    Examples
    --------
    >>> ends = np.linspace(0.8, 1.6, 40).reshape(2, 20)
    >>> methods = {half: Intervals.of(1.2, ends - half, ends + half) for half in (0.2, 3.0)}
    >>> [(row.name, row.rank) for row in rank(methods).rows]
    [(0.2, 1), (3.0, 2)]
    """
    if by not in ("interval_score", "quantiles_score"):
        raise SettingsError(f"methods are ranked by interval_score or quantiles_score, not {by!r}")
    if not 0 < level < 1:
        raise SettingsError(f"the family-wise error must lie between 0 and 1, got {level}")
    n_sets, _ = _common_shape(methods)
    rng = np.random.default_rng(seed)
    shares = _shares_of_sets(n_sets, rng)
    equal = np.full((1, n_sets), 1 / n_sets)
    within = _other_experiments(methods, by, rng)
    samples = {
        name: _Sample(
            score=float(_scores(intervals, by, equal)[0]),
            other_sets=_scores(intervals, by, shares) if n_sets > 1 else within[name],
            other_experiments=within[name],
        )
        for name, intervals in methods.items()
    }
    pairs = _pairs(samples, n_sets)
    rows = _rows(samples, pairs, n_sets=n_sets, level=level, less_is_better=by == "interval_score")
    return Board(by, rows, pairs, level, _resolution(rows, pairs, level))


class _Sample(NamedTuple):
    """A method's score, and what it is in each resampling."""

    score: float
    other_sets: Array
    other_experiments: Array


def _common_shape(methods: Mapping[str, Intervals]) -> tuple[int, int]:
    shapes = {name: intervals.shape for name, intervals in methods.items()}
    if not shapes:
        raise ResultsError("there is no method to rank")
    first, shape = next(iter(shapes.items()))
    for name, other in shapes.items():
        if other != shape:
            raise ResultsError(
                f"{name} measured {other[0]} sets x {other[1]} pseudo-experiments, {first} "
                f"{shape[0]} x {shape[1]}: rank methods that measured the same ones"
            )
    return shape


def _shares_of_sets(n_sets: int, rng: np.random.Generator) -> Array:
    """Return the share of every set in each resampling, shape (N_RESAMPLINGS, n_sets)."""
    equal = np.full(n_sets, 1 / n_sets)
    return rng.multinomial(n_sets, equal, size=N_RESAMPLINGS) / n_sets


def _scores(intervals: Intervals, by: Criterion, shares: Array) -> Array:
    """Return the score for each line of shares of the sets."""
    if by == "interval_score":
        scores: Array = shares @ intervals.interval_score.mean(axis=1)
        return scores
    return _official(
        shares @ intervals.width.mean(axis=1),
        shares @ intervals.covered.mean(axis=1),
        intervals.width.size,
    )


def _official(width: Array, coverage: Array, n: int) -> Array:
    penalty = np.array([coverage_penalty(float(share), n) for share in coverage])
    scores: Array = -np.log((width + EPSILON) * penalty)
    return scores


def _other_experiments(
    methods: Mapping[str, Intervals], by: Criterion, rng: np.random.Generator
) -> dict[str, Array]:
    """Return scores with other pseudo-experiments in the same sets, the same for all methods.

    Means of many are normal: they are drawn with the covariance of all widths, coverages and
    interval scores.
    """
    columns = np.stack(
        [c for m in methods.values() for c in (m.width, m.covered, m.interval_score)]
    )
    _, n_sets, n = columns.shape
    centered = columns - columns.mean(axis=2, keepdims=True)
    covariance = np.einsum("asn,bsn->ab", centered, centered) / max(n - 1, 1) / n / n_sets**2
    center = columns.mean(axis=(1, 2))
    drawn = rng.multivariate_normal(center, covariance, size=N_RESAMPLINGS, method="eigh").T
    width, coverage, score = drawn[0::3], drawn[1::3], drawn[2::3]
    if by == "interval_score":
        return dict(zip(methods, score, strict=True))
    return {
        name: _official(np.maximum(width[k], 0.0), coverage[k], n_sets * n)
        for k, name in enumerate(methods)
    }


def _pairs(samples: Mapping[str, _Sample], n_sets: int) -> tuple[Pair, ...]:
    compared = []
    for (first, one), (second, other) in combinations(samples.items(), 2):
        difference = one.score - other.score
        parts = _error_parts(
            one.other_sets - other.other_sets,
            one.other_experiments - other.other_experiments,
            n_sets,
        )
        freedom = _degrees_of_freedom(parts, n_sets)
        compared.append((first, second, difference, parts.total, freedom))
    adjusted = holm([_two_sided(difference, *error) for _, _, difference, *error in compared])
    return tuple(
        Pair(*pair, p_value=_two_sided(pair[2], *pair[3:]), adjusted=float(p))
        for pair, p in zip(compared, adjusted, strict=True)
    )


def _degrees_of_freedom(parts: ErrorParts, n_sets: int) -> float:
    """Return those of a sum of variances of which one is known from n_sets values only.

    F. E. Satterthwaite, Biometrics Bulletin 2 (1946) 110; the other part is known well.
    """
    return float((n_sets - 1) * (parts.total / parts.drawn_mu) ** 4) if parts.drawn_mu else np.inf


def _correction(n_sets: int) -> float:
    """Resampling n units gives a standard deviation that is too small by this factor."""
    return float(np.sqrt(n_sets / (n_sets - 1))) if n_sets > 1 else 1.0


def _two_sided(difference: float, error: float, freedom: float) -> float:
    """Return the p-value of a difference by Student's t."""
    if difference == 0 or error == 0:
        return float(difference == 0)
    return float(2 * stdtr(freedom, -abs(difference) / error))


def holm(p_values: Sequence[float]) -> Array:
    """Return p-values adjusted for their number, which keep the family-wise error.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values)
    steps = (values.size - np.arange(values.size)) * values[order]
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _error_parts(other_sets: Array, other_experiments: Array, n_sets: int) -> ErrorParts:
    """Return the error of a score, or of a difference, and how much of it each source makes."""
    experiments = float(np.std(other_experiments))
    total = max(float(np.std(other_sets)) * _correction(n_sets), experiments)
    return ErrorParts(total, experiments, float(np.sqrt(total**2 - experiments**2)))


def _rows(
    samples: Mapping[str, _Sample],
    pairs: Sequence[Pair],
    *,
    n_sets: int,
    level: float,
    less_is_better: bool,
) -> tuple[Row, ...]:
    better, worse = dict.fromkeys(samples, 0), dict.fromkeys(samples, 0)
    for pair in pairs:
        if pair.separated(level):
            first_wins = (pair.difference < 0) == less_is_better
            winner, loser = pair[:2] if first_wins else pair[1::-1]
            worse[winner] += 1
            better[loser] += 1
    tail = (1 - COVERAGE_TARGET) / 2
    best_first = sorted(samples, key=lambda name: samples[name].score, reverse=not less_is_better)
    return tuple(
        Row(
            name=name,
            rank=better[name] + 1,
            last_rank=len(samples) - worse[name],
            score=samples[name].score,
            errors=_error_parts(samples[name].other_sets, samples[name].other_experiments, n_sets),
            low=_quantile(samples[name], tail, n_sets),
            high=_quantile(samples[name], 1 - tail, n_sets),
        )
        for name in best_first
    )


def _quantile(sample: _Sample, share: float, n_sets: int) -> float:
    """Return a quantile of the resampled scores, which are as far apart as the error says."""
    value = float(np.quantile(sample.other_sets, share))
    return sample.score + (value - sample.score) * _correction(n_sets)


def _resolution(rows: Sequence[Row], pairs: Sequence[Pair], level: float) -> float | None:
    """Return the difference of which a share POWER would be found, for the two best methods."""
    best = rows[0].name
    of_the_best = {
        pair.second if pair.first == best else pair.first: pair
        for pair in pairs
        if best in (pair.first, pair.second) and pair.difference != 0
    }
    nearest = next((of_the_best[row.name] for row in rows if row.name in of_the_best), None)
    if nearest is None:
        return None
    tail = 1 - level / (2 * len(pairs))
    return float(nearest.error * (stdtrit(nearest.freedom, tail) + stdtrit(nearest.freedom, POWER)))
