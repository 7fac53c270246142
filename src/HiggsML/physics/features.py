"""The twelve derived quantities (``DER_``) of an event, each defined once.

Definitions follow the ATLAS Higgs machine-learning challenge (C. Adam-Bourdarios et al.,
"Learning to discover: the Higgs boson machine learning challenge", appendix B). A quantity of two
jets is -25 when the event has fewer than two. Momenta and masses in GeV, angles in radians.

Where an event counts two jets but its sub-leading jet was removed (see
:func:`HiggsML.systematics.postprocess`), the official numbers are computed from the -25 of the
missing jet; this module does the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from HiggsML.errors import DataError
from HiggsML.physics.chunks import Scratch, Work, run_in_chunks
from HiggsML.physics.kinematics import Array, Direction, Directions, length
from HiggsML.schema import DER_COLUMNS, MISSING, PRI_COLUMNS

__all__ = ["derive", "derive_in_chunks"]


Columns = Mapping[str, Array]


_EPSILON = 1e-4  # keeps the two centralities finite where they are undefined


_MIN_EXPONENT = -87.0  # exp() below this is a denormal float32, which is many times slower


def _mass(energy: Any, px: Any, py: Any, pz: Any = 0.0) -> Any:
    """Invariant mass; rounding below zero counts as zero."""
    return np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0.0))


def _lep_eta_centrality(lep_eta: Array, eta_1: Array, eta_2: Array) -> Array:
    """1 for a lepton midway between the two jets in eta, 1/e at a jet, less outside."""
    gap: Array = (eta_1 - eta_2) ** 2
    gap[gap == 0] = _EPSILON
    exponent = -4 / gap * ((lep_eta - (eta_1 + eta_2) / 2) ** 2)
    centrality: Array = np.exp(np.maximum(exponent, _MIN_EXPONENT))
    return centrality


def _sine_between(one: Direction, other: Direction, out: Array, spare: Array) -> None:
    """Write the sine of an angle less another one into ``out``: exactly 0 for the same angle."""
    np.multiply(one[1], other[0], out=out)
    out -= np.multiply(one[0], other[1], out=spare)


def _root(square: Array, spare: Array) -> None:
    """Take the square root in place; what rounding brought below zero counts as zero."""
    spare.fill(0)  # NumPy's maximum of two arrays is five times as fast as with a number
    np.maximum(square, spare, out=square)
    np.sqrt(square, out=square)


def _mass_transverse(pt_sum: Array, x: Array, y: Array, out: Array, spare: Array) -> None:
    """Write sqrt(pt_sum^2 - x^2 - y^2) into ``out``; rounding below zero counts as zero."""
    np.square(pt_sum, out=out)
    for component in (x, y):
        out -= np.square(component, out=spare)
    _root(out, spare)


_Particle = tuple[Array, Array, Direction]
"""Transverse momentum, pseudo-rapidity and direction."""


def _mass_of_two(one: _Particle, other: _Particle, out: Array, spare: Array) -> None:
    """Write the mass of two massless particles into ``out``.

    Its square is 2 pt pt' [cosh(difference in eta) - cos(that in phi)]; what is below zero, by
    rounding or by the pt of a jet that was removed, counts as zero.
    """
    (pt_1, eta_1, (cos_1, sin_1)), (pt_2, eta_2, (cos_2, sin_2)) = one, other
    np.subtract(eta_1, eta_2, out=spare)
    np.exp(spare, out=out)  # in float32 six times as fast as NumPy's cosh on most processors
    out += np.divide(1, out, out=spare)
    out *= 0.5
    out -= np.multiply(cos_1, cos_2, out=spare)
    out -= np.multiply(sin_1, sin_2, out=spare)
    np.add(pt_1, pt_1, out=spare)
    out *= np.multiply(spare, pt_2, out=spare)
    _root(out, spare)


def _deltar_had_lep(event: Columns, out: Array, spares: Sequence[Array]) -> None:
    """Distance in the (eta, phi) plane."""
    turn, turns, *_ = spares
    np.subtract(event["PRI_lep_phi"], event["PRI_had_phi"], out=turn)
    np.divide(turn, 2 * np.pi, out=turns)
    np.rint(turns, out=turns)
    turns *= 2 * np.pi
    turn -= turns
    np.subtract(event["PRI_lep_eta"], event["PRI_had_eta"], out=out)
    length(out, turn, out, turns)


def _met_phi_centrality(
    met: Direction, lep: Direction, had: Direction, out: Array, spares: Sequence[Array]
) -> None:
    """Where the missing momentum points: sqrt(2) midway between lepton and tau, 1 along one.

    With A = sin(met - lep) and B = sin(had - met), both times the sign of sin(had - lep), it is
    (A + B) / sqrt(A^2 + B^2). Lepton and tau at the same angle leave it undefined: the lepton is
    then turned by 10^-4.
    """
    norm, other, spare, *_ = spares
    _sine_between(met, lep, norm, spare)
    _sine_between(had, met, other, spare)
    np.add(norm, other, out=out)
    length(norm, other, norm, spare)
    _sine_between(had, lep, other, spare)
    norm *= np.sign(other, out=other)
    undefined = np.flatnonzero(norm == 0)
    if undefined.size:
        met, lep, had = ((x[undefined], y[undefined]) for x, y in (met, lep, had))
        cosine, sine = np.cos(_EPSILON), np.sin(_EPSILON)
        turned = lep[0] * cosine - lep[1] * sine, lep[1] * cosine + lep[0] * sine
        value, *more = np.empty((4, undefined.size), out.dtype)
        _met_phi_centrality(met, turned, had, value, more)
        out[undefined], norm[undefined] = value, 1
    out /= norm


def derive(
    event: Columns,
    out: Array | None = None,
    scratch: Scratch | None = None,
    directions: Directions | None = None,
) -> dict[str, Array]:
    """Compute the twelve derived quantities.

    Parameters
    ----------
    event : mapping of str to array
        The sixteen ``PRI_`` columns, each of shape (n,), of one floating-point type.
    out : array of shape (12, n), optional
        Where the results go; by default an array of the columns' type.
    scratch : Scratch, optional
        Temporary arrays, of the columns' type.
    directions : Directions, optional
        The event's, some of which may be known already.

    Returns
    -------
    dict of str to array
        The rows of ``out`` by name, in the order of :data:`HiggsML.schema.DER_COLUMNS`.
    """
    lep_pt, had_pt, met = event["PRI_lep_pt"], event["PRI_had_pt"], event["PRI_met"]
    n_jets = event["PRI_n_jets"]
    if out is None:
        out = np.empty((len(DER_COLUMNS), met.size), met.dtype)
    derived = dict(zip(DER_COLUMNS, out, strict=True))
    x, y, a, b, *spares = (scratch or Scratch(out.dtype)).take(7, met.size)
    spare = spares[0]
    directions = directions or Directions(event)
    tau, lepton, missing = (directions[name] for name in ("had", "lep", "met"))
    _met_phi_centrality(missing, lepton, tau, derived["DER_met_phi_centrality"], spares)

    # x and y collect momenta, one after the other: lepton and missing, tau, leading jet, other jet.
    for total, part, other in zip((x, y), lepton, missing, strict=True):
        np.multiply(lep_pt, part, out=total)
        total += np.multiply(met, other, out=spare)
    np.add(met, lep_pt, out=a)
    _mass_transverse(a, x, y, derived["DER_mass_transverse_met_lep"], spare)
    for total, part in zip((x, y), tau, strict=True):
        total += np.multiply(had_pt, part, out=spare)
    length(x, y, derived["DER_pt_h"], spare)
    jet_pt = np.multiply(event["PRI_jet_leading_pt"], n_jets >= 1, out=a)
    for total, part in zip((x, y), directions["jet_leading"], strict=True):
        total += np.multiply(jet_pt, part, out=spare)

    # Fewer than one event in five has two jets: their quantities are computed for those alone.
    two = np.flatnonzero(n_jets >= 2)
    pt_1, eta_1 = (event[f"PRI_jet_leading_{part}"].take(two) for part in ("pt", "eta"))
    cos_1, sin_1 = (part.take(two) for part in directions["jet_leading"])
    pt_2, eta_2, phi_2 = (
        event[f"PRI_jet_subleading_{part}"].take(two) for part in ("pt", "eta", "phi")
    )
    subleading = np.cos(phi_2), np.sin(phi_2)
    for total, part in zip((x, y), subleading, strict=True):
        total[two] += pt_2 * part
    mass, rest = a[: two.size], b[: two.size]
    _mass_of_two((pt_1, eta_1, (cos_1, sin_1)), (pt_2, eta_2, subleading), mass, rest)
    of_two_jets = {
        "DER_deltaeta_jet_jet": np.abs(eta_2 - eta_1),
        "DER_mass_jet_jet": mass,
        "DER_prodeta_jet_jet": eta_1 * eta_2,
        "DER_lep_eta_centrality": _lep_eta_centrality(event["PRI_lep_eta"].take(two), eta_1, eta_2),
    }
    for name, values in of_two_jets.items():
        derived[name].fill(MISSING)
        derived[name][two] = values

    length(x, y, derived["DER_pt_tot"], a)
    _mass_of_two(
        (lep_pt, event["PRI_lep_eta"], lepton),
        (had_pt, event["PRI_had_eta"], tau),
        derived["DER_mass_vis"],
        a,
    )
    _deltar_had_lep(event, derived["DER_deltar_had_lep"], (a, b))
    np.add(had_pt, lep_pt, out=derived["DER_sum_pt"])
    derived["DER_sum_pt"] += event["PRI_jet_all_pt"]
    np.divide(lep_pt, had_pt, out=derived["DER_pt_ratio_lep_had"])
    return derived


def derive_in_chunks(event: Columns, derived: NDArray[np.float32]) -> None:
    """Do the same as :func:`derive` for many events; write them into ``derived``, shape (12, n)."""

    def start_worker() -> Work:
        scratch, angles = (Scratch(event["PRI_met"].dtype) for _ in range(2))

        def work(_: int, rows: slice) -> None:
            part = {name: column[rows] for name, column in event.items()}
            directions = Directions(part, angles)
            if scratch.dtype == derived.dtype:
                derive(part, derived[:, rows], scratch, directions)
            else:
                derived[:, rows] = list(derive(part, None, scratch, directions).values())

        return work

    run_in_chunks(derived.shape[1], start_worker)


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
