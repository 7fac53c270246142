"""Try small seeds for the true mu and the order of events. Must: no seed of 16 bits fits."""

import numpy as np
from attack import Honest, must_be_false


class Model(Honest):
    def predict(self, test_set):
        from HiggsML.pseudo_experiments import Purpose, seed_sequence

        n = len(test_set["data"])
        fits = [
            s
            for s in range(300)
            if int(np.random.default_rng(seed_sequence(s, Purpose.EVENTS, 0, 0)).poisson(n)) == -n
        ]
        must_be_false("seeds", fits)
        return super().predict(test_set)
