"""Predictions of known quality, for the tests of a run's page and of its verdict."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from HiggsML.results import Predictions


def measured(n_sets=3, n=50, *, bias=0.0, slope=0.0, shrink=1.0, spread=0.3):
    """Predictions that scatter exactly like a Gaussian: its quantiles in random order."""
    rng = np.random.default_rng(1)
    scatter = np.array([NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)])
    mus = {i: float(mu) for i, mu in enumerate(np.linspace(0.2, 2.9, n_sets))}
    predictions = {}
    for index, mu in mus.items():
        mu_hat = mu + bias + slope * (mu - 1.5) + spread * rng.permutation(scatter)
        delta = np.full(n, spread * shrink) * rng.uniform(0.9, 1.1, n)
        predictions[index] = Predictions(mu_hat, delta, mu_hat - delta, mu_hat + delta)
    return predictions, mus


def constant(value, n=20):
    one = np.full(n, float(value))
    return Predictions(one, 0 * one, one, one)
