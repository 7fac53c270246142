"""Measured signal strengths with their truth: width, coverage, error and pull, each defined once.

Examples
--------
>>> import numpy as np
>>> pull(1.0, mu_hat=[1.1, 0.8], delta_mu_hat=[0.1, 0.1]).round(2).tolist()
[1.0, -2.0]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from HiggsML.results import Predictions

__all__ = ["Measurements", "contains", "pull", "width"]

Array = NDArray[np.float64]


def width(p16: ArrayLike, p84: ArrayLike) -> Array:
    r"""Return the width \|p84 - p16\| of intervals; swapped ends make no difference.

    Examples
    --------
    >>> width([0.9, 1.2], [1.3, 0.9]).round(2).tolist()
    [0.4, 0.3]
    """
    return np.abs(np.subtract(p84, p16, dtype=np.float64))


def contains(p16: ArrayLike, p84: ArrayLike, mu: ArrayLike) -> NDArray[np.bool_]:
    """Return which intervals contain the true mu; those with swapped ends never do.

    Examples
    --------
    >>> contains([0.9, 1.2], [1.3, 0.9], mu=1.0).tolist()
    [True, False]
    """
    return np.less_equal(p16, mu) & np.less_equal(mu, p84)


def pull(mu: ArrayLike, mu_hat: ArrayLike, delta_mu_hat: ArrayLike) -> Array:
    """Return (mu_hat - mu) / delta_mu_hat of the predictions whose uncertainty is above 0.

    Examples
    --------
    >>> pull([1.0, 1.0], [1.5, 1.5], [0.5, 0.0]).tolist()
    [1.0]
    """
    delta = np.asarray(delta_mu_hat, dtype=np.float64)
    error = np.broadcast_to(np.subtract(mu_hat, mu, dtype=np.float64), delta.shape)
    pulls: Array = error[delta > 0] / delta[delta > 0]
    return pulls


@dataclass(frozen=True)
class Measurements:
    """What a method answered, and the truth: arrays of one shape, such as (n,).

    Attributes
    ----------
    mu : array
        True signal strengths.
    mu_hat, delta_mu_hat, p16, p84 : array
        The answers.
    pulls : mapping of str to array
        By nuisance parameter (estimate - truth) / (width of the prior), if the model reports its
        estimates under the key "nuisances".

    Examples
    --------
    >>> one = Measurements(*np.array([[1.0], [1.1], [0.2], [0.9], [1.3]]))
    >>> one.covered.tolist(), one.width.round(2).tolist(), one.mu_pulls.round(2).tolist()
    ([True], [0.4], [0.5])
    """

    mu: Array
    mu_hat: Array
    delta_mu_hat: Array
    p16: Array
    p84: Array
    pulls: Mapping[str, Array] = field(default_factory=dict)

    @classmethod
    def of(cls, predictions: Mapping[int, Predictions], mus: Mapping[int, float]) -> Measurements:
        """Return the answers of all sets, one set after the other in the order of their indices.

        Examples
        --------
        >>> Measurements.of(predictions, mus).mu.shape
        (10,)
        """
        sets = [(float(mus[index]), predictions[index]) for index in sorted(predictions)]
        mu = [np.full(one.mu_hat.shape, true) for true, one in sets]
        answers = [[getattr(one, name) for _, one in sets] for name in COLUMNS[1:]]
        return cls(**_concatenated([mu, *answers]))

    @classmethod
    def joined(cls, parts: Iterable[Measurements]) -> Measurements:
        """Return several together, without what they have of nuisance parameters."""
        listed = list(parts)
        return cls(**_concatenated([[getattr(one, name) for one in listed] for name in COLUMNS]))

    def by_set(self, n_sets: int) -> Measurements:
        """Return the same, of sets of one size, in the shape (n_sets, pseudo-experiments)."""
        return replace(self, **{name: getattr(self, name).reshape(n_sets, -1) for name in COLUMNS})

    @property
    def width(self) -> Array:
        """Widths of the intervals."""
        return width(self.p16, self.p84)

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Which intervals contain the truth."""
        return contains(self.p16, self.p84, self.mu)

    @property
    def errors(self) -> Array:
        """Estimate - truth; their mean is the bias."""
        errors: Array = self.mu_hat - self.mu
        return errors

    @property
    def mu_pulls(self) -> Array:
        """Errors in units of the uncertainty that was answered, where that is above 0."""
        return pull(self.mu, self.mu_hat, self.delta_mu_hat)


COLUMNS = tuple(one.name for one in fields(Measurements) if one.name != "pulls")
"""Truth and answers by name: ``mu``, ``mu_hat``, ``delta_mu_hat``, ``p16``, ``p84``."""


def _concatenated(columns: list[list[Array]]) -> dict[str, Any]:
    return {name: np.concatenate(parts) for name, parts in zip(COLUMNS, columns, strict=True)}
