"""The sample submission's idea without its nuisance parameters, to show what they are for.

A network's output is filled into a histogram, and mu is what makes the observed one most likely.
The templates are the nominal ones: whatever shifts the events is taken for more or less signal.
The intervals are as short as statistics allow, and miss the truth too often.
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

LABELS = ["weights", "labels", "detailed_labels"]
BINS = 25


class Model:
    """Fits mu, and only mu, to a histogram."""

    def __init__(self, get_train_set, systematics):
        self.events = systematics(get_train_set(train_size=600_000))

    def fit(self):
        """Train on one half of the events; fill the templates with the other."""
        learn, fill = self.events.iloc[::2], self.events.iloc[1::2]
        self.classifier = make_pipeline(
            QuantileTransformer(n_quantiles=100, random_state=1),
            MLPClassifier((32, 16), batch_size=200, max_iter=6, random_state=1),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is fixed
            self.classifier.fit(learn.drop(columns=LABELS), learn["labels"] == 1)

        score = self.score(fill.drop(columns=LABELS))
        weights = fill["weights"].to_numpy(float)
        weights *= self.events["weights"].sum() / weights.sum()
        is_signal = (fill["labels"] == 1).to_numpy()
        self.edges = np.quantile(score[is_signal], np.linspace(0, 1, BINS + 1))[1:-1]
        bins = np.searchsorted(self.edges, score)
        self.signal = np.bincount(bins[is_signal], weights[is_signal], BINS)
        self.background = np.bincount(bins[~is_signal], weights[~is_signal], BINS)
        del self.events

    def score(self, features):
        """Return the classifier's output: 0 like background, 1 like signal."""
        return self.classifier.predict_proba(features)[:, 1]

    def predict(self, test_set):
        """Measure mu in one pseudo-experiment: where q is smallest, and where it is 1 higher."""
        bins = np.searchsorted(self.edges, self.score(test_set["data"]))
        counts = np.bincount(bins, test_set["weights"], BINS)
        mu = np.linspace(0, 4, 4001)
        expected = np.maximum(np.outer(mu, self.signal) + self.background, 1e-3)
        q = 2 * (expected.sum(axis=1) - np.log(expected) @ counts)
        inside = np.flatnonzero(q < q.min() + 1)
        low, high = mu[inside[0]], mu[inside[-1]]
        best = mu[np.argmin(q)]
        return {"mu_hat": best, "delta_mu_hat": (high - low) / 2, "p16": low, "p84": high}
