"""The twelve derived quantities (``DER_``) of an event.

The formulas are in :mod:`HiggsML.physics.features`. The functions on data frames (``calcul_int``,
the ``f_DER_*``, ``f_del_DER``, ``DER_data``) keep the interface of the reference implementation:
they *add columns to the frame that they are given* and return it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from HiggsML.physics.event import Event
from HiggsML.physics.features import FORMULAS, derive_in_chunks, primary_columns
from HiggsML.schema import DER_COLUMNS

__all__ = [
    "DER_data",
    "calcul_int",
    "f_DER_deltaeta_jet_jet",
    "f_DER_deltar_had_lep",
    "f_DER_lep_eta_centrality",
    "f_DER_mass_jet_jet",
    "f_DER_mass_transverse_met_lep",
    "f_DER_mass_vis",
    "f_DER_met_phi_centrality",
    "f_DER_prodeta_jet_jet",
    "f_DER_pt_h",
    "f_DER_pt_ratio_lep_had",
    "f_DER_pt_tot",
    "f_DER_sum_pt",
    "f_del_DER",
]


def DER_data(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802 (name of the reference API)
    """Add the twelve ``DER_`` columns to ``data``; every float64 column becomes float32.

    The frame itself is changed and returned, as in the reference implementation: pass a copy to
    keep the original.

    Raises
    ------
    DataError
        If a ``PRI_`` column is missing or is not numeric.
    """
    derived = np.empty((len(DER_COLUMNS), len(data)), dtype=np.float32)
    derive_in_chunks(primary_columns(data), derived)
    for name, values in zip(DER_COLUMNS, derived, strict=True):
        data[name] = pd.Series(values, data.index, copy=False)  # an array would be copied
    for name in data.columns[data.dtypes == np.float64]:
        data[name] = data[name].astype(np.float32)
    return data


# ----------------------------------------------------------------------------------------------
# One function per quantity, on data frames, as in the reference implementation.
# ----------------------------------------------------------------------------------------------

_MOMENTUM_COLUMNS = (
    *("had_px", "had_py", "had_pz", "p_had"),
    *("lep_px", "lep_py", "lep_pz", "p_lep"),
    *("met_x", "met_y"),
    *("jet_leading_px", "jet_leading_py", "jet_leading_pz", "p_jet_leading"),
    *("jet_subleading_px", "jet_subleading_py", "jet_subleading_pz", "p_jet_subleading"),
)


def calcul_int(data: pd.DataFrame) -> pd.DataFrame:
    """Add the Cartesian momenta that the ``f_DER_*`` functions need (px, py, pz and p) [GeV].

    A jet that the event does not have gets zeros. The frame itself is changed and returned.
    """
    for name, jets in (("had", 0), ("lep", 0), ("jet_leading", 1), ("jet_subleading", 2)):
        pt, eta, phi = (data[f"PRI_{name}_{part}"] for part in ("pt", "eta", "phi"))
        exists = data["PRI_n_jets"] >= jets
        data[f"{name}_px"] = pt * np.cos(phi) * exists
        data[f"{name}_py"] = pt * np.sin(phi) * exists
        data[f"{name}_pz"] = pt * np.sinh(eta) * exists
        data[f"p_{name}"] = pt * np.cosh(eta) * exists
    data["met_x"] = data["PRI_met"] * np.cos(data["PRI_met_phi"])
    data["met_y"] = data["PRI_met"] * np.sin(data["PRI_met_phi"])
    return data


def f_del_DER(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Remove the columns that :func:`calcul_int` added. The frame itself is changed."""
    for name in _MOMENTUM_COLUMNS:
        del data[name]
    return data


def _add(data: pd.DataFrame, name: str) -> pd.DataFrame:
    """Add one derived quantity to a frame."""
    data[name] = FORMULAS[name](Event(primary_columns(data)))
    return data


def f_DER_mass_transverse_met_lep(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the transverse mass of lepton and missing momentum [GeV]."""
    return _add(data, "DER_mass_transverse_met_lep")


def f_DER_mass_vis(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the invariant mass of lepton and hadronic tau [GeV]."""
    return _add(data, "DER_mass_vis")


def f_DER_pt_h(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add |pt| of tau + lepton + missing momentum [GeV]."""
    return _add(data, "DER_pt_h")


def f_DER_deltaeta_jet_jet(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the distance in eta of the two jets, -25 with fewer than two."""
    return _add(data, "DER_deltaeta_jet_jet")


def f_DER_mass_jet_jet(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the invariant mass of the two jets [GeV], -25 with fewer than two."""
    return _add(data, "DER_mass_jet_jet")


def f_DER_prodeta_jet_jet(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the product of the two jets' eta, -25 with fewer than two."""
    return _add(data, "DER_prodeta_jet_jet")


def f_DER_deltar_had_lep(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the distance of tau and lepton in the (eta, phi) plane."""
    return _add(data, "DER_deltar_had_lep")


def f_DER_pt_tot(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add |pt| of tau + lepton + missing momentum + both jets [GeV]."""
    return _add(data, "DER_pt_tot")


def f_DER_sum_pt(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the scalar sum of the pt of tau, lepton and all jets [GeV]."""
    return _add(data, "DER_sum_pt")


def f_DER_pt_ratio_lep_had(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the ratio of the lepton's pt to the tau's."""
    return _add(data, "DER_pt_ratio_lep_had")


def f_DER_met_phi_centrality(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the centrality in azimuth of the missing momentum between lepton and tau."""
    return _add(data, "DER_met_phi_centrality")


def f_DER_lep_eta_centrality(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the centrality in eta of the lepton between the two jets, -25 with fewer than two."""
    return _add(data, "DER_lep_eta_centrality")
