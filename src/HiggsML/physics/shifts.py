"""What the six nuisance parameters do to events and to rates, and the cuts that follow.

- ``tes``: tau energy scale, multiplies ``PRI_had_pt``
- ``jes``: jet energy scale, multiplies the pt of existing jets and ``PRI_jet_all_pt``
- ``soft_met``: width [GeV] of a Gaussian added to each component of the missing momentum
- ``ttbar_scale``, ``diboson_scale``: multiply the weights of that process
- ``bkg_scale``: multiplies the weights of all backgrounds, ttbar and diboson included

The vector change of tau and jets is subtracted from the missing momentum. The primaries are then
rounded to three decimals, as the official data are.

The functions here change none of their arguments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from HiggsML.errors import SettingsError
from HiggsML.physics.event import Event, replaced
from HiggsML.physics.kinematics import Array, Vector, azimuth, direction
from HiggsML.schema import BACKGROUNDS, NUISANCES, SIGNAL

__all__ = [
    "HAD_PT_MIN",
    "JET_PT_MIN",
    "LEP_PT_MIN",
    "draw_nuisances",
    "passes_cuts",
    "rate_factors",
    "rounded",
    "shifted",
    "without_soft_jets",
]

HAD_PT_MIN = 26.0  # GeV: above the reconstruction threshold, so that no shift runs out of events
JET_PT_MIN = 26.0  # GeV: a jet at or below it counts as absent
LEP_PT_MIN = 20.0  # GeV

_DECIMALS = 3
_SCALED = ("PRI_had_pt", "PRI_jet_leading_pt", "PRI_jet_subleading_pt", "PRI_jet_all_pt")


def shifted(
    event: Event,
    *,
    tes: float = 1.0,
    jes: float = 1.0,
    soft_met: Vector | None = None,
) -> Event:
    """Return events whose energy scales and missing momentum are shifted, and rounded.

    Parameters
    ----------
    event : Event
        All sixteen primaries.
    tes, jes : float
        Factors of the tau's and the jets' energy.
    soft_met : Vector, optional
        What is added to the missing momentum [GeV].

    Examples
    --------
    A tau that points along the x axis, opposite to the missing momentum, gains 2 GeV:

    >>> from HiggsML.schema import MISSING, PRI_COLUMNS
    >>> event = {name: np.array([MISSING]) for name in PRI_COLUMNS} | {
    ...     "PRI_had_pt": np.array([40.0]), "PRI_had_phi": np.array([0.0]),
    ...     "PRI_met": np.array([20.0]), "PRI_met_phi": np.array([3.142])}
    >>> found = shifted(Event(event), tes=1.05)
    >>> found["PRI_had_pt"], found["PRI_met"]
    (array([42.]), array([22.]))
    """
    # Stored momenta are not rounded: they are here, also where a scale is nominal.
    changed = {name: event[name] for name in _SCALED}
    missing = event.momentum("met")
    if tes != 1.0:
        changed["PRI_had_pt"] = pt = event["PRI_had_pt"] * tes
        missing -= pt * ((tes - 1.0) / tes) * event.direction("had")
    if jes != 1.0:
        changed["PRI_jet_all_pt"] = event["PRI_jet_all_pt"] * jes
        pt = event["PRI_jet_leading_pt"]
        exists = (event["PRI_n_jets"] >= 1).astype(pt.dtype)
        # Exactly jes or 1: choosing the one or the other event by event takes four times as long.
        changed["PRI_jet_leading_pt"] = pt = pt * (exists * jes + (1 - exists))
        missing -= pt * ((jes - 1.0) / jes) * exists * event.direction("jet_leading")
        # Fewer than one event in five has a second jet: only theirs are computed.
        rows = np.flatnonzero(event["PRI_n_jets"] >= 2)
        pt, phi = (event[f"PRI_jet_subleading_{part}"].take(rows) for part in ("pt", "phi"))
        pt *= jes
        changed["PRI_jet_subleading_pt"] = replaced(event["PRI_jet_subleading_pt"], rows, pt)
        gained = pt * ((jes - 1.0) / jes) * direction(phi)
        missing -= gained.spread(rows, len(event))
    if soft_met is not None:
        missing += soft_met  # which may be of double precision
    missing = missing.astype(event["PRI_met"].dtype)
    changed["PRI_met"] = met = missing.length()
    changed["PRI_met_phi"] = azimuth(missing, met)
    return event.having({name: rounded(column) for name, column in changed.items()})


def rounded(column: Array) -> Array:
    """Round a column to three decimals, the precision of the official data."""
    return np.round(column, _DECIMALS)


def without_soft_jets(event: Event, *, corrected: bool = False) -> Event:
    """Treat jets with a pt of at most 26 GeV as absent: first the sub-leading, then the leading.

    A removed jet becomes -25, is taken off ``PRI_n_jets`` and out of ``PRI_jet_all_pt``.

    Parameters
    ----------
    event : Event
        All sixteen primaries.
    corrected : bool
        With three or more jets and a soft sub-leading one, the official procedure leaves
        ``PRI_n_jets`` at two or more although the second jet is gone; the official numbers depend
        on it. True counts the jets that are left, since all that follow are softer still: one
        after the sub-leading jet was removed, none after the leading one.

    Examples
    --------
    >>> from HiggsML.schema import MISSING, PRI_COLUMNS
    >>> event = {name: np.array([MISSING]) for name in PRI_COLUMNS} | {
    ...     "PRI_jet_leading_pt": np.array([25.0]), "PRI_n_jets": np.array([1.0]),
    ...     "PRI_jet_all_pt": np.array([25.0])}
    >>> left = without_soft_jets(Event(event))
    >>> left["PRI_n_jets"], left["PRI_jet_leading_pt"], left["PRI_jet_all_pt"]
    (array([0.]), array([-25.]), array([0.]))
    """
    n_jets, all_pt = event["PRI_n_jets"].copy(), event["PRI_jet_all_pt"].copy()
    leading_pt = event["PRI_jet_leading_pt"]
    for jet, left in (("jet_subleading", 1), ("jet_leading", 0)):
        pt = event[f"PRI_{jet}_pt"]
        soft = np.flatnonzero((pt >= 0) & (pt <= JET_PT_MIN))
        if corrected:
            n_jets[soft] = left
            all_pt[soft] = leading_pt[soft] if left else 0.0
        else:
            n_jets[soft] -= 1
            all_pt[soft] -= pt[soft]
        event = event.without(jet, soft)
    return event.having({"PRI_n_jets": n_jets, "PRI_jet_all_pt": all_pt})


def passes_cuts(event: Event | Mapping[str, Array]) -> NDArray[np.bool_]:
    """Which events keep a tau of at least 26 GeV and a lepton of at least 20 GeV.

    Examples
    --------
    >>> pt = {"PRI_had_pt": np.array([25.9, 26.0]), "PRI_lep_pt": np.array([20.0, 20.0])}
    >>> passes_cuts(pt)
    array([False,  True])
    """
    return (event["PRI_had_pt"] >= HAD_PT_MIN) & (event["PRI_lep_pt"] >= LEP_PT_MIN)


def rate_factors(
    *,
    mu: float = 1.0,
    ttbar_scale: float | None = None,
    diboson_scale: float | None = None,
    bkg_scale: float | None = None,
) -> dict[str, float]:
    """Return the factor on the expected events of each process; None means 1."""
    given = {
        "mu": mu,
        "ttbar_scale": ttbar_scale,
        "diboson_scale": diboson_scale,
        "bkg_scale": bkg_scale,
    }
    try:
        rates = {name: 1.0 if value is None else float(value) for name, value in given.items()}
    except (TypeError, ValueError) as error:
        raise SettingsError(f"rates must be numbers, got {given}: {error}") from error
    factors = dict.fromkeys(BACKGROUNDS, rates["bkg_scale"])
    factors["ttbar"] *= rates["ttbar_scale"]
    factors["diboson"] *= rates["diboson_scale"]
    factors[SIGNAL] = rates["mu"]
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
