"""Step 2: expected histograms of every process as functions of the nuisance parameters.

Bins. Where events look like top quarks or dibosons, they are divided by the signal score alone.
Elsewhere each slice of the score is divided once more by the pt of the tau, on which the tau energy
scale acts directly: the fit can then measure that scale instead of suffering from it.

Morphing. For process p and bin b the expected number of events is

    n_pb(tes, jes, soft_met) = n_pb(nominal) + sum over shifts k of  n_pb,k(z_k)

where n_pb,k is a polynomial of z_k that is zero at the nominal value. Its coefficients are a
least-squares fit to histograms of events that ``systematics`` has shifted. The shifts are small, so
their joint effect is taken as the sum of the single ones.

The energy scales are counted in widths of their priors, z = (value - 1) / width. For ``soft_met``
the polynomial has powers of the width squared, since Gaussian noise adds in quadrature.

Finite simulation. A bin's content is a sum of weights w with the variance sum of w^2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PROCESSES = ("htautau", "ztautau", "ttbar", "diboson")
PRIORS = {"tes": 0.01, "jes": 0.01, "ttbar": 0.02, "diboson": 0.25, "background": 0.001}
SOFT_MET_MAX = 5.0  # GeV, where the challenge clips its log-normal

GRID = {
    "tes": (0.98, 0.99, 1.01, 1.02),
    "jes": (0.98, 0.99, 1.01, 1.02),
    "soft_met": (1.0, 2.0, 3.0, 4.0, 5.0),
}
SCORE_BINS, PT_BINS, TOP_BINS = 12, 4, 6
TOP_LIKE = 1.0  # ln of the density ratio of (ttbar, diboson) and ztautau
EVENTS_PER_BIN = 1500  # simulated ones: a small training set gets fewer bins
SIGNAL_SHARE = 0.6  # of the signal in the quantiles that divide the score

CHUNK_ROWS = 250_000  # events that are shifted at once, to save memory
MAX_SHIFTED_EVENTS = 1_500_000  # more would only take time: shifts change small parts of a bin


def powers(shift, value):
    """Return the polynomial's two terms: z and z^2, or for soft_met s^2 and s^4."""
    if shift == "soft_met":
        variance = (value / SOFT_MET_MAX) ** 2
        return np.array([variance, variance * variance])
    z = (value - 1.0) / PRIORS[shift]
    return np.array([z, z * z])


def quantiles(values, weights, parts):
    """Return the parts - 1 inner edges that divide the weights evenly."""
    if not values.size:
        return np.zeros(parts - 1)
    order = np.argsort(values)
    sums = np.cumsum(weights[order])
    return values[order][np.searchsorted(sums, np.arange(1, parts) / parts * sums[-1])]


class Binning:
    """Divides events by the two scores and the pt of the tau.

    Parameters
    ----------
    scores : array of shape (2, n)
        From the classifier.
    had_pt, weights : arrays of shape (n,)
        The pt of the tau [GeV], and expected events.
    is_signal : array of bool, shape (n,)
        Which events are signal.
    """

    def __init__(self, scores, had_pt, weights, is_signal):
        # The signal's bins, in which mu is measured, and the background's, in which the nuisance
        # parameters are: the quantiles are those of a mixture.
        sums = np.array([weights[~is_signal].sum(), weights[is_signal].sum()])
        mixed = weights * (np.array([1 - SIGNAL_SHARE, SIGNAL_SHARE]) / sums)[is_signal.astype(int)]
        shrink = min(1.0, weights.size / (EVENTS_PER_BIN * SCORE_BINS * PT_BINS))
        n_score, n_pt = max(2, round(SCORE_BINS * shrink)), max(1, round(PT_BINS * shrink))
        top = scores[1] > TOP_LIKE
        self.score_edges = quantiles(scores[0][~top], mixed[~top], n_score)
        self.top_edges = quantiles(scores[0][top], mixed[top], max(1, round(TOP_BINS * shrink)))
        row = np.searchsorted(self.score_edges, scores[0])
        slices = [(row == k) & ~top for k in range(n_score)]
        self.pt_edges = np.array([quantiles(had_pt[s], weights[s], n_pt) for s in slices])
        self.n_main = n_score * n_pt
        self.n_bins = self.n_main + len(self.top_edges) + 1

    def __call__(self, scores, had_pt):
        """Return the number of each event's bin."""
        row = np.searchsorted(self.score_edges, scores[0])
        number = row * (self.pt_edges.shape[1] + 1)
        for edges in self.pt_edges.T:  # two or three comparisons
            number += had_pt > edges[row]
        top = np.flatnonzero(scores[1] > TOP_LIKE)
        number[top] = self.n_main + np.searchsorted(self.top_edges, scores[0][top])
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
    changes : array of shape (6, 4, n_bins)
        Coefficients of the polynomials: two for each of tes, jes and soft_met.
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
        parts = [_judged(part, systematics, classifier) for part in _chunks(events)]
        process, scores, had_pt, weights = (
            np.concatenate(p, axis=-1) for p in zip(*parts, strict=True)
        )
        binning = Binning(scores, had_pt, weights, process == 0)

        def histogram(judged, power=1):
            process, scores, had_pt, weights = judged
            flat = process * binning.n_bins + binning(scores, had_pt)
            sums = np.bincount(flat, weights**power, minlength=len(PROCESSES) * binning.n_bins)
            return sums.reshape(len(PROCESSES), binning.n_bins)

        everything = process, scores, had_pt, weights
        nominal, variances = histogram(everything), histogram(everything, power=2)

        # Changes are measured on a part of the events if there are very many.
        part = events.iloc[:: -(-len(events) // MAX_SHIFTED_EVENTS)]
        whole, less = _yields(events), _yields(part)
        scale = np.divide(whole, less, out=np.zeros_like(whole), where=less > 0)[:, None]

        def shifted_histogram(**shift):
            return scale * sum(
                histogram(_judged(chunk, systematics, classifier, seed=seed, **shift))
                for seed, chunk in enumerate(_chunks(part))
            )

        unshifted = nominal if len(part) == len(events) else shifted_histogram()
        changes = []
        for shift, values in GRID.items():
            # The same seed for every width: the noise is then the same but for its size, and the
            # change of the histogram is not blurred by different random numbers.
            shifted = [shifted_histogram(**{shift: value}) for value in values]
            terms = np.array([powers(shift, value) for value in values])
            target = (np.array(shifted) - unshifted).reshape(len(values), -1)
            solution, *_ = np.linalg.lstsq(terms, target, rcond=None)
            changes.append(solution.reshape(2, *nominal.shape))
        return cls(binning, nominal, np.concatenate(changes), variances)

    def expected(self, tes, jes, soft_met):
        """Return the expected events of every process and bin, shape (4, n_bins)."""
        terms = np.concatenate(
            [powers("tes", tes), powers("jes", jes), powers("soft_met", soft_met)]
        )
        change = terms @ self.changes.reshape(len(terms), -1)
        return np.maximum(self.nominal + change.reshape(self.nominal.shape), 0.0)


def _chunks(events):
    for start in range(0, len(events), CHUNK_ROWS):
        yield events.iloc[start : start + CHUNK_ROWS]


def _yields(events):
    """Return the sum of weights of every process."""
    sums = events.groupby("detailed_labels")["weights"].sum()
    return np.array([float(sums.get(name, 0.0)) for name in PROCESSES])


def _judged(events, systematics, classifier, **shift):
    """Shift events; return their processes, scores, tau pts and weights."""
    shifted = systematics(events, **shift)
    names = shifted["detailed_labels"].to_numpy()
    process = np.select([names == name for name in PROCESSES], range(len(PROCESSES)))
    return (
        process,
        classifier(shifted),
        shifted["PRI_had_pt"].to_numpy(),
        shifted["weights"].to_numpy(np.float64),
    )
