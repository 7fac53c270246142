"""Expected histograms of the classifier's output, as functions of the nuisance parameters.

For process p and bin b the expected number of events is

    n_pb(tes, jes, soft_met) = n_pb(nominal) + sum over shifts k of  n_pb,k(z_k)

where the change n_pb,k is a polynomial of z_k that goes through zero at the nominal value. Its
coefficients are a least-squares fit to histograms of events that ``systematics`` has shifted. The
three shifts are small, so their joint effect is taken as the sum of the single ones.

The nuisance parameters are counted in units of their prior's width: z = (value - 1) / width for the
two energy scales. For ``soft_met`` = exp(z) with z ~ N(0, 1) the histogram depends on powers of the
width squared, since Gaussian noise adds in quadrature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PROCESSES = ("htautau", "ztautau", "ttbar", "diboson")
PRIORS = {"tes": 0.01, "jes": 0.01, "ttbar": 0.02, "diboson": 0.25, "background": 0.001}
SOFT_MET_MAX = 5.0  # GeV, where the challenge clips its log-normal

MAX_BINS = 25
SIGNAL_EVENTS_PER_BIN = 100  # simulated ones, at least, so that a template is no noise


def _powers(shift, value):
    """Return the polynomial's terms: z and z^2 for an energy scale, s^2 and s^4 for soft_met."""
    if shift == "soft_met":
        variance = (value / SOFT_MET_MAX) ** 2
        return np.stack([variance, variance**2], axis=-1)
    z = (value - 1.0) / PRIORS[shift]
    return np.stack([z, z**2], axis=-1)


GRID = {
    "tes": np.array([0.98, 0.99, 1.01, 1.02]),
    "jes": np.array([0.98, 0.99, 1.01, 1.02]),
    "soft_met": np.array([1.0, 2.0, 3.0, 4.0, 5.0]),
}


@dataclass
class Templates:
    """Histograms of all processes, shape (4, n_bins), and how they change.

    Attributes
    ----------
    edges : array of shape (n_bins + 1,)
        Bins of the score; each holds about the same number of signal events.
    nominal : array of shape (4, n_bins)
        Expected events without shifts, in the order of ``PROCESSES``.
    slopes : dict of str to array of shape (2, 4, n_bins)
        Coefficients of each shift's polynomial.
    """

    edges: np.ndarray
    nominal: np.ndarray
    slopes: dict[str, np.ndarray]

    @classmethod
    def fill(cls, events, systematics, score):
        """Fill all histograms from simulated events with weights."""
        nominal_events = systematics(events)
        signal = nominal_events["labels"] == 1
        n_bins = int(np.clip(signal.sum() // SIGNAL_EVENTS_PER_BIN, 2, MAX_BINS))
        signal_scores = score(_features(nominal_events[signal]))
        edges = np.quantile(signal_scores, np.linspace(0, 1, n_bins + 1))
        edges[0], edges[-1] = 0.0, 1.0

        def by_process(shifted):
            values = score(_features(shifted))
            return np.stack([
                np.histogram(values[mine], edges, weights=shifted["weights"][mine])[0]
                for mine in (shifted["detailed_labels"] == name for name in PROCESSES)
            ])  # fmt: skip

        nominal = by_process(nominal_events)
        slopes = {}
        for shift, values in GRID.items():
            # The same seed for every width: the noise is then the same but for its size, and the
            # change of the histogram is not blurred by different random numbers.
            changes = np.stack([
                by_process(systematics(events, **{shift: float(value)}, seed=7)) - nominal
                for value in values
            ])  # fmt: skip
            terms = _powers(shift, values)
            solution, *_ = np.linalg.lstsq(terms, changes.reshape(len(values), -1), rcond=None)
            slopes[shift] = solution.reshape(2, *nominal.shape)
        return cls(edges, nominal, slopes)

    def histogram(self, score, weights):
        """Return the observed number of events in each bin."""
        return np.histogram(score, self.edges, weights=weights)[0]

    def expected(self, tes, jes, soft_met):
        """Return the expected events of every process and bin, shape (4, n_bins)."""
        total = self.nominal.copy()
        for shift, value in (("tes", tes), ("jes", jes), ("soft_met", soft_met)):
            total += np.tensordot(_powers(shift, np.float64(value)), self.slopes[shift], axes=1)
        return np.maximum(total, 0.0)


def _features(events):
    return events.drop(columns=["weights", "labels", "detailed_labels"])
