"""Measurements in a few numbers, and two methods compared on the same pseudo-experiments."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from HiggsML.errors import ResultsError
from HiggsML.statistics.measurements import Measurements
from HiggsML.statistics.official_scores import quantiles_score
from HiggsML.statistics.proper_scores import crps_normal, interval_score, quantile_crps

__all__ = ["Difference", "Summary", "paired_differences", "summarize"]

Array = NDArray[np.float64]


class Summary(NamedTuple):
    """Numbers of one point; errors are standard errors, ``score_low`` .. ``score_high`` 68 %.

    Examples
    --------
    >>> measured = Measurements.of(predictions, mus)
    >>> summarize(measured, n_bootstraps=10).n
    10
    """

    n: int
    coverage: float
    coverage_error: float
    bias: float
    bias_error: float
    pull_mean: float
    pull_width: float
    width: float
    interval_score: float
    interval_score_error: float
    crps: float
    quantile_crps: float
    quantiles_score: float
    score_low: float
    score_high: float


class Difference(NamedTuple):
    """Second method minus first: mean over pseudo-experiments, its error and significance.

    ``p_value`` is two-sided: how often two equally good methods would differ by as much.

    Examples
    --------
    >>> measured = Measurements.of(predictions, mus)
    >>> paired_differences(measured, measured)[0].mean
    0.0
    """

    quantity: str
    mean: float
    error: float
    significance: float
    p_value: float


def summarize(measured: Measurements, *, n_bootstraps: int = 400, seed: int = 42) -> Summary:
    """Return the numbers of one point.

    The error of the coverage is binomial, by Agresti and Coull's formula (Am. Stat. 52 (1998) 119),
    so that 0 or 100 % are not certain either.

    Examples
    --------
    >>> measured = Measurements.of(predictions, mus)
    >>> round(summarize(measured, n_bootstraps=10).width, 2)
    1.0
    """
    n = measured.mu.size
    coverage = float(measured.covered.mean())
    shrunk = (coverage * n + 0.5) / (n + 1)
    pulls, errors = measured.mu_pulls, measured.errors
    intervals = interval_score(measured.mu, measured.p16, measured.p84)
    score = quantiles_score(measured.mu, measured.p16, measured.p84)
    rng = np.random.default_rng(seed)
    samples = (rng.integers(n, size=n) for _ in range(n_bootstraps))
    resampled = [
        quantiles_score(measured.mu[s], measured.p16[s], measured.p84[s]).score for s in samples
    ]
    low, high = np.percentile(resampled, [15.87, 84.13])
    return Summary(
        n=n,
        coverage=coverage,
        coverage_error=math.sqrt(shrunk * (1 - shrunk) / (n + 1)),
        bias=float(errors.mean()),
        bias_error=_standard_error(errors),
        pull_mean=float(pulls.mean()) if pulls.size else math.nan,
        pull_width=float(pulls.std()) if pulls.size else math.nan,
        width=score.interval,
        interval_score=float(intervals.mean()),
        interval_score_error=_standard_error(intervals),
        crps=float(crps_normal(measured.mu, measured.mu_hat, abs(measured.delta_mu_hat)).mean()),
        quantile_crps=float(
            quantile_crps(measured.mu, measured.p16, measured.mu_hat, measured.p84).mean()
        ),
        quantiles_score=score.score,
        score_low=float(low),
        score_high=float(high),
    )


def _standard_error(values: Array) -> float:
    return float(values.std(ddof=1) / math.sqrt(values.size)) if values.size > 1 else math.inf


def paired_differences(first: Measurements, second: Measurements) -> list[Difference]:
    """Compare two methods on the same pseudo-experiments.

    For each quantity the mean of the differences over experiments, its standard error, and their
    ratio, the significance. What both methods owe to the same lucky or unlucky experiment cancels.

    Raises
    ------
    ResultsError
        If the two were not measured at the same truths.

    Examples
    --------
    >>> measured = Measurements.of(predictions, mus)
    >>> [one.quantity for one in paired_differences(measured, measured)][:2]
    ['width', 'coverage']
    """
    if first.mu.shape != second.mu.shape or not np.array_equal(first.mu, second.mu):
        raise ResultsError(
            "a paired comparison needs the same pseudo-experiments: the true mu differ; run both "
            "with the same seed, sets and numbers"
        )

    def quantities(m: Measurements) -> dict[str, Array]:
        return {
            "width": m.width,
            "coverage": m.covered.astype(np.float64),
            "absolute error": np.abs(m.errors),
            "interval score": interval_score(m.mu, m.p16, m.p84),
            "CRPS": crps_normal(m.mu, m.mu_hat, np.abs(m.delta_mu_hat)),
        }

    one, other = quantities(first), quantities(second)
    differences = []
    for name in one:
        change = other[name] - one[name]
        change[np.abs(change) < 1e-12] = 0.0  # rounding is no difference
        mean, error = float(change.mean()), _standard_error(change)
        significance = mean / error if error > 0 else (0.0 if mean == 0 else math.inf)
        p_value = float(2 * ndtr(-abs(significance)))  # precise in the tail
        differences.append(Difference(name, mean, error, significance, p_value))
    return differences
