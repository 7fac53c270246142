"""Closure: a test of the benchmark itself.

A method that knows the nuisance parameters and the expected histograms of the very events that
pseudo-experiments are drawn from has nothing left to be wrong about: its intervals must contain the
truth in 68.27 % of the cases. If they do not, the generator of pseudo-experiments is at fault.

The same method with histograms of another sample, as participants have them, shows what the finite
size of the test split costs; compare
:func:`HiggsML.statistics.fisher_information.expected_coverage`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq

from HiggsML.errors import SettingsError
from HiggsML.physics.shifts import rate_factors
from HiggsML.pseudo_experiments import EventStore, Purpose, seed_sequence
from HiggsML.schema import SIGNAL
from HiggsML.statistics.measurements import Measurements
from HiggsML.systematics import systematics

__all__ = [
    "KnownTruth",
    "closure",
    "default_bins",
    "known_truth",
    "poisson_interval",
    "simulated_repeats",
]

Array = NDArray[np.float64]
Bins = Callable[[pd.DataFrame], NDArray[np.intp]]

_MASS_EDGES = np.array([60.0, 70.0, 80.0, 90.0, 100.0, 120.0])
_PT_EDGES = np.array([15.0, 30.0, 50.0, 100.0])
N_BINS = (len(_MASS_EDGES) + 1) * (len(_PT_EDGES) + 1)


def default_bins(events: pd.DataFrame) -> NDArray[np.intp]:
    """Return each event's bin in visible mass and pt of the Higgs candidate, below `N_BINS`."""
    mass = np.searchsorted(_MASS_EDGES, events["DER_mass_vis"].to_numpy())
    pt = np.searchsorted(_PT_EDGES, events["DER_pt_h"].to_numpy())
    numbers: NDArray[np.intp] = mass * (len(_PT_EDGES) + 1) + pt
    return numbers


@dataclass(frozen=True)
class KnownTruth:
    """Expected histograms, shape (n_bins,), of signal (mu = 1) and background."""

    signal: Array
    background: Array


def known_truth(
    test_set: Mapping[str, pd.DataFrame],
    nuisances: Mapping[str, float | None] | None = None,
    *,
    bins: Bins = default_bins,
    n_bins: int = N_BINS,
    copies: int = 4,
    seed: int = 0,
) -> KnownTruth:
    """Fill the histograms that pseudo-experiments fluctuate around.

    Parameters
    ----------
    test_set : mapping of str to DataFrame
        By process, from :meth:`HiggsML.datasets.Data.get_test_set`.
    nuisances : mapping of str to float, optional
        Values of nuisance parameters; nominal where absent.
    bins : callable
        Returns the bin of every event of a frame.
    n_bins : int
        How many bins there are.
    copies : int
        Repetitions of every event under other soft missing momentum, where that varies.
    seed : int
        Its randomness.
    """
    values = {name: value for name, value in (nuisances or {}).items() if value is not None}
    nominal = {"tes": 1.0, "jes": 1.0, "soft_met": 0.0}
    tes, jes, soft_met = (values.pop(name, default) for name, default in nominal.items())
    factors = rate_factors(**values)
    repeats = copies if soft_met else 1
    histograms = {"signal": np.zeros(n_bins), "background": np.zeros(n_bins)}
    for place, (process, events) in enumerate(test_set.items()):
        for copy in range(repeats):
            # A generator, not an integer: processes must not share their noise.
            noise = np.random.default_rng([seed, place, copy])
            shifted = systematics(events, tes, jes, soft_met, seed=noise)
            weights = shifted["weights"].to_numpy(np.float64) * factors[process] / repeats
            kind = "signal" if process == SIGNAL else "background"
            histograms[kind] += np.bincount(bins(shifted), weights, minlength=n_bins)
    return KnownTruth(**histograms)


def simulated_repeats(
    test_set: Mapping[str, pd.DataFrame],
    mu: float,
    *,
    bins: Bins = default_bins,
    n_bins: int = N_BINS,
) -> float:
    """Return how many simulated events per expected event count for the estimate of mu.

    That is the estimate's statistical variance over the variance that finite simulation gives it,
    what :func:`HiggsML.statistics.fisher_information.expected_coverage` takes. With events i
    of weight w_i in bin b,

        r = sum_b t_b^2 nu_b  /  sum_i w_i^2 (t_b(i) - t_p(i))^2,   t_b = s_b / nu_b,

    nu_b = mu s_b + b_b, and t_p the weighted mean of t_b in the event's process: weights are
    normalized to the yield of each process, so that only its distribution fluctuates. Without that,
    and with the same weights 1 / r for all, it would be r at mu = 1.

    Parameters
    ----------
    test_set : mapping of str to DataFrame
        As for :func:`known_truth`.
    mu : float
        Signal strength.
    bins : callable
        As for :func:`known_truth`.
    n_bins : int
        As for :func:`known_truth`.
    """
    truth = known_truth(test_set, bins=bins, n_bins=n_bins)
    expected = mu * truth.signal + truth.background
    slope = np.divide(truth.signal, expected, out=np.zeros(n_bins), where=truth.signal > 0)
    variance = 0.0
    for process, events in test_set.items():
        weights = events["weights"].to_numpy(np.float64)
        squared = known_truth(
            {process: events.assign(weights=weights**2)}, bins=bins, n_bins=n_bins
        )
        mine = known_truth({process: events}, bins=bins, n_bins=n_bins)
        sums, squares = (h.signal + h.background for h in (mine, squared))
        mean = slope @ sums / weights.sum()
        # Events that fail the cuts have t = 0; they are in the sums over all weights only.
        spread = slope**2 @ squares - 2 * mean * (slope @ squares) + mean**2 * (weights**2).sum()
        variance += (mu**2 if process == SIGNAL else 1.0) * float(spread)
    return float(slope**2 @ expected) / variance


def poisson_interval(counts: Array, truth: KnownTruth) -> tuple[float, float, float]:
    """Return the most likely mu and where -2 ln L is 1 higher, with everything else known.

    The likelihood is concave in mu, so that each lies between two known points.
    """
    used = truth.signal > 0
    signal, background, n = truth.signal[used], truth.background[used], counts[used]
    background = np.maximum(background, 1e-9)
    lowest = -float((background / signal).min()) * (1 - 1e-9)

    def q(mu: float) -> float:
        nu = mu * signal + background
        return float(2 * (nu.sum() - n @ np.log(nu)))

    def slope(mu: float) -> float:
        return float(signal.sum() - (n * signal / (mu * signal + background)).sum())

    high = max(1.0, float(n.sum() / signal.sum()) + 1.0)
    best = brentq(slope, lowest, high) if slope(lowest) < 0 else lowest
    target = q(best) + 1
    step = 1.0
    while q(best + step) < target:
        step *= 2
    upper = brentq(lambda mu: q(mu) - target, best, best + step)
    lower = brentq(lambda mu: q(mu) - target, lowest, best) if q(lowest) > target else lowest
    return best, lower, upper


def closure(
    store: EventStore,
    truth: Callable[[Mapping[str, float]], KnownTruth],
    points: Iterable[tuple[float, Mapping[str, float]]],
    *,
    experiments: int,
    seed: int,
    bins: Bins = default_bins,
) -> Measurements:
    """Measure pseudo-experiments with everything but mu known.

    Parameters
    ----------
    store : EventStore
        Test events.
    truth : callable
        Returns the histograms for values of nuisance parameters; called once for each point.
    points : iterable of (mu, nuisances)
        True values.
    experiments : int
        Pseudo-experiments at each point.
    seed : int
        Root of their randomness.
    bins : callable
        As for :func:`known_truth`.
    """
    if experiments < 1:
        raise SettingsError(f"a closure test needs pseudo-experiments, got {experiments}")
    rows = []
    for place, (mu, nuisances) in enumerate(points):
        known = truth(nuisances)
        for number in range(experiments):
            events = store.pseudo_experiment(
                mu=mu,
                nuisances=nuisances,
                seed=seed_sequence(seed, Purpose.EVENTS, place, number),
            )["data"]
            counts = np.bincount(bins(events), minlength=known.signal.size).astype(np.float64)
            best, low, high = poisson_interval(counts, known)
            rows.append((mu, best, (high - low) / 2, low, high))
    mu_, best_, half, lower, upper = np.array(rows).T
    return Measurements(mu_, best_, half, lower, upper)
