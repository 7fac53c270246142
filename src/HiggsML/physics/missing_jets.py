"""Jets that do not exist, marked by NaN instead of -25: frames that people have cleaned.

Shifts and cuts know -25 only. NaN is replaced before and put back afterwards, also into the derived
quantities that need the jet, so that an average over pandas columns skips it as its owner wants.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from HiggsML.physics.kinematics import Array
from HiggsML.schema import FEATURES, MISSING

__all__ = ["filled", "put_back"]

_JETS = ("jet_leading", "jet_subleading")
_OF_A_JET = tuple(f"PRI_{jet}_{part}" for jet in _JETS for part in ("pt", "eta", "phi"))
_DERIVED = {
    "PRI_jet_leading_pt": ("DER_pt_tot",),
    "PRI_jet_subleading_pt": (
        *("DER_deltaeta_jet_jet", "DER_mass_jet_jet", "DER_prodeta_jet_jet"),
        *("DER_lep_eta_centrality", "DER_pt_tot"),
    ),
}


def filled(
    columns: Mapping[str, Array],
) -> tuple[Mapping[str, Array], dict[str, NDArray[np.bool_]]]:
    """Return the columns with -25 for NaN in those of jets, and where NaN was.

    Examples
    --------
    >>> columns, absent = filled({name: np.array([30.0, np.nan]) for name in _OF_A_JET})
    >>> columns["PRI_jet_leading_pt"], absent["PRI_jet_leading_pt"]
    (array([ 30., -25.]), array([False,  True]))
    """
    absent = {}
    for name in _OF_A_JET:
        unknown = np.isnan(columns[name])
        if unknown.any():
            absent[name] = unknown
    if not absent:
        return columns, absent
    given = {name: np.where(unknown, MISSING, columns[name]) for name, unknown in absent.items()}
    changed = {name: column.astype(columns[name].dtype) for name, column in given.items()}
    return {**columns, **changed}, absent


def put_back(
    features: NDArray[np.float32], absent: Mapping[str, NDArray[np.bool_]], kept: NDArray[np.intp]
) -> None:
    """Put NaN back into features, shape (28, m), of the kept rows."""
    for name, unknown in absent.items():
        rows = unknown[kept]
        for column in (name, *_DERIVED.get(name, ())):
            features[FEATURES.index(column), rows] = np.nan
