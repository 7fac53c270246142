"""A small honest submission that uses everything a submission may use.

Helper modules beside it and one folder down, a trained file, part of the training set, NumPy
scalars as answers; and it scribbles over what it is given, as careless code does.
"""

from pathlib import Path

import numpy as np
from counting import measure
from selection import select

TRAINED = Path(__file__).with_name("trained.txt")


class Model:
    def __init__(self, get_train_set, systematics):
        self.get_train_set = get_train_set
        self.systematics = systematics
        print("the honest model is built")

    def fit(self):
        self.threshold = float(TRAINED.read_text())
        events = self.get_train_set(selected_indices=np.arange(500, 2500))
        events = self.systematics(events, tes=1.01, jes=0.99, soft_met=1.0, seed=3)
        inside = events[select(events, self.threshold)]
        signal = inside["labels"] == 1
        self.signal = float(inside["weights"][signal].sum())
        self.background = float(inside["weights"][~signal].sum())
        events["weights"] *= 0

    def predict(self, test_set):
        frame, weights = test_set["data"], test_set["weights"]
        n = float(weights[select(frame, self.threshold)].sum())
        mu, delta = measure(n, self.signal, self.background)
        frame["DER_mass_vis"] = 0.0
        frame.loc[:, "PRI_met"] = -1.0
        weights *= 0
        return {
            "mu_hat": np.float32(mu),
            "delta_mu_hat": np.array([delta]),
            "p16": np.array(mu - delta),
            "p84": np.float64(mu + delta),
            "remark": "other keys are ignored",
        }
