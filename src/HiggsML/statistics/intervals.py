"""Intervals by set and pseudo-experiment: their coverage, and what a small test split costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, ndtr

from HiggsML.schema import COVERAGE_TARGET
from HiggsML.statistics.measurements import contains, width
from HiggsML.statistics.proper_scores import interval_score

__all__ = ["CoverageTest", "Intervals", "coverage_test", "finite_split_penalty"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Intervals:
    r"""Intervals of one method, each of shape (number of sets, pseudo-experiments in a set).

    Attributes
    ----------
    width : array
        \|p84 - p16\|.
    covered : array
        1 where the interval contains the true mu, else 0.
    interval_score : array
        Winkler's score, see :func:`HiggsML.statistics.proper_scores.interval_score`.

    Examples
    --------
    >>> intervals = Intervals.of([[1.0], [2.0]], np.full((2, 5), 0.5), np.full((2, 5), 1.5))
    >>> intervals.shape, intervals.covered.mean().item()
    ((2, 5), 0.5)
    """

    width: Array
    covered: Array
    interval_score: Array

    @classmethod
    def of(cls, mu: ArrayLike, p16: ArrayLike, p84: ArrayLike) -> Intervals:
        """Return the intervals of one method.

        Parameters
        ----------
        mu : array, broadcast to (n_sets, n_experiments)
            True values.
        p16, p84 : array of shape (n_sets, n_experiments)
            Ends of the intervals.

        Raises
        ------
        ResultsError
            If a value is not finite.
        """
        low, high = (np.asarray(end, dtype=np.float64) for end in (p16, p84))
        truth = np.broadcast_to(np.asarray(mu, dtype=np.float64), low.shape)
        score = interval_score(truth.ravel(), low.ravel(), high.ravel()).reshape(low.shape)
        return cls(width(low, high), contains(low, high, truth).astype(np.float64), score)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of sets, and of pseudo-experiments in each."""
        sets, experiments = self.width.shape
        return sets, experiments


class CoverageTest(NamedTuple):
    """Is the coverage 68.27 %: of all, and in each set? p-values are two-sided.

    Examples
    --------
    >>> test = coverage_test(Intervals.of(1.0, np.full((2, 50), 0.5), np.full((2, 50), 1.5)))
    >>> test.coverage, test.p_pooled < 0.001
    (1.0, True)
    """

    coverage: float
    error: float
    p_pooled: float
    p_by_set: float


def coverage_test(intervals: Intervals) -> CoverageTest:
    """Test whether intervals contain the truth in 68.27 % of the cases.

    Of all together, against a binomial distribution; and set by set, by the sum of squared
    deviations in units of their binomial errors, which follows chi-squared.

    Examples
    --------
    >>> coverage_test(Intervals.of(1.0, np.full((2, 50), 0.5), np.full((2, 50), 1.5))).coverage
    1.0
    """
    n_sets, n = intervals.shape
    variance = COVERAGE_TARGET * (1 - COVERAGE_TARGET)
    coverage = float(intervals.covered.mean())
    error = float(np.sqrt(variance / (n_sets * n)))
    by_set = (intervals.covered.mean(axis=1) - COVERAGE_TARGET) / np.sqrt(variance / n)
    return CoverageTest(
        coverage,
        error,
        float(2 * ndtr(-abs(coverage - COVERAGE_TARGET) / error)),
        float(chdtrc(n_sets, float(by_set @ by_set))),
    )


def finite_split_penalty(width: float, repeats: float) -> float:
    """Return what the common bias of a finite test split is expected to add to an interval score.

    All pseudo-experiments are drawn from one test split, whose own fluctuation moves every answer
    by the same b, normal with variance sigma^2 / repeats. The interval score of honest normal
    intervals is least without a bias; it rises by (2 / alpha) phi(1) b^2 / sigma, where alpha is
    1 - 0.6827 and phi the standard normal density.

    Parameters
    ----------
    width : float
        Mean width of the intervals, 2 sigma.
    repeats : float
        Simulated test events per expected event.

    Examples
    --------
    >>> round(finite_split_penalty(0.13, repeats=20), 4)
    0.005
    """
    density = math.exp(-0.5) / math.sqrt(2 * math.pi)
    return 2 / (1 - COVERAGE_TARGET) * density * (width / 2) / max(repeats, 1e-9)
