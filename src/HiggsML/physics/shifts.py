"""What the six nuisance parameters do to events and to rates, and the cuts that follow.

- ``tes``: tau energy scale, multiplies ``PRI_had_pt``
- ``jes``: jet energy scale, multiplies the pt of existing jets and ``PRI_jet_all_pt``
- ``soft_met``: width [GeV] of a Gaussian added to each component of the missing momentum
- ``ttbar_scale``, ``diboson_scale``: multiply the weights of that process
- ``bkg_scale``: multiplies the weights of all backgrounds, ttbar and diboson included

The vector change of tau and jets is subtracted from the missing momentum. The primaries are then
rounded to three decimals, as the official data are.

An event chunk is a dict of the sixteen ``PRI_`` columns, arrays of one floating-point type and of
shape (n,), which the functions here **change in place**: a pseudo-experiment is a million events,
and most of the time of a fresh array goes into getting its memory.

Examples
--------
>>> event = {name: np.array([MISSING]) for name in PRI_COLUMNS}
>>> event |= {"PRI_had_pt": np.array([40.0]), "PRI_n_jets": np.array([0.0])}
>>> shift_energies(event, tes=1.05)
>>> event["PRI_had_pt"]
array([42.])
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from HiggsML.errors import SettingsError
from HiggsML.physics.chunks import Scratch
from HiggsML.physics.kinematics import Array, Directions, azimuth, length
from HiggsML.schema import BACKGROUNDS, MISSING, NUISANCES, PRI_COLUMNS, SIGNAL

__all__ = [
    "HAD_PT_MIN",
    "JET_PT_MIN",
    "LEP_PT_MIN",
    "draw_nuisances",
    "passes_cuts",
    "rate_factors",
    "remove_soft_jets",
    "round_primaries",
    "shift_energies",
]

HAD_PT_MIN = 26.0  # GeV: above the reconstruction threshold, so that no shift runs out of events
JET_PT_MIN = 26.0  # GeV: a jet at or below it counts as absent
LEP_PT_MIN = 20.0  # GeV

_DECIMALS = 3
_ROUNDED_COLUMNS = tuple(name for name in PRI_COLUMNS if name != "PRI_n_jets")


def shift_energies(
    event: Mapping[str, Array],
    *,
    tes: float = 1.0,
    jes: float = 1.0,
    soft_met: tuple[Array, Array] | None = None,
    scratch: Scratch | None = None,
    directions: Directions | None = None,
) -> None:
    """Shift the energy scales and the missing momentum; round what has changed.

    Parameters
    ----------
    event : mapping of str to array
        The sixteen ``PRI_`` columns, each of shape (n,); changed in place.
    tes, jes : float
        Factors of the tau's and the jets' energy.
    soft_met : pair of arrays of shape (n,), optional
        What is added to the x and y components of the missing momentum [GeV].
    scratch : Scratch, optional
        Temporary arrays, of the columns' type.
    directions : Directions, optional
        Of tau and leading jet, which do not change.
    """
    met, met_phi = event["PRI_met"], event["PRI_met_phi"]
    scratch = scratch or Scratch(met.dtype)
    directions = directions or Directions(event)
    met_x, met_y, gained, spare = scratch.take(4, met.size)
    np.cos(met_phi, out=met_x)
    met_x *= met
    np.sin(met_phi, out=met_y)
    met_y *= met
    changed = ["PRI_met", "PRI_met_phi"]

    def recoil(particle: str) -> None:
        """Take from the missing momentum what a particle has gained in pt."""
        for component, part in zip((met_x, met_y), directions[particle], strict=True):
            component -= np.multiply(gained, part, out=spare)

    if tes != 1.0:
        changed.append("PRI_had_pt")
        event["PRI_had_pt"][:] *= tes
        np.multiply(event["PRI_had_pt"], (tes - 1.0) / tes, out=gained)
        recoil("had")

    if jes != 1.0:
        changed += ["PRI_jet_all_pt", "PRI_jet_leading_pt"]
        event["PRI_jet_all_pt"][:] *= jes
        pt, exists = event["PRI_jet_leading_pt"], event["PRI_n_jets"] >= 1
        # By jes where there is a jet, else by 1: many times as fast as with a mask.
        np.multiply(exists, met.dtype.type(jes) - 1, out=spare)
        spare += 1
        pt *= spare
        np.multiply(pt, (jes - 1.0) / jes, out=gained)
        gained *= exists
        recoil("jet_leading")
        # Fewer than one event in five has a second jet: only theirs are computed.
        two = np.flatnonzero(event["PRI_n_jets"] >= 2)
        pt, phi = (event[f"PRI_jet_subleading_{part}"].take(two) for part in ("pt", "phi"))
        pt *= jes
        event["PRI_jet_subleading_pt"][two] = np.round(pt, _DECIMALS)
        pt *= (jes - 1.0) / jes
        met_x[two] -= pt * np.cos(phi)
        met_y[two] -= pt * np.sin(phi)

    if soft_met is not None:
        met_x += soft_met[0]
        met_y += soft_met[1]

    length(met_x, met_y, met, spare)
    azimuth(met_x, met_y, met, met_phi, (gained, spare))
    round_primaries(event, changed)


def round_primaries(event: Mapping[str, Array], columns: Iterable[str] = _ROUNDED_COLUMNS) -> None:
    """Round columns to three decimals, the precision of the official data, in place."""
    for name in columns:
        np.round(event[name], _DECIMALS, out=event[name])


def remove_soft_jets(
    event: Mapping[str, Array],
    *,
    corrected: bool = False,
    directions: Directions | None = None,
) -> None:
    """Treat jets with a pt of at most 26 GeV as absent: first the sub-leading, then the leading.

    A removed jet becomes -25, is taken off ``PRI_n_jets`` and out of ``PRI_jet_all_pt``.

    Parameters
    ----------
    event : mapping of str to array
        The sixteen ``PRI_`` columns, each of shape (n,); changed in place.
    corrected : bool
        With three or more jets and a soft sub-leading one, the official procedure leaves
        ``PRI_n_jets`` at two or more although the second jet is gone; the official numbers depend
        on it. True counts the jets that are left, since all that follow are softer still: one
        after the sub-leading jet was removed, none after the leading one.
    directions : Directions, optional
        Those of removed jets are brought up to date.
    """
    n_jets, jet_all_pt = event["PRI_n_jets"], event["PRI_jet_all_pt"]
    for jet, left in (("subleading", 1), ("leading", 0)):
        pt = event[f"PRI_jet_{jet}_pt"]
        soft = np.flatnonzero((pt >= 0) & (pt <= JET_PT_MIN))
        if not soft.size:
            continue
        if corrected:
            n_jets[soft] = left
            jet_all_pt[soft] = event["PRI_jet_leading_pt"][soft] if left else 0.0
        else:
            n_jets[soft] -= 1
            jet_all_pt[soft] -= pt[soft]
        for part in ("pt", "eta", "phi"):
            event[f"PRI_jet_{jet}_{part}"][soft] = MISSING
        if directions is not None:
            directions.update(f"jet_{jet}", soft)


def passes_cuts(event: Mapping[str, Array]) -> NDArray[np.bool_]:
    """Which events keep a tau of at least 26 GeV and a lepton of at least 20 GeV."""
    return (event["PRI_had_pt"] >= HAD_PT_MIN) & (event["PRI_lep_pt"] >= LEP_PT_MIN)


def rate_factors(
    *,
    mu: float = 1.0,
    ttbar_scale: float | None = None,
    diboson_scale: float | None = None,
    bkg_scale: float | None = None,
) -> dict[str, float]:
    """Return the factor on the expected events of each process; None means 1."""
    backgrounds = 1.0 if bkg_scale is None else float(bkg_scale)
    factors = dict.fromkeys(BACKGROUNDS, backgrounds)
    factors["ttbar"] *= 1.0 if ttbar_scale is None else float(ttbar_scale)
    factors["diboson"] *= 1.0 if diboson_scale is None else float(diboson_scale)
    factors[SIGNAL] = float(mu)
    wrong = {name: value for name, value in factors.items() if not 0 <= value < math.inf}
    if wrong:
        raise SettingsError(f"rates must be finite and not negative, got factors {wrong}")
    return factors


def draw_nuisances(
    enabled: Mapping[str, bool], rng: np.random.Generator
) -> dict[str, float | None]:
    """Draw the nuisance parameters of one pseudo-experiment from their priors.

    Parameters
    ----------
    enabled : mapping of str to bool
        Which of the six to draw; a missing name means False.
    rng : numpy.random.Generator
        Source of randomness. Every nuisance takes one number whether it is enabled or not, so that
        switching one off leaves the others as they were.

    Returns
    -------
    dict
        A value for every nuisance; where not enabled, 1 (tes, jes), 0 (soft_met) or None (rates).
    """
    unknown = sorted(set(enabled) - set(NUISANCES))
    if unknown:
        raise SettingsError(f"unknown systematics {unknown}; known are {', '.join(NUISANCES)}")
    values: dict[str, float | None] = {}
    for name, nuisance in NUISANCES.items():
        draw = nuisance.loc + nuisance.scale * rng.standard_normal()
        if nuisance.prior == "lognormal":
            draw = math.exp(draw)
        if enabled.get(name, False):
            values[name] = min(max(draw, nuisance.low), nuisance.high)
        else:
            values[name] = nuisance.nominal if nuisance.shape else None
    return values
