"""Proper scores of measured signal strengths, beside the official score.

A score is proper if nobody can improve its expectation by claiming anything but what he believes.
The official quantiles score is not: it pools widths and coverage over all true values, so that
intervals which are too short where that is dear and too long where it is cheap win.

All scores here are negatively oriented (less is better) and have the unit of mu, that is none.
Source: T. Gneiting and A. E. Raftery, J. Am. Stat. Assoc. 102 (2007) 359, abbreviated GR.

Examples
--------
>>> import numpy as np
>>> float(interval_score([1.0], [0.5], [1.5])[0])
1.0
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from HiggsML.errors import ResultsError
from HiggsML.schema import COVERAGE_TARGET
from HiggsML.statistics.measurements import width

__all__ = ["crps_normal", "interval_score", "pinball_loss", "quantile_crps"]

Array = NDArray[np.float64]


def interval_score(
    mu: ArrayLike, low: ArrayLike, high: ArrayLike, *, level: float = COVERAGE_TARGET
) -> Array:
    """Return the interval score of R. L. Winkler (GR equation 43) of every interval.

    The width, plus 2 / (1 - level) times the distance by which the interval misses the truth.

    Parameters
    ----------
    mu, low, high : array of shape (n,)
        True values and interval ends.
    level : float
        The probability that the interval claims.

    Raises
    ------
    ResultsError
        If lengths differ or a value is not finite.

    Examples
    --------
    >>> interval_score([1.0, 2.0], [0.5, 0.5], [1.5, 1.5], level=0.5).tolist()
    [1.0, 3.0]
    """
    truth, lower, upper = _checked(mu, low, high)
    # With swapped ends the truth lies beyond at least one of them: such an interval misses it.
    missed = np.maximum(lower - truth, 0) + np.maximum(truth - upper, 0)
    score: Array = width(lower, upper) + 2 / (1 - level) * missed
    return score


def pinball_loss(mu: ArrayLike, quantile: ArrayLike, *, level: float) -> Array:
    """Return the loss of a predicted quantile (GR equation 40 with s(x) = x, negated).

    Parameters
    ----------
    mu, quantile : array of shape (n,)
        True values, and predictions that a share ``level`` of them should lie below.
    level : float
        Between 0 and 1.

    Examples
    --------
    >>> pinball_loss([1.0, 1.0], [0.0, 2.0], level=0.75).tolist()
    [0.75, 0.25]
    """
    truth, predicted = _checked(mu, quantile)
    loss: Array = np.maximum(level * (truth - predicted), (level - 1) * (truth - predicted))
    return loss


def quantile_crps(mu: ArrayLike, p16: ArrayLike, mu_hat: ArrayLike, p84: ArrayLike) -> Array:
    """Return a continuous ranked probability score estimated from three quantiles.

    The score is twice the integral of the pinball loss over all levels (GR section 4.2); here it is
    twice the mean over the levels 0.1587, 0.5 and 0.8413, with ``mu_hat`` taken as the median.

    Examples
    --------
    >>> quantile_crps([1.0], [0.8], [1.0], [1.2]).round(4).tolist()
    [0.0423]
    """
    tail = (1 - COVERAGE_TARGET) / 2
    levels = ((p16, tail), (mu_hat, 0.5), (p84, 1 - tail))
    losses = [pinball_loss(mu, quantile, level=level) for quantile, level in levels]
    score: Array = 2 * np.mean(losses, axis=0)
    return score


def crps_normal(mu: ArrayLike, mu_hat: ArrayLike, delta_mu_hat: ArrayLike) -> Array:
    """Return the continuous ranked probability score of normal predictions (GR equation 21).

    With z = (mu - mu_hat) / delta: delta [z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)].

    Raises
    ------
    ResultsError
        If lengths differ, a value is not finite, or a ``delta_mu_hat`` is negative.

    Examples
    --------
    >>> crps_normal([1.0], [1.0], [0.2]).round(4).tolist()
    [0.0467]
    """
    truth, center, delta = _checked(mu, mu_hat, delta_mu_hat)
    if (delta < 0).any():
        first = int(np.flatnonzero(delta < 0)[0])
        raise ResultsError(f"delta_mu_hat of prediction {first} is negative: {delta[first]}")
    sigma = np.maximum(delta, 1e-12)  # in the limit of 0 the score is the absolute error
    z = (truth - center) / sigma
    phi = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    score: Array = sigma * (z * (2 * ndtr(z) - 1) + 2 * phi - 1 / math.sqrt(math.pi))
    return score


def _checked(*columns: ArrayLike) -> tuple[Array, ...]:
    arrays = [np.atleast_1d(np.asarray(column, dtype=np.float64)) for column in columns]
    try:
        arrays = list(np.broadcast_arrays(*arrays))
    except ValueError:
        sizes = ", ".join(str(array.shape) for array in arrays)
        raise ResultsError(f"columns of different shapes can not be scored: {sizes}") from None
    if not arrays[0].size:
        raise ResultsError("a score needs at least one prediction")
    if not all(np.isfinite(array).all() for array in arrays):
        raise ResultsError("a score needs finite numbers: some true value or prediction is not")
    return tuple(arrays)
