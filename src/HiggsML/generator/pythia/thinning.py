"""Importance sampling inside Pythia: drop common events early, keep signal-like ones.

The veto acts in the middle of the parton shower, before the expensive part of an event (soft
multiparton interactions, hadronization); a kept event has the inverse of its probability as weight.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["make_hook"]

_VETO_SCALE = 15.0
# Of the boson after the hardest emissions: these can bring one that starts at 4 into the detector.
_MAXIMUM_RAPIDITY = 3.1
_BOSON = {"ztautau": 23, "htautau": 25}
# Share of a boson's decays that the production leaves open: all quarks and one lepton flavor (W),
# all but two lepton flavors (Z). Pythia's cross-sections are those of what is open.
_OPEN = {24: 7.0 / 9.0, 23: 1.0 - 2.0 * 0.033658}
# Official over Pythia's cross-section [fb] of each pair of bosons: the official events have weights
# by a table that differs (scripts/crosssection.json of FAIR-Universe/genHEPdata).
_OFFICIAL = {
    (23, 23): 7_192.0 / 10_137.0,
    (23, 24): 25_900.0 / 23_510.0,
    (24, 24): 59_810.0 / 64_366.0,
}


def make_hook(process: str, rng: np.random.Generator) -> Any:
    """Return the Pythia hook that thins common events and remembers the weights of the rest.

    ``weights`` maps the energies of the two incoming partons, which identify an event of a batch,
    to its weight; ``tried`` is the weight of all hard processes, closed decays included.
    """
    import pythia8mc

    class Thinning(pythia8mc.UserHooks):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.weights: dict[tuple[float, float], float] = {}
            self.tried = 0.0

        def canVetoProcessLevel(self) -> bool:  # noqa: N802
            return True

        def doVetoProcessLevel(self, event: Any) -> bool:  # noqa: N802
            if process in _BOSON:
                self.tried += 1.0
                return process == "htautau" and _has_other_lepton(event)
            weight, share = _share(event, process)
            self.tried += weight / share
            keep, leptonic = _leptonic(event)
            if rng.random() >= keep:
                return True
            self._remember(event, weight * leptonic / keep)
            return False

        def canVetoPT(self) -> bool:  # noqa: N802
            return process in _BOSON

        def scaleVetoPT(self) -> float:  # noqa: N802
            return _VETO_SCALE

        def doVetoPT(self, position: int, event: Any) -> bool:  # noqa: N802
            if position >= 4:  # the shower of the boson's own decay products
                return False
            keep = _signal_likeness(event, process)
            if rng.random() >= keep:
                return True
            self._remember(event, 1.0 / keep)
            return False

        def _remember(self, event: Any, weight: float) -> None:
            self.weights[(event[3].e(), event[4].e())] = weight

    return Thinning()


def _signal_likeness(event: Any, process: str) -> float:
    """Probability to keep an event, from the boson and the hard partons at the veto scale."""
    partons = []
    boson_pt, boson_y = 0.0, 0.0
    for i in range(event.size() - 1, 4, -1):
        particle = event[i]
        if not particle.isFinal():
            continue
        kind = particle.idAbs()
        if kind in (23, 25):
            if kind == _BOSON[process]:
                boson_pt, boson_y = particle.pT(), particle.y()
        elif kind < 6 or kind == 21:
            pt = particle.pT()
            eta = particle.eta()
            if pt > 20.0 and abs(eta) < 4.9:
                partons.append((pt, eta, particle.phi()))
    partons.sort(reverse=True)
    pair_mass2 = 0.0
    for i, (pt1, eta1, phi1) in enumerate(partons[:4]):
        for pt2, eta2, phi2 in partons[i + 1 : 4]:
            mass2 = 2.0 * pt1 * pt2 * (np.cosh(eta1 - eta2) - np.cos(phi1 - phi2))
            pair_mass2 = max(pair_mass2, float(mass2))
    if abs(boson_y) > _MAXIMUM_RAPIDITY:
        return 0.0
    second = partons[1][0] if len(partons) > 1 else 0.0
    first = partons[0][0] if partons else 0.0
    if process == "htautau":
        return 1.0 if second > 25.0 or boson_pt > 60.0 else 0.5
    if pair_mass2 > 250.0**2 or boson_pt > 90.0:
        return 1.0
    if second > 25.0 or boson_pt > 60.0:
        return 0.5
    return 0.18 if first > 20.0 or boson_pt > 25.0 else 0.06


def _has_other_lepton(event: Any) -> bool:
    """Tell whether a W or Z beside the Higgs boson decays into charged leptons.

    Such events are a library of their own.
    """
    return any(
        event[i].idAbs() in (11, 13, 15) and event[event[i].mother1()].idAbs() in (23, 24)
        for i in range(5, event.size())
    )


def _share(event: Any, process: str) -> tuple[float, float]:
    """Return the weight of a hard process of several bosons, and which share of it is open."""
    bosons = [
        event[i].idAbs()
        for i in range(3, event.size())
        if event[i].idAbs() in _OPEN and event[event[i].mother1()].idAbs() != event[i].idAbs()
    ]
    share = float(np.prod([_OPEN[kind] for kind in bosons]))
    return _OFFICIAL[min(bosons), max(bosons)] if process == "diboson" else 1.0, share


def _leptonic(event: Any) -> tuple[float, float]:
    """Return (probability to keep, events that it stands for) of an event with several bosons.

    Only the tau channel of leptonic W and Z decays is open in the production; it stands for all
    three lepton flavors, hence a factor 3 for each.
    """
    of_taus = [event[i].mother1() for i in range(3, event.size()) if event[i].idAbs() == 15]
    number = sum(event[boson].idAbs() != 25 for boson in set(of_taus))
    if number == 0:
        return 0.0, 0.0
    # One lepton makes an entry only with a jet that fakes a tau: few are needed.
    return (1.0 if len(of_taus) >= 2 else 0.05), 3.0**number
