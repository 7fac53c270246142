"""How near two samples of events are, and what a classifier's score is worth: plain statistics."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from HiggsML.physics.features import derive
from HiggsML.schema import DER_COLUMNS, PRI_COLUMNS

__all__ = [
    "Separation",
    "auc",
    "auc_error",
    "features",
    "sigma_mu",
    "strong_classifier",
]

Floats = NDArray[np.floating[Any]]
_AZIMUTHS = ("PRI_had_phi", "PRI_jet_leading_phi", "PRI_jet_subleading_phi", "PRI_met_phi")


class Separation(NamedTuple):
    """Area under the ROC curve of a cross-validated classifier, with its statistical error."""

    auc: float
    error: float


def features(primary: Floats) -> NDArray[np.float32]:
    """Append the derived columns to (n, 16) primary ones; returns (n, 28)."""
    columns = np.ascontiguousarray(primary.T)
    derived = derive(dict(zip(PRI_COLUMNS, columns, strict=True)))
    return np.stack([*columns, *(derived[name] for name in DER_COLUMNS)], axis=1).astype(np.float32)


def auc_error(n_first: int, n_second: int) -> float:
    """Return the standard deviation of the AUC of two samples that do not differ."""
    return float(np.sqrt((n_first + n_second + 1.0) / (12.0 * n_first * n_second)))


def auc(
    first: Floats, second: Floats, *, seed: int, folds: int = 5, leaves: int = 15
) -> Separation:
    """Train gradient boosting to tell two samples of features apart, by cross-validation.

    Both samples count the same, however many rows they have. Azimuths are given relative to the
    lepton's, because the absolute one is random.
    """
    x = np.concatenate([_relative(first), _relative(second)])
    y = np.concatenate([np.zeros(len(first)), np.ones(len(second))])
    weight = np.where(y > 0, 1.0 / len(second), 1.0 / len(first)) * len(y)
    values = []
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(x, y):
        model = HistGradientBoostingClassifier(
            max_iter=100, learning_rate=0.06, max_leaf_nodes=leaves, random_state=seed
        )
        model.fit(x[train], y[train], sample_weight=weight[train])
        # Per fold: scores of different models are not on one scale.
        values.append(roc_auc_score(y[test], model.predict_proba(x[test])[:, 1]))
    return Separation(float(np.mean(values)), auc_error(len(first), len(second)))


def _relative(values: Floats) -> NDArray[np.float32]:
    out = np.array(values, dtype=np.float32)
    at = PRI_COLUMNS.index("PRI_lep_phi")
    for name in _AZIMUTHS:
        column = out[:, PRI_COLUMNS.index(name)]
        turned = column - out[:, at]
        turned -= np.float32(2 * np.pi) * np.rint(turned / np.float32(2 * np.pi))
        out[:, PRI_COLUMNS.index(name)] = np.where(column < -20.0, column, turned)
    out[:, at] = 0.0
    return out


def strong_classifier(x: Floats, y: Floats, weight: Floats, *, seed: int) -> Any:
    """Fit gradient boosting of 200 trees with 63 leaves: enough to learn holes in a library."""
    model = HistGradientBoostingClassifier(
        max_iter=200, max_leaf_nodes=63, learning_rate=0.1, early_stopping=False, random_state=seed
    )
    return model.fit(x, y, sample_weight=weight)


def sigma_mu(
    signal: tuple[Floats, float], backgrounds: list[tuple[Floats, float]], *, edges: Floats
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Statistical error of mu at mu = 1 from a binned fit of a score.

    sigma = (sum over bins of s^2 / (s + b))^(-1/2). Each sample is (scores, expected events);
    returns sigma, and the expected signal and background of each bin.
    """

    def expected(sample: tuple[Floats, float]) -> NDArray[np.float64]:
        return np.asarray(np.histogram(sample[0], edges)[0] * (sample[1] / len(sample[0])))

    s = expected(signal)
    b = np.sum([expected(sample) for sample in backgrounds], axis=0)
    used = s + b > 0
    return float(1.0 / np.sqrt(np.sum(s[used] ** 2 / (s[used] + b[used])))), s, b
