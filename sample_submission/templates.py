"""Step 2: expected histograms of every process as functions of the nuisance parameters.

Bins. Where events look like top quarks or dibosons, they are divided by the signal score and by
the sum of the jets' pt. Elsewhere also by the pt of the tau. The two energy scales act directly on
these momenta: the fit can then measure the scales instead of suffering from them.

Morphing. For process p and bin b the expected number of events is

    n_pb(tes, jes, soft_met) = n_pb(nominal) + sum over k of c_pbk T_k(tes, jes, soft_met)

where the T_k are the terms of a polynomial that is zero at the nominal value: powers of each shift,
and the products of two, since a shifted jet changes what a shifted tau does. The coefficients c are
a least-squares fit to histograms of events that ``systematics`` has shifted.

The energy scales are counted in widths of their priors, z = (value - 1) / width. For ``soft_met``
the polynomial has powers of the width squared, since Gaussian noise adds in quadrature.

Finite simulation. A bin's content is a sum of weights w with the variance sum of w^2.
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from classifier import THREADS

PROCESSES = ("htautau", "ztautau", "ttbar", "diboson")
PRIORS = {"tes": 0.01, "jes": 0.01, "ttbar": 0.02, "diboson": 0.25, "background": 0.001}
SOFT_MET_MAX = 5.0  # GeV, where the challenge clips its log-normal

# Where the histograms are filled: widths of the priors of tes and jes, and soft_met in GeV. Each
# one alone, then two at a time.
POINTS = (
    *((z, 0.0, 0.0) for z in (-3.0, -1.0, 1.0, 3.0)),
    *((0.0, z, 0.0) for z in (-3.0, -1.0, 1.0, 3.0)),
    *((0.0, 0.0, width) for width in (1.5, 3.0, 5.0)),
    *((z_1, z_2, 0.0) for z_1 in (-1.5, 1.5) for z_2 in (-1.5, 1.5)),
    *((z, 0.0, 3.0) for z in (-1.5, 1.5)),
    *((0.0, z, 3.0) for z in (-1.5, 1.5)),
)
MAX_SLICES = 24  # of the signal score
PARTS = (2, 4)  # of every slice: by the jets' pt, and these by the pt of the tau
TOP_LIKE = 1.0  # ln of the density ratio of (ttbar, diboson) and ztautau
EVENTS_PER_BIN = 3000  # simulated ones: a small training set gets fewer bins
SIGNAL_SHARE = 0.7  # of the signal in the quantiles that divide the score
ENOUGH_FOR_QUANTILES = 2_000_000  # events

CHUNK_ROWS = 100_000  # events that are shifted at once, to save memory
MAX_SHIFTED_EVENTS = 20_000_000  # each at 19 points; fewer blur mu (benchmarks/CLOSURE.md)


def terms(tes, jes, soft_met):
    """Return the terms of the polynomial, shape (13,) or, of n points, (n, 13)."""
    t, j = (tes - 1.0) / PRIORS["tes"], (jes - 1.0) / PRIORS["jes"]
    s = (soft_met / SOFT_MET_MAX) ** 2
    return np.array([t, t**2, t**3, t**4, j, j**2, j**3, j**4, s, s**2, t * j, t * s, j * s]).T


def quantiles(values, weights, parts):
    """Return the parts - 1 inner edges that divide the weights evenly."""
    if not values.size:
        return np.zeros(parts - 1)
    order = np.argsort(values)
    sums = np.cumsum(weights[order])
    return values[order][np.searchsorted(sums, np.arange(1, parts) / parts * sums[-1])]


def observables(events, classifier):
    """Return what the bins depend on, shape (4, n): both scores, the jets' pt and the tau's."""
    momenta = [events[name].to_numpy() for name in ("PRI_jet_all_pt", "PRI_had_pt")]
    return np.stack([*classifier(events), *momenta])


class Division:
    """Divides events by one quantity, each slice by the next quantity, and so on, at quantiles.

    Parameters
    ----------
    columns : array of shape (n_columns, n)
        The quantities.
    weights : array of shape (n,)
        The parts of a slice have equal sums of them.
    parts : sequence of int
        Into how many parts each quantity divides.
    """

    def __init__(self, columns, weights, parts):
        self.edges = []  # by column, one line for every part that the columns before have made
        self.n_bins = 1
        number = np.zeros(weights.size, dtype=np.int64)
        for values, n in zip(columns, parts, strict=True):
            slices = (number == k for k in range(self.n_bins))
            self.edges.append(np.array([quantiles(values[s], weights[s], n) for s in slices]))
            self.n_bins *= n
            number = self(columns)

    def __call__(self, columns):
        """Return the number of each event's part."""
        number = np.searchsorted(self.edges[0][0], columns[0])
        for values, edges in zip(columns[1:], self.edges[1:], strict=False):
            above = [values > edge[number] for edge in edges.T]
            number = number * (len(above) + 1) + np.sum(above, axis=0, dtype=np.int64)
        return number


class Binning:
    """Divides events by the two scores, the jets' pt and the tau's.

    Parameters
    ----------
    seen : array of shape (4, n)
        From :func:`observables`.
    weights : array of shape (n,)
        Expected events.
    is_signal : array of bool, shape (n,)
        Which events are signal.
    """

    def __init__(self, seen, weights, is_signal):
        # The signal's bins, in which mu is measured, and the background's, in which the nuisance
        # parameters are: the quantiles are those of a mixture.
        sums = np.array([weights[~is_signal].sum(), weights[is_signal].sum()])
        mixed = weights * (np.array([1 - SIGNAL_SHARE, SIGNAL_SHARE]) / sums)[is_signal.astype(int)]
        bins = seen.shape[1] / EVENTS_PER_BIN
        slices = min(int(bins / (np.prod(PARTS) + 1)), MAX_SLICES)
        if slices >= 4:
            main, top = (slices, *PARTS), (slices // 2, PARTS[0], 1)
        else:  # too few events for momenta
            main, top = (max(2, min(int(bins), 12)), 1, 1), (1, 1, 1)
        some = slice(None, None, 1 + mixed.size // ENOUGH_FOR_QUANTILES)
        values, top_like, mixed = seen[[0, 2, 3], some], seen[1, some] > TOP_LIKE, mixed[some]
        self.main, self.top = (
            Division(values[:, mine], mixed[mine], parts)
            for mine, parts in ((~top_like, main), (top_like, top))
        )
        self.n_bins = self.main.n_bins + self.top.n_bins

    def __call__(self, seen):
        """Return the number of each event's bin."""
        values = seen[[0, 2, 3]]
        number = self.main(values)
        top = np.flatnonzero(seen[1] > TOP_LIKE)
        number[top] = self.main.n_bins + self.top(values[:, top])
        return number


@dataclass
class Templates:
    """Histograms of all processes and how they change.

    Attributes
    ----------
    binning : Binning
        Puts events into bins.
    nominal : array of shape (4, n_bins)
        Expected events without shifts, in the order of ``PROCESSES``.
    changes : array of shape (13, 4, n_bins)
        Coefficients of :func:`terms`.
    variances : array of shape (4, n_bins)
        Of the finite simulation, at nominal.
    """

    binning: Binning
    nominal: np.ndarray
    changes: np.ndarray
    variances: np.ndarray

    @classmethod
    def fill(cls, events, systematics, classifier):
        """Fill all histograms from simulated events with weights."""
        # One thread for each matrix product, and one for each chunk.
        with THREADS.limit(limits=1), ThreadPoolExecutor(os.cpu_count()) as pool:
            return cls._fill(events, systematics, classifier, pool.map)

    @classmethod
    def _fill(cls, events, systematics, classifier, map_chunks):
        parts = map_chunks(lambda part: _judged(part, systematics, classifier), _chunks(events))
        everything = process, seen, weights = [
            np.concatenate(p, axis=-1) for p in zip(*parts, strict=True)
        ]
        binning = Binning(seen, weights, process == 0)

        def histogram(judged, power=1):
            process, seen, weights = judged
            flat = process * binning.n_bins + binning(seen)
            sums = np.bincount(flat, weights**power, minlength=len(PROCESSES) * binning.n_bins)
            return sums.reshape(len(PROCESSES), binning.n_bins)

        nominal, variances = histogram(everything), histogram(everything, power=2)

        # Changes are measured on a part of the events if there are very many.
        part = events.iloc[:: -(-len(events) // MAX_SHIFTED_EVENTS)]
        whole, less = _yields(events), _yields(part)
        scale = np.divide(whole, less, out=np.zeros_like(whole), where=less > 0)[:, None]

        def shifted_histogram(**shift):
            def filled(seed, chunk):
                return histogram(_judged(chunk, systematics, classifier, seed=seed, **shift))

            return scale * sum(map_chunks(filled, itertools.count(), _chunks(part)))

        unshifted = nominal if len(part) == len(events) else shifted_histogram()
        # The same seed for every point: the noise is then the same but for its size, and the change
        # of the histogram is not blurred by different random numbers.
        found, factors = [], []
        for z_tes, z_jes, soft_met in POINTS:
            tes, jes = 1 + z_tes * PRIORS["tes"], 1 + z_jes * PRIORS["jes"]
            shifted = shifted_histogram(tes=tes, jes=jes, soft_met=soft_met)
            found.append((shifted - unshifted).ravel())
            factors.append(terms(tes, jes, soft_met))
        changes, *_ = np.linalg.lstsq(np.array(factors), np.array(found), rcond=None)
        return cls(binning, nominal, changes.reshape(-1, *nominal.shape), variances)

    def expected(self, tes, jes, soft_met):
        """Return the expected events of every process and bin, shape (4, n_bins).

        Or, of n points, (n, 4, n_bins).
        """
        found = terms(tes, jes, soft_met)
        change = (found @ self.changes.reshape(len(self.changes), -1)).reshape(
            *found.shape[:-1], *self.nominal.shape
        )
        return np.maximum(self.nominal + change, 0.0)


def _chunks(events):
    for start in range(0, len(events), CHUNK_ROWS):
        yield events.iloc[start : start + CHUNK_ROWS]


def _yields(events):
    """Return the sum of weights of every process."""
    sums = events.groupby("detailed_labels")["weights"].sum()
    return np.array([float(sums.get(name, 0.0)) for name in PROCESSES])


def _judged(events, systematics, classifier, **shift):
    """Shift events; return their processes, observables and weights."""
    shifted = systematics(events, **shift)
    names = shifted["detailed_labels"].to_numpy()
    process = np.select([names == name for name in PROCESSES], range(len(PROCESSES)))
    return process, observables(shifted, classifier), shifted["weights"].to_numpy(np.float64)
