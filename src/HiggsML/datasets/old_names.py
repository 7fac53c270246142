"""Datasets under the names of earlier releases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from HiggsML.datasets.download import AVAILABLE_DATASETS, download_dataset
from HiggsML.datasets.reader import Data, split_size

__all__ = [
    "BLACK_SWAN_DATA_URL",
    "SAMPLE_DATA_URL",
    "ZENODO_URL",
    "BlackSwan_public_dataset",
    "Neurips2024_public_dataset",
    "available_datasets",
    "train_test_split",
]

available_datasets = AVAILABLE_DATASETS
ZENODO_URL = AVAILABLE_DATASETS["neurips2024_data"]
BLACK_SWAN_DATA_URL = AVAILABLE_DATASETS["blackSwan_data"]
SAMPLE_DATA_URL = AVAILABLE_DATASETS["sample_data"]


def Neurips2024_public_dataset() -> Data:  # noqa: N802
    """Return ``download_dataset("neurips2024_data")``.

    Examples
    --------
    >>> data = Neurips2024_public_dataset()  # doctest: +SKIP
    """
    return download_dataset("neurips2024_data")


def BlackSwan_public_dataset() -> Data:  # noqa: N802
    """Return ``download_dataset("blackSwan_data")``.

    Examples
    --------
    >>> data = BlackSwan_public_dataset()  # doctest: +SKIP
    """
    return download_dataset("blackSwan_data")


def train_test_split(
    data_set: Any, test_size: float = 0.2, random_state: int = 42, reweight: bool = False
) -> tuple[Any, Any]:
    """Split events into a training and a test part.

    The rows of the test part are drawn with replacement, as they always were, so that one may come
    twice; :func:`sklearn.model_selection.train_test_split` draws each row once.

    Parameters
    ----------
    data_set : DataFrame or dict
        A frame, or a dict with a frame under "data" and arrays of the same length.
    test_size : float or int
        Share or number of rows to draw.
    random_state : int
        Seed.
    reweight : bool
        Whether to scale the weights of both parts, for signal and background apart, to their sums
        in ``data_set``.

    Returns
    -------
    tuple
        Training and test part, of the kind of ``data_set``.

    Examples
    --------
    >>> train, test = train_test_split(events, test_size=0.25, reweight=True)
    >>> len(test) / len(events), np.isclose(train["weights"].sum(), events["weights"].sum()).item()
    (0.25, True)
    """
    single = isinstance(data_set, pd.DataFrame)
    parts: Mapping[str, Any] = {"data": data_set} if single else data_set
    n_rows = len(parts["data"])
    count = split_size(test_size, n_rows, "test_size")
    drawn = np.random.RandomState(random_state).randint(0, n_rows, count)
    left = np.flatnonzero(~np.isin(np.arange(n_rows), drawn))
    result = []
    for rows in (left, drawn):
        part = {
            key: values.iloc[rows].copy() if key == "data" else np.asarray(values)[rows]
            for key, values in parts.items()
            if key != "settings"
        }
        if reweight:
            _reweight(part["data"] if single else part, parts["data"] if single else parts)
        result.append(part["data"] if single else part)
    return result[0], result[1]


def _reweight(part: Any, whole: Any) -> None:
    """Scale the weights of signal and of background in ``part`` to their sums in ``whole``."""
    weights = np.asarray(part["weights"]).copy()
    label, all_labels = np.asarray(part["labels"]), np.asarray(whole["labels"])
    for value in (0, 1):
        total = np.asarray(whole["weights"])[all_labels == value].sum(dtype=np.float64)
        mine = label == value
        weights[mine] = weights[mine] * (total / weights[mine].sum(dtype=np.float64))
    part["weights"] = weights
