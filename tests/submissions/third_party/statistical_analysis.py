"""A binned likelihood in mu and one nuisance parameter, scanned on a grid."""

import numpy as np

EDGES = np.linspace(0, 1, 9)
MUS = np.linspace(-1, 5, 601)


class StatisticalAnalysis:
    def __init__(self, score):
        self.score = score
        self.templates = {}

    def fill(self, dataset, tes=1.0):
        score = self.score(dataset["data"])
        signal = np.asarray(dataset["labels"]) == 1
        weights = np.asarray(dataset["weights"], dtype=float)
        self.templates[tes] = [
            np.histogram(score[mask], bins=EDGES, weights=weights[mask])[0] + 1e-3
            for mask in (signal, ~signal)
        ]

    def compute_mu(self, data, weights):
        observed = np.histogram(self.score(data), bins=EDGES, weights=weights)[0]
        best = np.full(MUS.size, np.inf)
        for tes, (signal, background) in self.templates.items():
            expected = np.clip(MUS[:, None] * signal + background, 1e-3, None)
            minus_log = np.sum(expected - observed * np.log(expected), axis=1)
            best = np.minimum(best, 2 * minus_log + ((tes - 1) / 0.01) ** 2)
        inside = MUS[best <= best.min() + 1]
        mu_hat, p16, p84 = MUS[best.argmin()], inside.min(), inside.max()
        return {"mu_hat": mu_hat, "delta_mu_hat": (p84 - p16) / 2, "p16": p16, "p84": p84}
