"""Resampling under the names of earlier releases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from HiggsML.schema import PROCESSES

__all__ = ["make_unweighted_set", "repeat_rows_by_weight"]


def make_unweighted_set(data_set: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Return the events of each process, shuffled (always in the same way).

    Parameters
    ----------
    data_set : mapping
        A frame under "data", and the process of each row under "detailedlabel" or
        "detailed_labels".

    Examples
    --------
    >>> data_set = {"data": events, "detailed_labels": events["detailed_labels"]}
    >>> list(make_unweighted_set(data_set))
    ['htautau', 'ttbar', 'diboson', 'ztautau']
    """
    key = "detailedlabel" if "detailedlabel" in data_set else "detailed_labels"
    process = np.asarray(data_set[key])
    return {
        name: data_set["data"][process == name].sample(frac=1, random_state=31415)
        for name in reversed(PROCESSES)
    }


def repeat_rows_by_weight(data_set: pd.DataFrame, seed: int = 31415) -> pd.DataFrame:
    """Return each row floor(weight) times, shuffled, without the column ``weights``.

    Examples
    --------
    >>> rows = pd.DataFrame({"pt": [30.0, 40.0], "weights": [2.7, 1.0]})
    >>> sorted(repeat_rows_by_weight(rows)["pt"])
    [30.0, 30.0, 40.0]
    """
    times = data_set["weights"].to_numpy().astype(int)
    repeated = data_set.drop(columns="weights").take(np.repeat(np.arange(times.size), times))
    return repeated.sample(frac=1, random_state=seed, ignore_index=True)
