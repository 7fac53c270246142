"""The twelve derived quantities (``DER_``) of an event.

The formulas are in :mod:`HiggsML.physics.features`. The functions on data frames (``calcul_int``,
the ``f_DER_*``, ``f_del_DER``, ``DER_data``) keep the interface of the reference implementation:
they *add columns to the frame that they are given* and return it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from HiggsML.physics.chunks import Scratch
from HiggsML.physics.features import (
    _deltar_had_lep,
    _lep_eta_centrality,
    _mass,
    _met_phi_centrality,
    derive_in_chunks,
    primary_columns,
)
from HiggsML.physics.kinematics import Array
from HiggsML.schema import DER_COLUMNS, MISSING

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


def _two_jets(data: pd.DataFrame, values: Array) -> Array:
    return np.where(data["PRI_n_jets"] >= 2, values, values.dtype.type(MISSING))


def f_DER_mass_transverse_met_lep(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the transverse mass of lepton and missing momentum [GeV]; needs ``calcul_int``."""
    data["DER_mass_transverse_met_lep"] = _mass(
        data["PRI_met"] + data["PRI_lep_pt"],
        data["met_x"] + data["lep_px"],
        data["met_y"] + data["lep_py"],
    )
    return data


def f_DER_mass_vis(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the invariant mass of lepton and hadronic tau [GeV]; needs ``calcul_int``."""
    data["DER_mass_vis"] = _mass(
        data["p_lep"] + data["p_had"],
        data["lep_px"] + data["had_px"],
        data["lep_py"] + data["had_py"],
        data["lep_pz"] + data["had_pz"],
    )
    return data


def f_DER_pt_h(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add |pt| of tau + lepton + missing momentum [GeV]; needs ``calcul_int``."""
    data["DER_pt_h"] = np.sqrt(
        (data["had_px"] + data["lep_px"] + data["met_x"]) ** 2
        + (data["had_py"] + data["lep_py"] + data["met_y"]) ** 2
    )
    return data


def f_DER_deltaeta_jet_jet(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the distance in eta of the two jets, -25 with fewer than two."""
    gap = (data["PRI_jet_subleading_eta"] - data["PRI_jet_leading_eta"]).abs().to_numpy()
    data["DER_deltaeta_jet_jet"] = _two_jets(data, gap)
    return data


def f_DER_mass_jet_jet(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the invariant mass of the two jets [GeV], -25 with fewer; needs ``calcul_int``."""
    mass = _mass(
        data["p_jet_leading"] + data["p_jet_subleading"],
        data["jet_leading_px"] + data["jet_subleading_px"],
        data["jet_leading_py"] + data["jet_subleading_py"],
        data["jet_leading_pz"] + data["jet_subleading_pz"],
    )
    data["DER_mass_jet_jet"] = _two_jets(data, np.asarray(mass))
    return data


def f_DER_prodeta_jet_jet(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the product of the two jets' eta, -25 with fewer than two."""
    product = (data["PRI_jet_leading_eta"] * data["PRI_jet_subleading_eta"]).to_numpy()
    data["DER_prodeta_jet_jet"] = _two_jets(data, product)
    return data


def f_DER_deltar_had_lep(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the distance of tau and lepton in the (eta, phi) plane."""
    event = primary_columns(data)
    out, *spares = Scratch(event["PRI_met"].dtype).take(3, len(data))
    _deltar_had_lep(event, out, spares)
    data["DER_deltar_had_lep"] = out
    return data


def f_DER_pt_tot(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add |pt| of tau + lepton + missing momentum + both jets [GeV]; needs ``calcul_int``."""
    total_px, total_py = (
        data[f"had_p{axis}"]
        + data[f"lep_p{axis}"]
        + data[f"met_{axis}"]
        + data[f"jet_leading_p{axis}"]
        + data[f"jet_subleading_p{axis}"]
        for axis in ("x", "y")
    )
    data["DER_pt_tot"] = np.sqrt(total_px**2 + total_py**2)
    return data


def f_DER_sum_pt(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the scalar sum of the pt of tau, lepton and all jets [GeV]."""
    data["DER_sum_pt"] = data["PRI_had_pt"] + data["PRI_lep_pt"] + data["PRI_jet_all_pt"]
    return data


def f_DER_pt_ratio_lep_had(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the ratio of the lepton's pt to the tau's."""
    data["DER_pt_ratio_lep_had"] = data["PRI_lep_pt"] / data["PRI_had_pt"]
    return data


def f_DER_met_phi_centrality(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the centrality in azimuth of the missing momentum between lepton and tau."""
    event = primary_columns(data)
    met, lep, had = (
        (np.cos(phi), np.sin(phi))
        for phi in (event[f"PRI_{of}_phi"] for of in ("met", "lep", "had"))
    )
    out, *spares = Scratch(event["PRI_met"].dtype).take(4, len(data))
    _met_phi_centrality(met, lep, had, out, spares)
    data["DER_met_phi_centrality"] = out
    return data


def f_DER_lep_eta_centrality(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the centrality in eta of the lepton between the two jets, -25 with fewer than two."""
    centrality = _lep_eta_centrality(
        *(data[f"PRI_{name}_eta"].to_numpy() for name in ("lep", "jet_leading", "jet_subleading"))
    )
    data["DER_lep_eta_centrality"] = _two_jets(data, centrality)
    return data
