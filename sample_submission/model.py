"""Sample submission: small classifiers, shifted templates and a profile likelihood.

The measurement in three steps, one file each:

1. Two networks tell signal-like from background-like events (``classifier.py``).
2. Their output is filled into a histogram, whose expected content is known for every process and
   every value of the nuisance parameters (``templates.py``).
3. The signal strength mu is what makes the observed histogram most likely, when the nuisance
   parameters are free to move within their priors (``likelihood.py``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from classifier import Classifier
from likelihood import ProfileLikelihood
from templates import PRIORS, PROCESSES, SOFT_MET_MAX, Templates, observables

MAX_EVENTS = 30_000_000  # for the templates: the more, the better they are known (3.5 GB)
MAX_LEARNING_EVENTS = 800_000
COPIES = 2  # of every learning event, each under another shift


class Model:
    """Measures mu with a 68.27 % interval.

    Parameters
    ----------
    get_train_set : callable
        Returns training events as a data frame.
    systematics : callable
        Shifts events: ``systematics(frame, tes=1.01, jes=0.99, soft_met=1.0, seed=1)``.
    """

    fixed = ()  # nuisance parameters that the fit takes as known

    def __init__(self, get_train_set, systematics):
        self.systematics = systematics
        self.events = get_train_set(train_size=MAX_EVENTS)

    def fit(self):
        """Train the classifiers and fill the templates."""
        self.classifier = self.trained_classifier()
        self.templates = Templates.fill(self.events, self.systematics, self.classifier)
        self.likelihood = ProfileLikelihood(self.templates, self.fixed)
        del self.events

    def predict(self, test_set):
        """Measure mu in one pseudo-experiment.

        Parameters
        ----------
        test_set : dict
            "data": a frame with one row per event; "weights": ones.

        Returns
        -------
        dict
            Estimate, its uncertainty, and the ends of the interval; and, which the challenge
            ignores, what the fit found for every nuisance parameter in widths of its prior.
        """
        mu_hat, low, high, pulls = self.likelihood.measure(self.histogram(test_set))
        return {
            "mu_hat": mu_hat,
            "delta_mu_hat": (high - low) / 2,
            "p16": low,
            "p84": high,
            "nuisances": pulls,
        }

    def score(self, features):
        """Return ln p(signal) / p(background) of events, for ``higgsml explore``."""
        return self.classifier(features)[0]

    def histogram(self, test_set):
        """Return the number of events in each bin."""
        events = test_set["data"]
        binning = self.templates.binning
        bins = binning(observables(events, self.classifier))
        return np.bincount(bins, test_set["weights"], minlength=binning.n_bins)

    def trained_classifier(self):
        """Return the classifiers, which learn from copies of at most so many events."""
        events = self.events
        sums = events.groupby("detailed_labels")["weights"].sum()
        expected = {name: float(sums.get(name, 0.0)) for name in PROCESSES}
        learning = events.iloc[:: -(-len(events) // MAX_LEARNING_EVENTS)]
        return Classifier(self.shifted_copies(learning), expected)

    def shifted_copies(self, events):
        """Return copies of the events under random shifts, which the classifiers then tolerate."""
        rng = np.random.default_rng(1)
        copies = []
        for copy in range(COPIES):
            tes, jes = rng.normal(1.0, [PRIORS["tes"], PRIORS["jes"]])
            soft_met = min(rng.lognormal(), SOFT_MET_MAX)
            copies.append(
                self.systematics(events, tes=tes, jes=jes, soft_met=soft_met, seed=100 + copy)
            )
        return pd.concat(copies, ignore_index=True)
