"""Weights of events under the nuisance parameters of the rates."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from HiggsML.errors import DataError
from HiggsML.physics.shifts import rate_factors
from HiggsML.schema import PROCESSES
from HiggsML.systematics.arguments import plain_number

__all__ = [
    "all_bkg_weight_norm",
    "diboson_bkg_weight_norm",
    "scaled_weights",
    "ttbar_bkg_weight_norm",
]


def _scaled(weights: ArrayLike, selected: ArrayLike, factor: float) -> Any:
    """Return a copy of the weights (array or Series) with the selected ones multiplied."""
    result = weights.copy() if isinstance(weights, pd.Series) else np.array(weights)
    mask = np.asarray(selected)
    if mask.shape != result.shape:
        raise DataError(f"{result.size} weights do not fit {mask.size} labels")
    result[mask] = result[mask] * float(factor)
    return result


def ttbar_bkg_weight_norm(weights: Any, detailedlabel: Any, systBkgNorm: float) -> Any:  # noqa: N803
    """Return the weights with those of ttbar multiplied by ``systBkgNorm``.

    Examples
    --------
    >>> ttbar_bkg_weight_norm([1.0, 1.0], ["ttbar", "ztautau"], 1.02).tolist()
    [1.02, 1.0]
    """
    return _scaled(weights, np.asarray(detailedlabel) == "ttbar", systBkgNorm)


def diboson_bkg_weight_norm(weights: Any, detailedlabel: Any, systBkgNorm: float) -> Any:  # noqa: N803
    """Return the weights with those of diboson multiplied by ``systBkgNorm``.

    Examples
    --------
    >>> diboson_bkg_weight_norm([1.0, 1.0], ["diboson", "ztautau"], 1.25).tolist()
    [1.25, 1.0]
    """
    return _scaled(weights, np.asarray(detailedlabel) == "diboson", systBkgNorm)


def all_bkg_weight_norm(weights: Any, label: Any, systBkgNorm: float) -> Any:  # noqa: N803
    """Return the weights with those of label 0, all backgrounds, multiplied by ``systBkgNorm``.

    Examples
    --------
    >>> all_bkg_weight_norm([1.0, 1.0], [0, 1], 1.001).tolist()
    [1.001, 1.0]
    """
    return _scaled(weights, np.asarray(label) == 0, systBkgNorm)


def scaled_weights(frame: pd.DataFrame, scales: Mapping[str, Any]) -> pd.Series | None:
    """Return the ``weights`` of ``frame`` (1 without any) times the rate factors; None means as is.

    Parameters
    ----------
    frame : DataFrame
        Weights and labels.
    scales : mapping of str to float or None
        By the name of :func:`systematics`' parameter.
    """
    wanted = {
        name: plain_number(scale, name) for name, scale in scales.items() if scale is not None
    }
    factors = rate_factors(**wanted)
    if all(factor == 1.0 for factor in factors.values()):
        return None
    if "detailed_labels" in frame.columns:
        factor = frame["detailed_labels"].map(factors).to_numpy(dtype=np.float64, na_value=np.nan)
        if np.isnan(factor).any():
            strange = sorted(set(frame["detailed_labels"].unique()) - set(PROCESSES))
            raise DataError(f"unknown process {strange} in detailed_labels; known are {PROCESSES}")
    elif "labels" in frame.columns and set(wanted) == {"bkg_scale"}:
        factor = np.where(frame["labels"] == 0, factors["ztautau"], 1.0)
    else:
        warnings.warn(
            f"{' and '.join(wanted)} need the process of every event: the weights stay as they "
            "are; add the column or key 'detailed_labels' (for bkg_scale alone, 'labels' is "
            "enough)",
            stacklevel=3,
        )
        return None
    weights = frame["weights"] if "weights" in frame.columns else pd.Series(1.0, frame.index)
    return weights * factor
