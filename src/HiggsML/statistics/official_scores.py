"""Scores of measured signal strengths: pure functions from arrays to frozen values.

The formulas are those of the HiggsML Uncertainty Challenge (arXiv 2410.02867, section 5). Arrays of
one set have shape (number of pseudo-experiments,); mu has no unit.

Examples
--------
>>> import numpy as np
>>> quantiles_score(np.ones(3), p16=np.zeros(3), p84=np.full(3, 2.0)).interval
2.0
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from HiggsML.errors import ResultsError, SettingsError
from HiggsML.results import Predictions
from HiggsML.schema import COVERAGE_TARGET
from HiggsML.statistics.measurements import Measurements, contains, width

__all__ = [
    "BootstrapScores",
    "QuantilesScore",
    "Scores",
    "SetScores",
    "bootstrap_scores",
    "compute_scores",
    "coverage_band",
    "coverage_penalty",
    "mae_score",
    "quantiles_score",
    "resampled_scores",
    "rmse_score",
]

Array = NDArray[np.float64]

EPSILON = 1e-3
"""Added to the mean interval, so that intervals of no width have a finite score."""


class QuantilesScore(NamedTuple):
    """Mean width, coverage and the score that joins them (higher is better).

    Examples
    --------
    >>> interval, coverage, score = quantiles_score([1.0], [0.5], [1.5])
    >>> interval, coverage
    (1.0, 1.0)
    """

    interval: float
    coverage: float
    score: float


@dataclass(frozen=True)
class SetScores:
    """Scores of one set: all pseudo-experiments that share one true mu.

    Examples
    --------
    >>> [one.set_index for one in compute_scores(predictions, mus).sets]
    [0, 1]
    """

    set_index: int
    mu: float
    rmse: float
    mae: float
    interval: float
    coverage: float
    quantiles_score: float


@dataclass(frozen=True)
class Scores:
    """Scores of a submission: means over its sets, and the pooled quantiles score.

    Examples
    --------
    >>> list(compute_scores(predictions, mus).as_dict())
    ['rmse', 'mae', 'interval', 'coverage', 'quantiles_score']
    """

    rmse: float
    mae: float
    interval: float
    coverage: float
    quantiles_score: float
    sets: tuple[SetScores, ...]
    n_predictions: int

    def as_dict(self) -> dict[str, float]:
        """Return the five overall scores."""
        names = ("rmse", "mae", "interval", "coverage", "quantiles_score")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class BootstrapScores:
    """Scores of resampled results: one entry per resampling, and their mean and spread.

    Examples
    --------
    >>> BootstrapScores(np.array([0.4, 0.6]), np.ones(2), np.zeros(2), 10).mean("interval")
    0.5
    """

    interval: Array
    coverage: Array
    quantiles_score: Array
    n_predictions: int

    def mean(self, name: str) -> float:
        """Mean of one of the three scores over the resamplings."""
        return float(np.mean(getattr(self, name)))

    def std(self, name: str) -> float:
        """Standard deviation of one of the three scores over the resamplings."""
        return float(np.std(getattr(self, name)))


def rmse_score(mu: ArrayLike, mu_hat: ArrayLike, delta_mu_hat: ArrayLike) -> float:
    """Mean over predictions of sqrt(d^2 + (d^2 - delta^2)^2), with d = mu_hat - mu.

    Examples
    --------
    >>> rmse_score([1.0, 1.0], [1.5, 0.5], [0.5, 0.5])
    0.5
    """
    squared = (np.asarray(mu_hat, dtype=np.float64) - np.asarray(mu, dtype=np.float64)) ** 2
    return float(np.mean(np.sqrt(squared + (squared - np.square(delta_mu_hat)) ** 2)))


def mae_score(mu: ArrayLike, mu_hat: ArrayLike, delta_mu_hat: ArrayLike) -> float:
    """Mean over predictions of |d| + ||d| - delta|, with d = mu_hat - mu.

    Examples
    --------
    >>> mae_score([1.0, 1.0], [1.5, 0.5], [0.5, 0.25])
    0.625
    """
    distance = np.abs(np.asarray(mu_hat, dtype=np.float64) - np.asarray(mu, dtype=np.float64))
    delta = np.asarray(delta_mu_hat, dtype=np.float64)
    return float(np.mean(distance + np.abs(distance - delta)))


def coverage_band(n: int) -> tuple[float, float]:
    """Coverage within two binomial standard deviations of 68.27 % for ``n`` predictions.

    Examples
    --------
    >>> low, high = coverage_band(1000)
    >>> round(low, 3), round(high, 3)
    (0.653, 0.712)
    """
    sigma = _coverage_sigma(n)
    return COVERAGE_TARGET - 2 * sigma, COVERAGE_TARGET + 2 * sigma


def coverage_penalty(coverage: float, n: int) -> float:
    """Factor that punishes a wrong coverage of ``n`` predictions.

    1 inside :func:`coverage_band`; below it 1 + (distance / sigma)^4, above it
    1 + (distance / sigma)^3: covering too little is worse than too much.

    Examples
    --------
    >>> coverage_penalty(0.68, 1000), round(coverage_penalty(0.6, 1000), 1)
    (1.0, 172.5)
    """
    low, high = coverage_band(n)
    sigma = _coverage_sigma(n)
    if coverage < low:
        return 1 + abs((coverage - low) / sigma) ** 4
    if coverage > high:
        return 1 + abs((coverage - high) / sigma) ** 3
    return 1.0


def _coverage_sigma(n: int) -> float:
    if n < 1:
        raise SettingsError(f"coverage needs at least one prediction, got {n}")
    # Written as the reference implementation computes it: the same bits, hence the same scores.
    return math.sqrt((1 - COVERAGE_TARGET) * COVERAGE_TARGET * n) / n


def quantiles_score(
    mu: ArrayLike, p16: ArrayLike, p84: ArrayLike, eps: float = EPSILON
) -> QuantilesScore:
    r"""Score of intervals: -ln((mean width + eps) x coverage penalty).

    Parameters
    ----------
    mu, p16, p84 : array of shape (n,)
        True values and interval ends.
    eps : float
        See :data:`EPSILON`.

    Notes
    -----
    An interval whose lower end lies above its upper end counts with its width \|p84 - p16\|, as in
    the reference implementation, and never contains the truth.

    Raises
    ------
    ResultsError
        If a value is not finite.

    Examples
    --------
    >>> quantiles_score([1.0, 1.0], p16=[0.8, 1.1], p84=[1.2, 1.5]).coverage
    0.5
    """
    mu, low, high = (np.asarray(values, dtype=np.float64) for values in (mu, p16, p84))
    _require_finite(mu=mu, p16=low, p84=high)
    interval = float(np.mean(width(low, high)))
    coverage = float(np.mean(contains(low, high, mu)))
    score = -math.log((interval + eps) * coverage_penalty(coverage, low.size))
    return QuantilesScore(interval, coverage, score)


def _require_finite(**columns: Array) -> None:
    for name, values in columns.items():
        if not values.size:
            raise ResultsError("a score needs at least one prediction")
        if not np.isfinite(values).all():
            first = int(np.flatnonzero(~np.isfinite(values))[0])
            raise ResultsError(f"{name} of prediction {first} is {values.flat[first]}: not finite")


def compute_scores(predictions: Mapping[int, Predictions], mus: Mapping[int, float]) -> Scores:
    """Score complete predictions.

    Parameters
    ----------
    predictions : mapping of int to Predictions
        By set index.
    mus : mapping of int to float
        True mu by set index; there must be one for every set.

    Returns
    -------
    Scores
        RMSE and MAE averaged over a set and then over sets; interval, coverage and quantiles score
        of all predictions pooled.

    Examples
    --------
    >>> scores = compute_scores(predictions, mus)
    >>> scores.n_predictions, len(scores.sets)
    (10, 2)
    """
    if not predictions:
        raise ResultsError("there are no predictions to score")
    unknown = sorted(set(predictions) - set(mus))
    if unknown:
        raise ResultsError(f"no true mu is known for set {unknown[0]}")
    sets = []
    for index in sorted(predictions):
        result, mu = predictions[index], float(mus[index])
        _require_finite(mu_hat=result.mu_hat, delta_mu_hat=result.delta_mu_hat)
        interval, coverage, score = quantiles_score(mu, result.p16, result.p84)
        rmse = rmse_score(mu, result.mu_hat, result.delta_mu_hat)
        mae = mae_score(mu, result.mu_hat, result.delta_mu_hat)
        sets.append(SetScores(index, mu, rmse, mae, interval, coverage, score))
    measured = Measurements.of(predictions, mus)
    pooled = quantiles_score(measured.mu, measured.p16, measured.p84)
    return Scores(
        rmse=float(np.mean([one.rmse for one in sets])),
        mae=float(np.mean([one.mae for one in sets])),
        interval=pooled.interval,
        coverage=pooled.coverage,
        quantiles_score=pooled.score,
        sets=tuple(sets),
        n_predictions=measured.mu.size,
    )


def bootstrap_scores(
    predictions: Mapping[int, Predictions],
    mus: Mapping[int, float],
    *,
    unit: Literal["prediction", "set"] = "prediction",
    n_bootstraps: int = 1000,
    sample_size: int | None = None,
    seed: int | np.random.Generator = 42,
) -> BootstrapScores:
    """Score results that are resampled with replacement: how far the scores are due to chance.

    Parameters
    ----------
    predictions, mus : mappings
        As for :func:`compute_scores`.
    unit : {"prediction", "set"}
        What is drawn. "set" is what the challenge's final phase does: it includes the choice of the
        true mus, and needs many sets.
    n_bootstraps : int
        Number of resamplings.
    sample_size : int, optional
        Units per resampling; as many as there are by default.
    seed : int or numpy.random.Generator
        Source of randomness.

    Examples
    --------
    >>> resampled = bootstrap_scores(predictions, mus, n_bootstraps=50, seed=1)
    >>> resampled.interval.shape, resampled.std("interval") >= 0
    ((50,), True)
    """
    if n_bootstraps < 1 or (sample_size is not None and sample_size < 1):
        raise SettingsError("n_bootstraps and sample_size must be at least 1")
    if unit == "prediction":
        measured = Measurements.of(predictions, mus)
        interval, covered, size = measured.width, measured.covered, np.ones(measured.mu.size)
    else:
        sets = compute_scores(predictions, mus).sets
        interval = np.array([one.interval for one in sets])
        covered = np.array([one.coverage for one in sets])
        size = np.array([predictions[one.set_index].p16.size for one in sets])
    rng = np.random.default_rng(seed)
    n_drawn = size.size if sample_size is None else sample_size
    rows = (rng.integers(size.size, size=n_drawn) for _ in range(n_bootstraps))
    return resampled_scores(interval, covered, size, rows)


def resampled_scores(
    interval: Array,
    coverage: ArrayLike,
    size: Array,
    samples: Iterable[NDArray[np.integer[Any]]],
    *,
    eps: float = EPSILON,
) -> BootstrapScores:
    """Score given resamplings of units with a mean interval, a coverage and a size each.

    Parameters
    ----------
    interval, coverage, size : array of shape (n,)
        Mean width, coverage and number of predictions of each unit.
    samples : iterable of integer arrays
        The units of each resampling.
    eps : float
        See :data:`EPSILON`.

    Examples
    --------
    >>> samples = [np.array([0, 0]), np.array([0, 1])]
    >>> scores = resampled_scores(np.array([0.4, 0.6]), [1.0, 0.5], np.array([10, 10]), samples)
    >>> scores.interval.tolist()
    [0.4, 0.5]
    """
    covered = np.asarray(coverage, dtype=np.float64)
    means = np.array([(interval[s].mean(), covered[s].mean(), size[s].sum()) for s in samples])
    penalty = np.array([coverage_penalty(share, int(n)) for _, share, n in means])
    score = -np.log((means[:, 0] + eps) * penalty)
    return BootstrapScores(means[:, 0], means[:, 1], score, n_predictions=int(means[0, 2]))
