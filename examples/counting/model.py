"""The smallest Model: count events and subtract the expected background.

n observed, b and s expected from background and signal (mu = 1): mu = (n - b) / s, with the
Poisson uncertainty of n alone. It knows nothing of the nuisance parameters, so its intervals are
too short whenever they vary.
"""

import numpy as np


class Model:
    """Counts events in a region that is rich in signal."""

    def __init__(self, get_train_set, systematics):
        self.get_train_set = get_train_set
        self.systematics = systematics

    def fit(self):
        """Count the expected events."""
        events = self.systematics(self.get_train_set())
        inside = events[self.select(events)]
        is_signal = inside["labels"] == 1
        self.signal = float(inside["weights"][is_signal].sum())
        self.background = float(inside["weights"][~is_signal].sum())

    def predict(self, test_set):
        """Measure mu in one pseudo-experiment."""
        n = float(test_set["weights"][self.select(test_set["data"])].sum())
        mu = (n - self.background) / self.signal
        delta = np.sqrt(max(n, 1.0)) / self.signal
        return {"mu_hat": mu, "delta_mu_hat": delta, "p16": mu - delta, "p84": mu + delta}

    @staticmethod
    def select(events):
        """Tell which events count: pairs with a mass above the Z boson's, and boosted."""
        return (events["DER_mass_vis"] > 75) & (events["DER_pt_h"] > 50)
