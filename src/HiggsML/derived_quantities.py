"""The twelve derived quantities (``DER_``) of an event.

:func:`derive` computes all of them from arrays. The functions on data frames (``calcul_int``, the
``f_DER_*``, ``f_del_DER``, ``DER_data``) keep the interface of the reference implementation: they
*add columns to the frame that they are given* and return it.

Definitions follow the ATLAS Higgs machine-learning challenge (C. Adam-Bourdarios et al.,
"Learning to discover: the Higgs boson machine learning challenge", appendix B). A quantity of two
jets is -25 when the event has fewer than two. Momenta and masses in GeV, angles in radians.

Where an event counts two jets but its sub-leading jet was removed (see
:func:`HiggsML.systematics.postprocess`), the official numbers are computed from the -25 of the
missing jet; this module does the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from HiggsML.chunks import run_in_chunks
from HiggsML.errors import DataError
from HiggsML.kinematics import Array, cosh, wrap_phi
from HiggsML.schema import DER_COLUMNS, MISSING, PRI_COLUMNS

__all__ = [
    "DER_data",
    "calcul_int",
    "derive",
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

Columns = Mapping[str, Array]

_EPSILON = 1e-4  # keeps the two centralities finite where they are undefined
_MIN_EXPONENT = -87.0  # exp() below this is a denormal float32, which is many times slower


def _mass(energy: Any, px: Any, py: Any, pz: Any = 0.0) -> Any:
    """Invariant mass; rounding below zero counts as zero."""
    return np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0.0))


def _met_phi_centrality(met_phi: Array, lep_phi: Array, had_phi: Array) -> Array:
    """Where the missing momentum points: sqrt(2) midway between lepton and tau, 1 along one.

    With A = sin(met - lep) and B = sin(had - met), both times the sign of sin(had - lep), it is
    (A + B) / sqrt(A^2 + B^2). Lepton and tau at the same angle leave it undefined: the lepton is
    then turned by 10^-4.
    """

    def parts(met: Array, lep: Array, had: Array) -> tuple[Array, Array]:
        sign = np.sign(np.sin(had - lep))
        a = np.sin(met - lep) * sign
        b = np.sin(had - met) * sign
        return a + b, np.sqrt(a**2 + b**2)

    total, norm = parts(met_phi, lep_phi, had_phi)
    undefined = np.flatnonzero(norm == 0)
    if undefined.size:
        total[undefined], norm[undefined] = parts(
            met_phi[undefined], lep_phi[undefined] + _EPSILON, had_phi[undefined]
        )
        still = norm == 0
        total[still], norm[still] = MISSING, 1.0
    centrality: Array = total / norm
    return centrality


def _lep_eta_centrality(lep_eta: Array, eta_1: Array, eta_2: Array) -> Array:
    """1 for a lepton midway between the two jets in eta, 1/e at a jet, less outside."""
    gap: Array = (eta_1 - eta_2) ** 2
    gap[gap == 0] = _EPSILON
    exponent = -4 / gap * ((lep_eta - (eta_1 + eta_2) / 2) ** 2)
    centrality: Array = np.exp(np.maximum(exponent, _MIN_EXPONENT))
    return centrality


def _deltar_had_lep(e: Any) -> Any:
    return np.sqrt(
        (e["PRI_lep_eta"] - e["PRI_had_eta"]) ** 2
        + wrap_phi(e["PRI_lep_phi"] - e["PRI_had_phi"]) ** 2
    )


def derive(event: Columns) -> dict[str, Array]:
    """Compute the twelve derived quantities.

    Parameters
    ----------
    event : mapping of str to array
        The sixteen ``PRI_`` columns, each of shape (n,). The results have their precision.

    Returns
    -------
    dict of str to array
        The twelve ``DER_`` columns in the order of :data:`HiggsML.schema.DER_COLUMNS`.
    """
    lep_pt, lep_eta, lep_phi = (event[f"PRI_lep_{name}"] for name in ("pt", "eta", "phi"))
    had_pt, had_eta, had_phi = (event[f"PRI_had_{name}"] for name in ("pt", "eta", "phi"))
    met, met_phi, n_jets = event["PRI_met"], event["PRI_met_phi"], event["PRI_n_jets"]

    lep_px, lep_py = lep_pt * np.cos(lep_phi), lep_pt * np.sin(lep_phi)
    had_px, had_py = had_pt * np.cos(had_phi), had_pt * np.sin(had_phi)
    met_x, met_y = met * np.cos(met_phi), met * np.sin(met_phi)
    higgs_px, higgs_py = had_px + lep_px + met_x, had_py + lep_py + met_y
    jet_pt = event["PRI_jet_leading_pt"] * (n_jets >= 1)
    jet_phi = event["PRI_jet_leading_phi"]
    total_px, total_py = higgs_px + jet_pt * np.cos(jet_phi), higgs_py + jet_pt * np.sin(jet_phi)

    # Fewer than one event in five has two jets: their quantities are computed for those alone.
    two = np.flatnonzero(n_jets >= 2)
    pt_1, eta_1, phi_1 = (
        event[f"PRI_jet_leading_{name}"].take(two) for name in ("pt", "eta", "phi")
    )
    pt_2, eta_2, phi_2 = (
        event[f"PRI_jet_subleading_{name}"].take(two) for name in ("pt", "eta", "phi")
    )
    px_2, py_2 = pt_2 * np.cos(phi_2), pt_2 * np.sin(phi_2)
    total_px[two] += px_2
    total_py[two] += py_2

    def for_two_jets(values: Array) -> Array:
        column = np.full(n_jets.shape, MISSING, dtype=values.dtype)
        column[two] = values
        return column

    return {
        "DER_mass_transverse_met_lep": _mass(met + lep_pt, met_x + lep_px, met_y + lep_py),
        "DER_mass_vis": np.sqrt(
            2 * lep_pt * had_pt * (cosh(lep_eta - had_eta) - np.cos(lep_phi - had_phi))
        ),
        "DER_pt_h": np.sqrt(higgs_px**2 + higgs_py**2),
        "DER_deltaeta_jet_jet": for_two_jets(np.abs(eta_2 - eta_1)),
        "DER_mass_jet_jet": for_two_jets(
            _mass(
                pt_1 * np.cosh(eta_1) + pt_2 * np.cosh(eta_2),
                pt_1 * np.cos(phi_1) + px_2,
                pt_1 * np.sin(phi_1) + py_2,
                pt_1 * np.sinh(eta_1) + pt_2 * np.sinh(eta_2),
            )
        ),
        "DER_prodeta_jet_jet": for_two_jets(eta_1 * eta_2),
        "DER_deltar_had_lep": _deltar_had_lep(event),
        "DER_pt_tot": np.sqrt(total_px**2 + total_py**2),
        "DER_sum_pt": had_pt + lep_pt + event["PRI_jet_all_pt"],
        "DER_pt_ratio_lep_had": lep_pt / had_pt,
        "DER_met_phi_centrality": _met_phi_centrality(met_phi, lep_phi, had_phi),
        "DER_lep_eta_centrality": for_two_jets(
            _lep_eta_centrality(lep_eta.take(two), eta_1, eta_2)
        ),
    }


def DER_data(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802 (name of the reference API)
    """Add the twelve ``DER_`` columns to ``data``; every float64 column becomes float32.

    The frame itself is changed and returned, as in the reference implementation: pass a copy to
    keep the original.

    Raises
    ------
    DataError
        If a ``PRI_`` column is missing or is not numeric.
    """
    event = primary_columns(data)
    n_rows = len(data)
    derived = {name: np.empty(n_rows, dtype=np.float32) for name in DER_COLUMNS}

    def work(_: int, rows: slice) -> None:
        for name, values in derive({key: column[rows] for key, column in event.items()}).items():
            derived[name][rows] = values

    run_in_chunks(n_rows, work)
    for name, values in derived.items():
        data[name] = values
    for name in data.columns[data.dtypes == np.float64]:
        data[name] = data[name].astype(np.float32)
    return data


def primary_columns(data: pd.DataFrame) -> dict[str, Array]:
    """Return the sixteen ``PRI_`` columns of a frame as floating-point arrays, views if possible.

    Raises
    ------
    DataError
        If a column is missing or is not numeric.
    """
    missing = [name for name in PRI_COLUMNS if name not in data.columns]
    if missing:
        raise DataError(
            f"the data frame lacks {', '.join(missing)}: all sixteen PRI_ columns are needed "
            "(labels and weights may stay in the frame)"
        )
    columns = {name: data[name].to_numpy() for name in PRI_COLUMNS}
    for name, column in columns.items():
        if column.dtype.kind not in "fiu":
            raise DataError(f"column {name} must be numeric, not {column.dtype}")
        if column.dtype.kind != "f":
            columns[name] = column.astype(np.float64)
    return columns


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
    data["DER_deltar_had_lep"] = _deltar_had_lep(data)
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
    data["DER_met_phi_centrality"] = _met_phi_centrality(
        *(data[f"PRI_{name}_phi"].to_numpy() for name in ("met", "lep", "had"))
    )
    return data


def f_DER_lep_eta_centrality(data: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
    """Add the centrality in eta of the lepton between the two jets, -25 with fewer than two."""
    centrality = _lep_eta_centrality(
        *(data[f"PRI_{name}_eta"].to_numpy() for name in ("lep", "jet_leading", "jet_subleading"))
    )
    data["DER_lep_eta_centrality"] = _two_jets(data, centrality)
    return data
