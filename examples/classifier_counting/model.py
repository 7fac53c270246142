"""Classifier and counting: events above a cut on a classifier's output, minus the background.

The cut is where the expected uncertainty is smallest: with s and b events expected from signal
(mu = 1) and background, the uncertainty of mu = (n - b) / s is sqrt(s + b) / s. How much shape a
histogram adds, and what the nuisance parameters do to the result, it does not know.
"""

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

LABELS = ["weights", "labels", "detailed_labels"]


class Model:
    """Counts events that look like signal."""

    def __init__(self, get_train_set, systematics):
        self.events = systematics(get_train_set(train_size=600_000))

    def fit(self):
        """Train on one half of the events; choose the cut and count on the other."""
        learn, count = self.events.iloc[::2], self.events.iloc[1::2]
        signal = (learn["labels"] == 1).to_numpy()
        weights = np.where(signal, 1 / max(signal.sum(), 1), 1 / max((~signal).sum(), 1))
        self.classifier = HistGradientBoostingClassifier(max_iter=60, random_state=1)
        self.classifier.fit(learn.drop(columns=LABELS), signal, weights * len(weights))

        score = self.score(count.drop(columns=LABELS))
        weights = count["weights"].to_numpy(float)
        weights *= self.events["weights"].sum() / weights.sum()
        is_signal = (count["labels"] == 1).to_numpy()
        cuts = np.quantile(score[is_signal], np.linspace(0, 0.95, 40))
        s = np.array([weights[(score > cut) & is_signal].sum() for cut in cuts])
        b = np.array([weights[(score > cut) & ~is_signal].sum() for cut in cuts])
        best = np.argmin(np.sqrt(s + b) / s)
        self.cut, self.signal, self.background = cuts[best], s[best], b[best]
        del self.events

    def score(self, features):
        """Return the classifier's output: 0 like background, 1 like signal."""
        return self.classifier.predict_proba(features)[:, 1]

    def predict(self, test_set):
        """Measure mu in one pseudo-experiment."""
        n = float(test_set["weights"][self.score(test_set["data"]) > self.cut].sum())
        mu = (n - self.background) / self.signal
        delta = np.sqrt(max(n, 1.0)) / self.signal
        return {"mu_hat": mu, "delta_mu_hat": delta, "p16": mu - delta, "p84": mu + delta}
