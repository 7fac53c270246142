"""The profile likelihood of the signal strength.

Observed counts n_b are Poisson distributed around

    nu_b = mu S_b + beta (Z_b + t T_b + d D_b),

where S, Z, T, D are the templates of signal, ztautau, ttbar and diboson under the shifts, t, d and
beta the three background rates. With the constraints of the nuisance parameters (each a standard
normal z) twice the negative logarithm of the likelihood is

    q = 2 sum_b [nu_b - n_b ln nu_b] + sum_k z_k^2.

The interval are the values of mu where the profile, q minimized over all nuisance parameters, is 1
above its minimum (Wilks' theorem: 68.27 %). See G. Cowan et al., Eur. Phys. J. C 71 (2011) 1554.
"""

from __future__ import annotations

import numpy as np
from iminuit import Minuit
from templates import PRIORS, SOFT_MET_MAX

NUISANCES = ("tes", "jes", "soft_met", "ttbar", "diboson", "background")


def soft_met_width(z):
    """Return the width exp(z) [GeV], with a smooth bend in place of the cut at 5 GeV."""
    width = np.exp(min(z, 10.0))
    return width / (1 + (width / SOFT_MET_MAX) ** 4) ** 0.25


class ProfileLikelihood:
    """Fits mu and six nuisance parameters to a histogram."""

    def __init__(self, templates):
        self.templates = templates

    def expected(self, mu, z):
        """Return the expected counts, shape (n_bins,), for nuisance parameters in prior widths."""
        tes, jes, soft_met, ttbar, diboson, background = z
        signal, ztautau, top, vector_bosons = self.templates.expected(
            1 + PRIORS["tes"] * tes,
            1 + PRIORS["jes"] * jes,
            soft_met_width(soft_met),
        )
        backgrounds = (
            ztautau
            + (1 + PRIORS["ttbar"] * ttbar) * top
            + (1 + PRIORS["diboson"] * diboson) * vector_bosons
        )
        return mu * signal + (1 + PRIORS["background"] * background) * backgrounds

    def measure(self, counts):
        """Return the best mu and the ends of its 68.27 % interval."""

        def q(parameters):
            z = parameters[1:]
            nu = np.maximum(self.expected(parameters[0], z), 1e-3)
            return 2 * np.sum(nu - counts * np.log(nu)) + np.sum(z**2)

        minuit = Minuit(q, np.array([1.0, *[0.0] * len(NUISANCES)]), name=("mu", *NUISANCES))
        minuit.errordef = 1.0
        minuit.errors = [0.2, *[1.0] * len(NUISANCES)]
        minuit.strategy = 0
        minuit.limits["diboson"] = (-4, 4)
        minuit.migrad()
        minuit.minos("mu")
        mu_hat, interval = minuit.values["mu"], minuit.merrors["mu"]
        if interval.is_valid:
            return mu_hat, mu_hat + interval.lower, mu_hat + interval.upper
        # MINOS can fail on poor data; the curvature at the minimum is then the best there is.
        error = minuit.errors["mu"]
        return mu_hat, mu_hat - error, mu_hat + error
