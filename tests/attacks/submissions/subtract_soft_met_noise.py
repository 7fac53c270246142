"""Rebuild the soft-MET noise with default seeds and subtract it. Must: the noise differs."""

import numpy as np
from attack import Honest, must_be_false


class Model(Honest):
    def predict(self, test_set):
        met = test_set["data"]["PRI_met"].to_numpy(np.float64)
        n, worst = len(met), 0.0
        for seed in (0, 1, 31415, 42):
            noise = np.random.default_rng(seed).standard_normal(n)
            worst = max(worst, abs(np.corrcoef(met, noise)[0, 1]) * np.sqrt(n))
        must_be_false("correlation in sigmas", worst if worst > 5.5 else 0)
        return super().predict(test_set)
