"""Sample submission: a boosted classifier, shifted templates and a profile likelihood.

The measurement in three steps, one file each:

1. A classifier tells signal-like from background-like events (here).
2. Its output is filled into a histogram, whose expected content is known for every process and
   every value of the nuisance parameters (``templates.py``).
3. The signal strength mu is what makes the observed histogram most likely, when the nuisance
   parameters are free to move within their priors (``likelihood.py``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from likelihood import ProfileLikelihood
from sklearn.ensemble import HistGradientBoostingClassifier
from templates import PRIORS, Templates

LABELS = ["weights", "labels", "detailed_labels"]
MAX_TRAINING_EVENTS = 600_000


class Model:
    """Measures mu with a 68.27 % interval.

    Parameters
    ----------
    get_train_set : callable
        Returns training events as a data frame.
    systematics : callable
        Shifts events: ``systematics(frame, tes=1.01, jes=0.99, soft_met=1.0, seed=1)``.
    """

    def __init__(self, get_train_set, systematics):
        self.systematics = systematics
        events = get_train_set(train_size=MAX_TRAINING_EVENTS)
        # The histogram must come from events that the classifier has not seen: its output on the
        # ones that it has learned looks better than it is.
        rng = np.random.default_rng(1)
        learning = rng.random(len(events)) < 0.5
        self.learning_events = events[learning]
        self.template_events = _same_yields(events[~learning], events)
        self.rng = rng

    def fit(self):
        """Train the classifier and fill the templates."""
        self.classifier = HistGradientBoostingClassifier(
            max_iter=120, learning_rate=0.12, max_leaf_nodes=24, l2_regularization=1.0,
            random_state=1,
        )  # fmt: skip
        events = self._shifted_copies(self.learning_events, copies=2)
        signal = events["labels"] == 1
        # Signal and background count the same in total, so that 0.5 is the dividing line.
        weights = events["weights"] / events["weights"].groupby(signal).transform("sum")
        weights *= len(events) / weights.sum()
        self.classifier.fit(events.drop(columns=LABELS), signal, sample_weight=weights)

        self.templates = Templates.fill(self.template_events, self.systematics, self.score)
        self.likelihood = ProfileLikelihood(self.templates)
        del self.learning_events, self.template_events

    def predict(self, test_set):
        """Measure mu in one pseudo-experiment.

        Parameters
        ----------
        test_set : dict
            "data": a frame with one row per event; "weights": ones.

        Returns
        -------
        dict
            Estimate, its uncertainty, and the ends of the interval.
        """
        counts = self.templates.histogram(self.score(test_set["data"]), test_set["weights"])
        mu_hat, low, high = self.likelihood.measure(counts)
        return {
            "mu_hat": mu_hat,
            "delta_mu_hat": (high - low) / 2,
            "p16": low,
            "p84": high,
        }

    def score(self, features):
        """Return the classifier's output: 0 like background, 1 like signal."""
        return self.classifier.predict_proba(features)[:, 1]

    def _shifted_copies(self, events, copies):
        """Return copies of the events under random shifts, which the classifier is to tolerate."""
        shifted = []
        for copy in range(copies):
            tes, jes = self.rng.normal(1.0, [PRIORS["tes"], PRIORS["jes"]])
            soft_met = min(self.rng.lognormal(), 5.0)
            shifted.append(
                self.systematics(events, tes=tes, jes=jes, soft_met=soft_met, seed=100 + copy)
            )
        return pd.concat(shifted, ignore_index=True)


def _same_yields(part, whole):
    """Return a part of the events with weights that give each process the yield of the whole."""
    yields = whole.groupby("detailed_labels")["weights"].sum()
    factors = yields / part.groupby("detailed_labels")["weights"].sum()
    return part.assign(weights=part["weights"] * part["detailed_labels"].map(factors).astype(float))
