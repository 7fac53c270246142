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

    Examples
    --------
    >>> derived = DER_data(event.copy())
    >>> [name for name in derived if name not in event][:2]
    ['DER_mass_transverse_met_lep', 'DER_mass_vis']
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

    Examples
    --------
    >>> calcul_int(event.copy())[["lep_px", "lep_py", "met_x"]].round(2).to_dict("records")
    [{'lep_px': 30.0, 'lep_py': 0.0, 'met_x': 10.81}]
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
    """Remove the columns that :func:`calcul_int` added. The frame itself is changed.

    Examples
    --------
    >>> list(f_del_DER(calcul_int(event.copy()))) == list(event)
    True
    """
    for name in _MOMENTUM_COLUMNS:
        del data[name]
    return data


def _add(data: pd.DataFrame, name: str) -> pd.DataFrame:
    """Add one derived quantity to a frame."""
    data[name] = FORMULAS[name](Event(primary_columns(data)))
    return data


def f_DER_mass_transverse_met_lep(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the transverse mass of lepton and missing momentum [GeV].

    Examples
    --------
    >>> f_DER_mass_transverse_met_lep(event.copy())["DER_mass_transverse_met_lep"].round(2).tolist()
    [23.49]
    """
    return _add(data, "DER_mass_transverse_met_lep")


def f_DER_mass_vis(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the invariant mass of lepton and hadronic tau [GeV].

    Examples
    --------
    >>> f_DER_mass_vis(event.copy())["DER_mass_vis"].round(2).tolist()
    [71.29]
    """
    return _add(data, "DER_mass_vis")


def f_DER_pt_h(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add |pt| of tau + lepton + missing momentum [GeV].

    Examples
    --------
    >>> f_DER_pt_h(event.copy())["DER_pt_h"].round(2).tolist()
    [22.51]
    """
    return _add(data, "DER_pt_h")


def f_DER_deltaeta_jet_jet(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the distance in eta of the two jets, -25 with fewer than two.

    Examples
    --------
    >>> f_DER_deltaeta_jet_jet(event.copy())["DER_deltaeta_jet_jet"].round(2).tolist()
    [3.5]
    """
    return _add(data, "DER_deltaeta_jet_jet")


def f_DER_mass_jet_jet(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the invariant mass of the two jets [GeV], -25 with fewer than two.

    Examples
    --------
    >>> f_DER_mass_jet_jet(event.copy())["DER_mass_jet_jet"].round(2).tolist()
    [271.59]
    """
    return _add(data, "DER_mass_jet_jet")


def f_DER_prodeta_jet_jet(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the product of the two jets' eta, -25 with fewer than two.

    Examples
    --------
    >>> f_DER_prodeta_jet_jet(event.copy())["DER_prodeta_jet_jet"].round(2).tolist()
    [-3.0]
    """
    return _add(data, "DER_prodeta_jet_jet")


def f_DER_deltar_had_lep(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the distance of tau and lepton in the (eta, phi) plane.

    Examples
    --------
    >>> f_DER_deltar_had_lep(event.copy())["DER_deltar_had_lep"].round(2).tolist()
    [3.04]
    """
    return _add(data, "DER_deltar_had_lep")


def f_DER_pt_tot(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add |pt| of tau + lepton + missing momentum + both jets [GeV].

    Examples
    --------
    >>> f_DER_pt_tot(event.copy())["DER_pt_tot"].round(2).tolist()
    [19.44]
    """
    return _add(data, "DER_pt_tot")


def f_DER_sum_pt(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the scalar sum of the pt of tau, lepton and all jets [GeV].

    Examples
    --------
    >>> f_DER_sum_pt(event.copy())["DER_sum_pt"].round(2).tolist()
    [165.0]
    """
    return _add(data, "DER_sum_pt")


def f_DER_pt_ratio_lep_had(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the ratio of the lepton's pt to the tau's.

    Examples
    --------
    >>> f_DER_pt_ratio_lep_had(event.copy())["DER_pt_ratio_lep_had"].round(2).tolist()
    [0.75]
    """
    return _add(data, "DER_pt_ratio_lep_had")


def f_DER_met_phi_centrality(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the centrality in azimuth of the missing momentum between lepton and tau.

    Examples
    --------
    >>> f_DER_met_phi_centrality(event.copy())["DER_met_phi_centrality"].round(2).tolist()
    [1.41]
    """
    return _add(data, "DER_met_phi_centrality")


def f_DER_lep_eta_centrality(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the centrality in eta of the lepton between the two jets, -25 with fewer than two.

    Examples
    --------
    >>> f_DER_lep_eta_centrality(event.copy())["DER_lep_eta_centrality"].round(2).tolist()
    [0.98]
    """
    return _add(data, "DER_lep_eta_centrality")
