"""The information limit: how well mu can be measured from binned data, and what costs how much.

For Poisson counts with expectations nu_b(theta), theta = (mu, nuisance parameters), and standard
normal constraints on the nuisance parameters z_k, the Fisher information is

    I_ij = sum_b (d nu_b / d theta_i) (d nu_b / d theta_j) / nu_b  +  [i = j > 0],

and no unbiased estimate has a variance below (I^-1)_00 (C. R. Rao and H. Cramer; for the "Asimov"
data set at which it is evaluated see G. Cowan et al., Eur. Phys. J. C 71 (2011) 1554). The finite
simulation of templates adds its variance to that of the counts, as it does when the factors of R.
Barlow and C. Beeston, Comput. Phys. Commun. 77 (1993) 219, are profiled.

Histograms must come from events that no classifier was trained on, and preferably from generator
seeds of their own: else what a classifier has memorized passes for information.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from HiggsML.errors import SettingsError

__all__ = [
    "Information",
    "bias_coverage",
    "expected_coverage",
    "fisher_information",
    "information_at",
    "mean_width",
    "required_repeats",
]

Array = NDArray[np.float64]
Expected = Callable[[Array], Array]
"""Returns expected counts, shape (n_bins,), for parameters (mu, z_1, z_2, ...)."""


@dataclass(frozen=True)
class Information:
    """What can be known about mu.

    Attributes
    ----------
    mu : float
        Where it was computed.
    sigma_known, sigma_profiled : float
        Smallest standard deviation of mu when all nuisance parameters are known, and when none is.
    impacts : dict of str to float
        By nuisance parameter: how far the estimate of mu moves if the parameter rises by its
        uncertainty after the measurement and the others adjust. This is also, in quadrature and
        up to the sign, the part of mu's uncertainty that vanishes if the parameter is known.
    constraints : dict of str to float
        By nuisance parameter: its uncertainty after the measurement in widths of its prior.

    Examples
    --------
    >>> information = Information(1.0, 0.6, 1.0, {"bkg_scale": 0.8}, {"bkg_scale": 0.9})
    >>> round(information.width_profiled, 3), round(information.width_without("bkg_scale"), 3)
    (2.0, 1.2)
    """

    mu: float
    sigma_known: float
    sigma_profiled: float
    impacts: Mapping[str, float]
    constraints: Mapping[str, float]

    @property
    def width_known(self) -> float:
        """Width of the 68.27 % interval with nuisance parameters known."""
        return 2 * self.sigma_known

    @property
    def width_profiled(self) -> float:
        """Width of the 68.27 % interval with nuisance parameters profiled."""
        return 2 * self.sigma_profiled

    def width_without(self, name: str) -> float:
        """Width of the interval if one nuisance parameter were known and the others were not."""
        return 2 * float(np.sqrt(self.sigma_profiled**2 - self.impacts[name] ** 2))


def fisher_information(
    expected: Expected,
    theta: ArrayLike,
    *,
    variance: ArrayLike = 0.0,
    n_constrained: int | None = None,
    step: float = 0.1,
) -> Array:
    """Return the Fisher information matrix, shape (m, m).

    Parameters
    ----------
    expected : callable
        See :data:`Expected`; derivatives are central differences.
    theta : array of shape (m,)
        mu and the nuisance parameters in widths of their priors.
    variance : array of shape (n_bins,)
        Of the templates' sum, from finite simulation.
    n_constrained : int, optional
        How many of the last parameters have a standard normal constraint; all but mu by default.
    step : float
        Half the distance of the differences.

    Raises
    ------
    SettingsError
        If a bin expects no events.

    Examples
    --------
    >>> fisher_information(lambda theta: 100 + 10 * theta, [0.0]).round(6).tolist()
    [[1.0]]
    """
    point = np.asarray(theta, dtype=np.float64)
    counts = expected(point) + np.asarray(variance, dtype=np.float64)
    if (counts <= 0).any():
        raise SettingsError("every bin must expect events: merge empty ones")
    shifts = step * np.eye(point.size)
    slopes = np.array([(expected(point + d) - expected(point - d)) / (2 * step) for d in shifts])
    constrained = point.size - 1 if n_constrained is None else n_constrained
    information: Array = (slopes / counts) @ slopes.T
    prior = np.zeros(point.size)
    prior[point.size - constrained :] = 1.0
    return information + np.diag(prior)


def information_at(
    expected: Expected,
    mu: float,
    names: Sequence[str],
    *,
    z: ArrayLike | None = None,
    variance: ArrayLike = 0.0,
) -> Information:
    """Evaluate the limit at one mu.

    Parameters
    ----------
    expected : callable
        See :data:`Expected`.
    mu : float
        Signal strength.
    names : sequence of str
        Nuisance parameters in the order in which ``expected`` takes them.
    z : array of shape (len(names),), optional
        Where to evaluate, in widths of the priors; at their modes (0) by default.
    variance : array of shape (n_bins,)
        See :func:`fisher_information`.

    Examples
    --------
    >>> def expected(theta):  # signal of 10, background of 100 known to 5 %
    ...     return np.array([10 * theta[0] + 100 * (1 + 0.05 * theta[1])])
    >>> found = information_at(expected, 1.0, ["background"])
    >>> round(found.sigma_known, 3), round(found.sigma_profiled, 3)
    (1.049, 1.162)
    """
    start = np.zeros(len(names)) if z is None else np.asarray(z, dtype=np.float64)
    matrix = fisher_information(expected, np.array([mu, *start]), variance=variance)
    covariance = np.linalg.inv(matrix)
    spread = np.sqrt(np.diagonal(covariance))
    # The conditional variance of a normal distribution is V_00 - V_0k^2 / V_kk.
    impacts = {name: float(covariance[0, k] / spread[k]) for k, name in enumerate(names, start=1)}
    return Information(
        mu=mu,
        sigma_known=float(matrix[0, 0] ** -0.5),
        sigma_profiled=float(spread[0]),
        impacts=impacts,
        constraints={name: float(spread[k]) for k, name in enumerate(names, start=1)},
    )


def mean_width(
    expected: Expected, mus: ArrayLike, points: ArrayLike, names: Sequence[str]
) -> tuple[float, float]:
    """Return the limit of the mean interval (nuisances known, profiled) over drawn truths.

    Parameters
    ----------
    expected : callable
        See :data:`Expected`.
    mus : array of shape (n,)
        Drawn signal strengths.
    points : array of shape (n, len(names))
        Drawn nuisance parameters in widths of their priors: the limit depends on where they are.
    names : sequence of str
        The nuisance parameters.

    Examples
    --------
    >>> def expected(theta):  # signal of 10, background of 100 known to 5 %
    ...     return np.array([10 * theta[0] + 100 * (1 + 0.05 * theta[1])])
    >>> known, profiled = mean_width(expected, [0.5, 1.5], [[0.0], [0.0]], ["background"])
    >>> round(known, 3), round(profiled, 3)
    (2.097, 2.323)
    """
    limits = [
        information_at(expected, float(mu), names, z=z)
        for mu, z in zip(np.asarray(mus), np.asarray(points), strict=True)
    ]
    known = np.mean([limit.width_known for limit in limits])
    return float(known), float(np.mean([limit.width_profiled for limit in limits]))


# ----------------------------------------------------------------------------------------------
# How many test events a benchmark needs
# ----------------------------------------------------------------------------------------------


def bias_coverage(bias: ArrayLike) -> Array:
    """Coverage of intervals of one standard deviation whose centers share a bias.

    Parameters
    ----------
    bias : array
        In standard deviations: Phi(1 - b) - Phi(-1 - b), about 0.6827 - 0.242 b^2.

    Examples
    --------
    >>> bias_coverage([0.0, 0.5, 1.0]).round(3).tolist()
    [0.683, 0.625, 0.477]
    """
    b = np.asarray(bias, dtype=np.float64)
    coverage: Array = ndtr(1 - b) - ndtr(-1 - b)
    return coverage


def expected_coverage(repeats: float) -> float:
    """Coverage of a perfect method, averaged over test sets of finite size.

    All pseudo-experiments are drawn from one simulated test set. Its own fluctuation is the same in
    all of them: a common bias, normal with variance sigma^2 / r if it holds r simulated events per
    expected one. Over many test sets estimates thus vary by sigma^2 (1 + 1 / r), and intervals of
    one sigma cover 2 Phi(1 / sqrt(1 + 1 / r)) - 1, about 0.6827 - 0.242 / r.

    Parameters
    ----------
    repeats : float
        r, simulated events per expected event.

    Examples
    --------
    >>> round(expected_coverage(20), 3), round(expected_coverage(1000), 3)
    (0.671, 0.682)
    """
    if not repeats > 0:
        raise SettingsError(f"repeats must be positive, got {repeats}")
    return float(2 * ndtr(1 / np.sqrt(1 + 1 / repeats)) - 1)


def required_repeats(tolerance: float, *, confidence: float = 2.0) -> float:
    """Simulated test events per expected event so that coverage stays within a tolerance.

    A bias of b standard deviations costs 0.242 b^2 of coverage, and b has the variance 1 / r: with
    b at ``confidence`` of its standard deviations, r = 0.242 confidence^2 / tolerance.

    Parameters
    ----------
    tolerance : float
        Loss of coverage that is acceptable, such as 0.01.
    confidence : float
        How unlucky the test set may be, in standard deviations.

    Examples
    --------
    >>> round(required_repeats(0.01), 1)
    96.8
    """
    if not tolerance > 0:
        raise SettingsError(f"the tolerance must be positive, got {tolerance}")
    return float(np.exp(-0.5) / np.sqrt(2 * np.pi) * confidence**2 / tolerance)
