"""Step 3: the profile likelihood of the signal strength.

Observed counts n_b are Poisson distributed around beta_b nu_b,

    nu_b = mu S_b + b (Z_b + t T_b + d D_b),

where S, Z, T, D are the templates of signal, ztautau, ttbar and diboson under the shifts, and t, d
and b the three background rates. The factors beta_b stand for the finite simulation: each template
bin is known with a relative uncertainty delta_b only (R. Barlow and C. Beeston, Comput. Phys.
Commun. 77 (1993) 219; one factor per bin as in J. Conway, arXiv:1103.0354). With the constraints of
the nuisance parameters, each a standard normal z, twice the negative logarithm of the likelihood,
less a constant that keeps it small and its differences exact, is

    q = 2 sum_b [beta_b nu_b - n_b - n_b ln(beta_b nu_b / n_b)]
        + sum_b (beta_b - 1)^2 / delta_b^2 + sum_k z_k^2.

For given nu_b the best beta_b solves a quadratic equation, so that it costs no parameter.

The interval are the values of mu where the profile, q minimized over all other parameters, is 1
above its minimum (S. Wilks' theorem: 68.27 %; G. Cowan et al., Eur. Phys. J. C 71 (2011) 1554). A
negative mu is unphysical, but the fit may go there: a fit that stops at zero would not know how
far below the best value lies. Only the interval is cut off at zero, which no true value can notice.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from iminuit import Minuit
from templates import PRIORS, SOFT_MET_MAX

NUISANCES = ("tes", "jes", "soft_met", "ttbar", "diboson", "background")
PARAMETERS = ("mu", *NUISANCES)
STEP = 1e-3  # of difference quotients, in widths of the priors
EACH = STEP * np.eye(len(PARAMETERS))


def soft_met_width(z):
    """Return the width exp(z) [GeV], with a smooth bend in place of the cut at 5 GeV.

    In z the log-normal prior is a standard normal: its mode is at 1 GeV, not at the nominal 0.
    """
    width = np.exp(np.minimum(z, 10.0))
    return width / (1 + (width / SOFT_MET_MAX) ** 12) ** (1 / 12)


class ProfileLikelihood:
    """Fits mu and nuisance parameters to a histogram.

    Parameters
    ----------
    templates : Templates
        Expected histograms.
    fixed : sequence of str
        Nuisance parameters that stay at their nominal values.
    """

    def __init__(self, templates, fixed=()):
        self.templates = templates
        self.fixed = tuple(fixed)

    def expected(self, mu, z):
        """Return expected counts and their variances, each of shape (n_bins,) or (n, n_bins).

        Parameters
        ----------
        mu : float or array of shape (n,)
            Signal strength.
        z : array of shape (6,) or (n, 6)
            Nuisance parameters in widths of their priors, in the order of ``NUISANCES``.
        """
        tes, jes, soft_met, ttbar, diboson, background = z.T
        # A constraint has the shape of the prior that nature draws from: here rates are normal, and
        # clipped only where four or more widths away. Log-normal factors, usual where a rate may
        # not become negative, would be a slightly wrong prior for diboson, which varies by 25 %.
        background = 1 + PRIORS["background"] * background
        rates = np.array([
            mu,
            background,
            background * (1 + PRIORS["ttbar"] * ttbar),
            background * (1 + PRIORS["diboson"] * np.maximum(diboson, -4.0)),  # not negative
        ]).T  # fmt: skip
        templates = self.templates.expected(
            1 + PRIORS["tes"] * tes,
            1 + PRIORS["jes"] * jes,
            0 * soft_met if "soft_met" in self.fixed else soft_met_width(soft_met),
        )
        nu = np.einsum("...p,...pb->...b", rates, templates)
        return np.maximum(nu, 1e-3), rates**2 @ self.templates.variances

    def q(self, points, counts):
        """Return twice the negative logarithm of the likelihood, less a constant.

        Parameters
        ----------
        points : array of shape (7,) or (n, 7)
            mu and the nuisance parameters.
        counts : array of shape (n_bins,)
            Observed events.
        """
        mu, z = points.T[0], points[..., 1:]
        nu, variance = self.expected(mu, z)
        # d q / d beta = 0 is beta^2 + (v - 1) beta - v n / nu = 0 with v = nu delta^2.
        v = np.maximum(variance / nu, 1e-9)
        beta = 0.5 * ((1 - v) + np.sqrt((1 - v) ** 2 + 4 * v * counts / nu))
        beta = np.maximum(beta, 1e-9)
        mean = beta * nu
        poisson = mean - counts - counts * np.log(mean / np.maximum(counts, 1))
        return (2 * poisson + (beta - 1) ** 2 * nu / v).sum(axis=-1) + (z * z).sum(axis=-1)

    def derivatives(self, point, counts):
        """Return the first and second derivatives of q by each parameter, each of shape (7,).

        Minuit would ask for q at all these points, one by one: 15 cost little more than one.
        """
        points = np.concatenate([point[None], point + EACH, point - EACH])
        here, above, below = np.split(self.q(points, counts), [1, 1 + len(EACH)])
        return (above - below) / (2 * STEP), (above - 2 * here + below) / STEP**2

    def measure(self, counts):
        """Return the best mu, the ends of its 68.27 % interval, and the nuisance parameters."""
        start = np.array([1.0, *[0.0] * len(NUISANCES)])

        @lru_cache(maxsize=1)  # Minuit asks for both at the same point
        def derivatives(*point):
            return self.derivatives(np.array(point), counts)

        minuit = Minuit(
            lambda point: self.q(point, counts),
            start,
            grad=lambda point: derivatives(*point)[0],
            g2=lambda point: derivatives(*point)[1],
            name=PARAMETERS,
        )
        minuit.errordef = Minuit.LEAST_SQUARES  # q rises by 1
        minuit.errors = [0.1, *[0.7] * len(NUISANCES)]
        minuit.strategy = 0
        for name in self.fixed:
            minuit.fixed[name] = True
        minuit.migrad()
        interval = minuit.minos("mu").merrors["mu"] if minuit.valid else None
        mu_hat = minuit.values["mu"]
        if interval is not None and interval.is_valid:
            low, high = mu_hat + interval.lower, mu_hat + interval.upper
        else:
            # On data that no parameters describe both can fail; the curvature is then the best
            # there is.
            low, high = mu_hat - minuit.errors["mu"], mu_hat + minuit.errors["mu"]
        pulls = {name: (minuit.values[name], minuit.errors[name]) for name in NUISANCES}
        return max(mu_hat, 0.0), max(low, 0.0), max(high, 0.0), pulls
