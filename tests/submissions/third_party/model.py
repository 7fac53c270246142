"""A submission as third parties write them for the public interface of the reference.

It was written from that interface alone: nothing here knows the package that runs it.
"""

import os

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from statistical_analysis import StatisticalAnalysis

current_dir = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 (as they do)


class Model:
    def __init__(self, get_train_set=None, systematics=None):
        self.systematics = systematics
        self.scaler = StandardScaler()
        self.classifier = LogisticRegression(max_iter=200)
        training_df = get_train_set(train_size=50_000)
        training_set = {
            "labels": training_df.pop("labels"),
            "weights": training_df.pop("weights"),
            "detailed_labels": training_df.pop("detailed_labels"),
            "data": training_df,
        }
        del training_df
        chosen = np.random.RandomState(42).rand(len(training_set["labels"])) < 0.5
        self.training_set = {key: part[chosen] for key, part in training_set.items()}
        self.holdout_set = {key: part[~chosen] for key, part in training_set.items()}
        for part in (self.training_set, self.holdout_set):
            part["weights"] = part["weights"] * (
                training_set["weights"].sum() / part["weights"].sum()
            )
        print("Training data:", self.training_set["data"].shape, "from", current_dir)

    def fit(self):
        # The form with a frame that still has its weights and labels ...
        df = self.training_set["data"].copy()
        df["weights"] = self.training_set["weights"]
        df["labels"] = self.training_set["labels"]
        df["detailed_labels"] = self.training_set["detailed_labels"]
        df = self.systematics(df)
        weights, labels = df.pop("weights"), df.pop("labels")
        df.pop("detailed_labels")
        balanced = weights.copy()
        for label in (0, 1):
            balanced[labels == label] *= 1 / balanced[labels == label].sum()
        self.columns = list(df.columns)
        self.classifier.fit(self.scaler.fit_transform(df), labels, balanced * len(df))

        # ... and the form with a dict.
        self.analysis = StatisticalAnalysis(self.score)
        nominal = self.systematics(self.holdout_set)
        self.analysis.fill(nominal)
        for tes in (0.98, 1.02):
            shifted = self.systematics(self.holdout_set, tes=tes, jes=1.0, soft_met=0.0, seed=31415)
            self.analysis.fill(shifted, tes=tes)

    def predict(self, test_set):
        result = self.analysis.compute_mu(test_set["data"], test_set["weights"])
        print("Test results:", result)
        return result

    def score(self, data):
        return self.classifier.predict_proba(self.scaler.transform(data[self.columns]))[:, 1]
