"""How to win on the official score with intervals that nobody should use.

The score knows two numbers: the mean width of all intervals and the share of them that contain the
truth. Both are pooled over small mu, where mu is measured well, and large mu, where it is not. To
cover 68.27 % of all pseudo-experiments with the smallest mean width one makes intervals longer
where that is cheap and shorter where it is dear: with t_i standard deviations sigma_i on each side,
minimizing the sum of sigma_i t_i under a fixed sum of 2 Phi(t_i) - 1 gives

    phi(t_i) proportional to sigma_i    or    t_i = 0 if that has no solution.

At large mu these intervals contain the truth far too seldom, and at small mu too often. The pooled
score can not see it; coverage against mu does, and so does the interval score, which no such
rearrangement can improve (T. Gneiting and A. Raftery, J. Am. Stat. Assoc. 102 (2007) 359).

With ``GAMING = False`` the same measurement states honest intervals, for comparison.
"""

import numpy as np
from scipy.special import ndtr
from sklearn.ensemble import HistGradientBoostingClassifier

GAMING = True
MU_RANGE = (0.1, 3.0)  # that of the challenge
COVERAGE = 0.6827
PURITY = 0.7  # cut on the classifier's output: few events of the background pass
LABELS = ["weights", "labels", "detailed_labels"]
# One standard deviation of each nuisance parameter; for soft_met from its median of 1 GeV.
SHIFTS = (
    {"tes": 1.01}, {"jes": 1.01}, {"soft_met": 2.7}, {"ttbar_scale": 1.02},
    {"diboson_scale": 1.25},
)  # fmt: skip


class Model:
    """Counts events that look like signal, and distributes the coverage to its advantage."""

    def __init__(self, get_train_set, systematics):
        self.events = get_train_set(train_size=600_000)
        self.systematics = systematics

    def fit(self):
        """Train, count expected events and their uncertainties, and find the factor of phi(t)."""
        learn, count = self.events.iloc[::2], self.events.iloc[1::2]
        learn = self.systematics(learn)
        signal = (learn["labels"] == 1).to_numpy()
        weights = np.where(signal, 1 / max(signal.sum(), 1), 1 / max((~signal).sum(), 1))
        self.classifier = HistGradientBoostingClassifier(max_iter=40, random_state=1)
        self.classifier.fit(learn.drop(columns=LABELS), signal, weights * len(weights))

        scale = self.events["weights"].sum() / count["weights"].sum()
        self.expected = scale * self.counts(count, soft_met=1.0)  # background, signal
        self.changes = np.array(
            [scale * self.counts(count, **{"soft_met": 1.0, **s}) - self.expected for s in SHIFTS]
        )
        sigma = self.sigma(np.linspace(*MU_RANGE, 200))
        factors = np.geomspace(0.1, 100, 4000) * sigma.mean()
        coverages = [np.mean(2 * ndtr(self.widths(sigma, f)) - 1) for f in factors]
        self.factor = factors[np.argmin(np.abs(np.array(coverages) - COVERAGE))]
        del self.events

    def counts(self, events, **shift):
        """Return the expected events of background and signal that pass the cut."""
        shifted = self.systematics(events, seed=3, **shift)
        passed = self.classifier.predict_proba(shifted.drop(columns=LABELS))[:, 1] > PURITY
        return np.bincount(
            shifted["labels"].to_numpy(int)[passed], shifted["weights"][passed], minlength=2
        )

    def sigma(self, mu):
        """Return the uncertainty of mu: counting, and every nuisance parameter's."""
        mu = np.atleast_1d(np.maximum(mu, 0))
        strength = np.stack([np.ones_like(mu), mu])
        variance = self.expected @ strength + ((self.changes @ strength) ** 2).sum(axis=0)
        return np.sqrt(np.maximum(variance, 1)) / max(self.expected[1], 1e-3)

    @staticmethod
    def widths(sigma, factor):
        """Return t, which solves exp(-t^2 / 2) = sigma / factor."""
        return np.sqrt(2 * np.log(np.maximum(factor / sigma, 1)))

    def predict(self, test_set):
        """Measure mu in one pseudo-experiment."""
        score = self.classifier.predict_proba(test_set["data"])[:, 1]
        n = float(test_set["weights"][score > PURITY].sum())
        mu = (n - self.expected[0]) / max(self.expected[1], 1e-3)
        sigma = self.sigma(mu)[0]
        half = float(sigma * self.widths(sigma, self.factor)) if GAMING else sigma
        return {"mu_hat": mu, "delta_mu_hat": sigma, "p16": mu - half, "p84": mu + half}
