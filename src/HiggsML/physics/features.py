"""The twelve derived quantities (``DER_``) of an event, each defined once.

Definitions follow the ATLAS Higgs machine-learning challenge (C. Adam-Bourdarios et al.,
"Learning to discover: the Higgs boson machine learning challenge", appendix B). A quantity of two
jets is -25 when the event has fewer than two. Momenta and masses in GeV, angles in radians.

Where an event counts two jets but its sub-leading jet was removed (see
:func:`HiggsML.systematics.postprocess`), the official numbers are computed from the -25 of the
missing jet; this module does the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from HiggsML.errors import DataError
from HiggsML.physics.chunks import pieces, run_in_chunks, threads_for
from HiggsML.physics.event import Event
from HiggsML.physics.kinematics import Array, Vector, spread
from HiggsML.physics.shifts import rounded, shifted, without_soft_jets
from HiggsML.schema import MISSING, PRI_COLUMNS

__all__ = ["FORMULAS", "derive", "derive_in_chunks", "features_of", "primary_columns"]

Formula = Callable[[Event], Array]

_HIGGS = "lep", "met", "had"  # what is seen of a Higgs boson, and what its neutrinos leave

_EPSILON = 1e-4  # keeps the two centralities finite where they are undefined
_MIN_EXPONENT = -87.0  # exp() below this is a denormal float32, which is many times slower


def mass_transverse_met_lep(event: Event) -> Array:
    """Transverse mass of lepton and missing momentum, both massless."""
    pt_sum = event["PRI_met"] + event["PRI_lep_pt"]
    total = event.momentum("lep", "met")
    return _root(pt_sum * pt_sum - total.x * total.x - total.y * total.y)


def mass_vis(event: Event) -> Array:
    """Invariant mass of lepton and hadronic tau."""
    return _mass_of_two(event, "lep", "had")


def pt_h(event: Event) -> Array:
    """Transverse momentum of the Higgs boson candidate."""
    return event.momentum(*_HIGGS).length()


def deltar_had_lep(event: Event) -> Array:
    """Distance of tau and lepton in the (eta, phi) plane."""
    turn = event["PRI_lep_phi"] - event["PRI_had_phi"]
    turn -= np.rint(turn / (2 * np.pi)) * (2 * np.pi)
    return Vector(event["PRI_lep_eta"] - event["PRI_had_eta"], turn).length()


def pt_tot(event: Event) -> Array:
    """Transverse momentum of the Higgs boson candidate and the two leading jets together."""
    return event.momentum(*_HIGGS, "jet_leading", "jet_subleading").length()


def sum_pt(event: Event) -> Array:
    """Scalar sum of the pt of tau, lepton and all jets."""
    return event["PRI_had_pt"] + event["PRI_lep_pt"] + event["PRI_jet_all_pt"]


def pt_ratio_lep_had(event: Event) -> Array:
    """Ratio of the lepton's pt to the tau's."""
    return event["PRI_lep_pt"] / event["PRI_had_pt"]


def met_phi_centrality(event: Event) -> Array:
    """Where the missing momentum points: sqrt(2) midway between lepton and tau, 1 along one.

    With A = sin(met - lep) and B = sin(had - met), both times the sign of sin(had - lep), it is
    (A + B) / sqrt(A^2 + B^2). Lepton and tau at the same angle leave it undefined: the lepton is
    then turned by 10^-4.
    """
    return _centrality(event.direction("met"), event.direction("lep"), event.direction("had"))


def _centrality(met: Vector, lep: Vector, had: Vector) -> Array:
    sines = Vector(met.cross(lep), had.cross(met))
    norm = sines.length() * np.sign(had.cross(lep))
    undefined = np.flatnonzero(norm == 0)
    if not undefined.size:
        return (sines.x + sines.y) / norm
    norm[undefined] = 1
    centrality = (sines.x + sines.y) / norm
    met, lep, had = (vector.take(undefined) for vector in (met, lep, had))
    cosine, sine = np.cos(_EPSILON), np.sin(_EPSILON)
    turned = Vector(lep.x * cosine - lep.y * sine, lep.y * cosine + lep.x * sine)
    centrality[undefined] = _centrality(met, turned, had)
    return centrality


def _of_two_jets(formula: Formula) -> Formula:
    """Make a formula for events with two jets one for all events: -25 with fewer."""

    @functools.wraps(formula)
    def quantity(event: Event) -> Array:
        rows, pair = event.two_jets()
        return spread(formula(pair), rows, len(event), MISSING)

    return quantity


@_of_two_jets
def deltaeta_jet_jet(pair: Event) -> Array:
    """Distance in eta of the two jets."""
    return np.abs(pair["PRI_jet_subleading_eta"] - pair["PRI_jet_leading_eta"])


@_of_two_jets
def mass_jet_jet(pair: Event) -> Array:
    """Invariant mass of the two jets."""
    return _mass_of_two(pair, "jet_leading", "jet_subleading")


@_of_two_jets
def prodeta_jet_jet(pair: Event) -> Array:
    """Product of the two jets' eta."""
    return pair["PRI_jet_leading_eta"] * pair["PRI_jet_subleading_eta"]


@_of_two_jets
def lep_eta_centrality(pair: Event) -> Array:
    """1 for a lepton midway between the two jets in eta, 1/e at a jet, less outside."""
    eta_1, eta_2 = pair["PRI_jet_leading_eta"], pair["PRI_jet_subleading_eta"]
    gap = (eta_1 - eta_2) ** 2
    gap[gap == 0] = _EPSILON
    exponent = -4 / gap * ((pair["PRI_lep_eta"] - (eta_1 + eta_2) / 2) ** 2)
    return np.exp(np.maximum(exponent, _MIN_EXPONENT))


def _mass_of_two(event: Event, one: str, other: str) -> Array:
    """Mass of two massless particles: m^2 = 2 pt pt' [cosh(eta - eta') - cos(phi - phi')].

    What is below zero, by rounding or by the pt of a jet that was removed, counts as zero.
    """
    a, b = event.direction(one), event.direction(other)
    # In float32 the exponential is six times as fast as NumPy's cosh on most processors.
    growth = np.exp(event[f"PRI_{one}_eta"] - event[f"PRI_{other}_eta"])
    angles = 0.5 * (growth + 1 / growth) - a.x * b.x - a.y * b.y
    pt, other_pt = event[f"PRI_{one}_pt"], event[f"PRI_{other}_pt"]
    return _root(angles * ((pt + pt) * other_pt))


def _root(square: Array) -> Array:
    """Square root of what is positive but for rounding."""
    root: Array = np.sqrt(np.maximum(square, 0))
    return root


FORMULAS: Mapping[str, Formula] = {
    "DER_mass_transverse_met_lep": mass_transverse_met_lep,
    "DER_mass_vis": mass_vis,
    "DER_pt_h": pt_h,
    "DER_deltaeta_jet_jet": deltaeta_jet_jet,
    "DER_mass_jet_jet": mass_jet_jet,
    "DER_prodeta_jet_jet": prodeta_jet_jet,
    "DER_deltar_had_lep": deltar_had_lep,
    "DER_pt_tot": pt_tot,
    "DER_sum_pt": sum_pt,
    "DER_pt_ratio_lep_had": pt_ratio_lep_had,
    "DER_met_phi_centrality": met_phi_centrality,
    "DER_lep_eta_centrality": lep_eta_centrality,
}
"""The one formula of each derived quantity, in the order of the columns."""


def derive(columns: Event | Mapping[str, Array]) -> dict[str, Array]:
    """Compute the twelve derived quantities.

    Parameters
    ----------
    columns : Event or mapping of str to array
        The sixteen ``PRI_`` columns, each of shape (n,), of one floating-point type.

    Returns
    -------
    dict of str to array
        By name, in the order of :data:`HiggsML.schema.DER_COLUMNS`.
    """
    event = columns if isinstance(columns, Event) else Event(columns)
    return {name: formula(event) for name, formula in FORMULAS.items()}


def features_of(
    columns: Mapping[str, Array],
    *,
    tes: float = 1.0,
    jes: float = 1.0,
    soft_met: Vector | None = None,
    rounded_before: bool = False,
    cuts: bool = True,
    corrected: bool = False,
) -> Iterator[Array]:
    """Shift events, remove their soft jets and derive: what is done to every event of a run.

    Which events pass the cuts on tau and lepton is for the caller to decide beforehand.

    Parameters
    ----------
    columns : mapping of str to array
        The sixteen ``PRI_`` columns, each of shape (n,), of one floating-point type.
    tes, jes, soft_met
        See :func:`HiggsML.physics.shifts.shifted`.
    rounded_before : bool
        That all columns but those that a shift can change are rounded already.
    cuts, corrected : bool
        Whether and how soft jets are removed, see
        :func:`HiggsML.physics.shifts.without_soft_jets`.

    Yields
    ------
    array of shape (n,)
        The 28 features in the order of :data:`HiggsML.schema.FEATURES`, each computed when it is
        asked for: it can be written while it is still in the processor's cache.
    """
    event = shifted(Event(columns), tes=tes, jes=jes, soft_met=soft_met)
    if not rounded_before:
        event = event.having({name: rounded(event[name]) for name in PRI_COLUMNS})
    if cuts:
        event = without_soft_jets(event, corrected=corrected)
    yield from (event[name] for name in PRI_COLUMNS)
    yield from (formula(event) for formula in FORMULAS.values())


def derive_in_chunks(columns: Mapping[str, Array], derived: NDArray[np.float32]) -> None:
    """Do the same as :func:`derive` for many events; write them into ``derived``, shape (12, n)."""
    threads = threads_for(derived.shape[1])

    def work(_: int, chunk: slice) -> None:
        for rows in pieces(chunk, threads):
            event = Event({name: column[rows] for name, column in columns.items()})
            for out, formula in zip(derived[:, rows], FORMULAS.values(), strict=True):
                out[:] = formula(event)

    run_in_chunks(derived.shape[1], work, threads=threads)


def primary_columns(data: pd.DataFrame) -> dict[str, Array]:
    """Return the sixteen ``PRI_`` columns of a frame as arrays of one floating-point type.

    It is the widest of theirs; integers follow the others. The arrays are views where possible.

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
    floating = [column.dtype for column in columns.values() if column.dtype.kind == "f"]
    dtype = np.result_type(*floating) if floating else np.dtype(np.float64)
    return {name: column.astype(dtype, copy=False) for name, column in columns.items()}
