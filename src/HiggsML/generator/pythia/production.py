"""Truth-level events with stable taus: the raw material of the fast engine's library.

An event is kept as the bosons that decay into leptons (to be decayed afresh), the jets, and the
rest of the visible momentum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from HiggsML.generator.detector import CONE_ISOLATION, CONE_JET, deltar2, wrap
from HiggsML.generator.jet_tags import encode
from HiggsML.generator.pythia.calorimeter import Objects, Response, detect
from HiggsML.generator.pythia.event_record import (
    Particles,
    charge_sign,
    descendants,
    flatten,
    prompt,
    pythia,
)
from HiggsML.generator.pythia.jets import (
    Jets,
    anti_kt,
    cone_sum,
    contain,
    count_tracks,
    hadronic_taus,
    isolated_photons,
)
from HiggsML.generator.pythia.thinning import make_hook

__all__ = ["MAXIMUM_JETS", "produce"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Columns = dict[str, NDArray[Any]]

MAXIMUM_JETS = 8
"""Jets kept per event, by falling transverse momentum."""

_BATCH = 200
_CENTRAL = 2.4  # abs(eta) of the directions about which leptons' surroundings are measured
# A photon would be there twice: the boson is decayed afresh with its full momentum.
_SETTINGS = ("TimeShower:QEDshowerByL = off",)
# Beside one boson few jets hold a heavy hadron, and still fewer one that decays into a tau.
_ONE_BOSON = ("15:mayDecay = off",)
_TAU_ONLY = ("24:onMode = off", "24:onIfAny = 1 2 3 4 5 15", "23:offIfAny = 11 13")
_CHANNELS = {"ttbar": _TAU_ONLY[:2], "diboson": _TAU_ONLY, "htautau_associated": _TAU_ONLY}
_BOSON = {"ztautau": 23, "htautau": 25}


def produce(process: str, n: int, *, seed: int) -> tuple[Columns, float]:
    """Make ``n`` library events; return the columns and the weight of all that Pythia tried.

    Parameters
    ----------
    process : {"htautau", "htautau_associated", "ztautau", "ttbar", "diboson"}
    n : int
        Number of events that Pythia finishes (a few are not usable and are dropped).
    seed : int
        Seed of Pythia and of the detector.

    """
    rng = np.random.default_rng(seed)
    hook = make_hook(process, np.random.default_rng([seed, 1]))
    extra = _SETTINGS + _CHANNELS.get(process, _ONE_BOSON)
    machine = pythia(process, seed=seed, extra=extra, hook=hook)
    parts = []
    for start in range(0, n, _BATCH):
        particles = flatten(machine.nextBatch(min(n - start, _BATCH)))
        energy, first = particles.momentum[3], particles.start
        pairs = zip(energy[first + 3].tolist(), energy[first + 4].tolist(), strict=True)
        weight = np.array([hook.weights.get(pair, 0.0) for pair in pairs])
        hook.weights.clear()
        parts.append(_extract(particles, weight, process, rng))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, hook.tried


def _extract(
    particles: Particles, weight: Floats, process: str, rng: np.random.Generator
) -> Columns:
    """Reduce a batch of Pythia events to library columns."""
    n = particles.n_events
    pdg, p4 = particles.pdg, particles.momentum
    final = np.flatnonzero(particles.status > 0)
    kind = np.abs(pdg[final])
    leptons = np.sort(np.append(final[np.isin(kind, (11, 13))], _taus(particles)))
    is_prompt, mother = prompt(particles, leptons)
    from_boson = descendants(particles, leptons[is_prompt])
    of_tau = is_prompt & (np.abs(pdg[leptons]) == 15)
    taus = leptons[of_tau]
    boson = _bosons(particles, taus, mother[of_tau], process)
    sign = _orientation(boson.pop("charge"))

    seen = final[~np.isin(kind, (12, 14, 15, 16)) & ~from_boson[final] & particles.inside[final]]
    charge = charge_sign(pdg[seen])
    response = detect(particles.event[seen], pdg[seen], p4[:, seen], charge, rng=rng)
    towers = response.towers
    jets = anti_kt(towers, n)
    loose = hadronic_taus(particles, ~from_boson)
    tag = _tags(jets, response, loose, sign, rng)
    visible = np.zeros((2, n))
    for axis, trigonometric in enumerate((np.cos, np.sin)):
        part = towers.pt * trigonometric(towers.phi)
        visible[axis] += np.bincount(towers.event, part, minlength=n)
    several = None if process in _BOSON else Objects.of(particles.event[taus], p4[:, taus])
    cone = _clean_cones(response, jets, n, several, rng)

    # Turn events with one boson so that it flies along x.
    turn = boson["phi"][:, 0] if process in _BOSON else np.zeros(n)
    total = np.hypot(*visible)
    direction = np.arctan2(visible[1], visible[0]) - turn
    out: Columns = {
        "weight": weight.astype(np.float32),
        "visible_x": (total * np.cos(direction)).astype(np.float32),
        "visible_y": (total * np.sin(direction)).astype(np.float32),
        **cone,
    }
    boson["phi"] = np.where(boson["kind"] > 0, wrap(boson["phi"] - turn[:, None]), 0.0)
    rank = np.arange(len(jets.event)) - np.searchsorted(jets.event, jets.event)
    few = rank < MAXIMUM_JETS
    for name in ("pt", "true_pt", "eta", "phi"):
        block = np.zeros((n, MAXIMUM_JETS), dtype=np.float32)
        values = getattr(jets, name)
        if name == "phi":
            values = wrap(values - turn[jets.event])
        block[jets.event[few], rank[few]] = values[few]
        out[f"jet_{name}"] = block
    tags = np.zeros((n, MAXIMUM_JETS), dtype=np.uint8)
    tags[jets.event[few], rank[few]] = tag[few]
    out["jet_tag"] = tags
    for name, values in boson.items():
        out[f"boson_{name}"] = values.astype(np.uint8 if name == "kind" else np.float32)
    keep = (boson["kind"][:, 0] > 0) & (weight > 0)
    return {name: values[keep] for name, values in out.items()}


def _bosons(particles: Particles, taus: Integers, mother: Integers, process: str) -> Columns:
    """Return up to two bosons per event that decay into leptons.

    ``charge`` is that of a W. ``cosine``, ``axis_theta`` and ``axis_phi`` tell the direction of a
    charged lepton in the boson's rest frame relative to an axis: the boson's flight direction in
    the frame of its mother (top quark, or pair of bosons).
    """
    n = particles.n_events
    names = ("m", "pt", "y", "phi", "cosine", "axis_theta", "axis_phi")
    out: Columns = {name: np.zeros((n, 2)) for name in (*names, "charge")}
    out["kind"] = np.zeros((n, 2), dtype=np.int64)
    if process in _BOSON:
        index = np.flatnonzero(particles.pdg == _BOSON[process])
        last = np.full(n, -1)
        np.maximum.at(last, particles.event[index], index)
        ok = last >= 0
        _fill(out, np.flatnonzero(ok), 0, particles.momentum[:, last[ok]], _BOSON[process])
        return out
    slot = np.zeros(n, dtype=np.int64)
    for boson in np.unique(mother):
        kind = abs(int(particles.pdg[boson]))
        event = int(particles.event[boson])
        if kind not in (22, 23, 24, 25) or slot[event] > 1:
            continue
        p4 = particles.momentum[:, boson]
        tau = taus[mother == boson][0]
        axis = _unit(-_boost_to_rest(_mother_frame(particles, int(boson), event), p4)[:3])
        flight = _unit(_boost_to_rest(particles.momentum[:, tau], p4)[:3])
        at = int(slot[event])
        _fill(out, np.array([event]), at, p4[:, None], kind)
        out["charge"][event, at] = np.sign(particles.pdg[boson]) if kind == 24 else 0
        out["cosine"][event, at] = float(axis @ flight)
        out["axis_theta"][event, at] = np.arccos(np.clip(axis[2], -1.0, 1.0))
        out["axis_phi"][event, at] = np.arctan2(axis[1], axis[0])
        slot[event] += 1
    return out


def _mother_frame(particles: Particles, boson: int, event: int) -> Floats:
    """Momentum of the top quark, or of the whole hard system, that a boson comes from."""
    at = boson
    for _ in range(40):
        at = int(particles.mother[at])
        if abs(int(particles.pdg[at])) == 6:
            return np.asarray(particles.momentum[:, at])
        if abs(int(particles.pdg[at])) not in (22, 23, 24):
            break
    first = int(particles.start[event])
    return np.asarray(particles.momentum[:, first + 3] + particles.momentum[:, first + 4])


def _fill(out: Columns, events: Integers, slot: int, p4: Floats, kind: int) -> None:
    px, py, pz, energy = p4
    out["kind"][events, slot] = kind
    out["m"][events, slot] = np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0.0))
    out["pt"][events, slot] = np.hypot(px, py)
    out["y"][events, slot] = np.arctanh(np.clip(pz / energy, -0.999999, 0.999999))
    out["phi"][events, slot] = np.arctan2(py, px)


def _boost_to_rest(p4: Floats, frame: Floats) -> Floats:
    """Boost ``p4`` into the rest frame of ``frame``; both are (px, py, pz, E)."""
    mass = np.sqrt(max(frame[3] ** 2 - frame[:3] @ frame[:3], 1e-12))
    energy = (p4[3] * frame[3] - p4[:3] @ frame[:3]) / mass
    factor = (energy + p4[3]) / (frame[3] + mass)
    return np.append(p4[:3] - factor * frame[:3], energy)


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12))


def _taus(particles: Particles) -> Integers:
    """Taus as they are when they decay, or at the end."""
    tau = np.abs(particles.pdg) == 15
    again = np.flatnonzero(tau)
    again = again[tau[particles.mother[again]]]
    tau[particles.mother[again]] = False
    return np.flatnonzero(tau)


def _orientation(charge: Floats) -> Floats:
    """Return the sign that makes a W positive as first boson of its event, negative as second."""
    return np.where(charge[:, 0] - 0.5 * charge[:, 1] < 0.0, -1.0, 1.0)


def _tags(
    jets: Jets, response: Response, taus: Objects, sign: Floats, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Everything that decides whether a jet may be tagged as a tau, in one number per jet.

    ``taus`` are those of heavy hadrons, ``sign`` is what the charges of each event are multiplied
    by.
    """
    number, charge = count_tracks(jets.event, jets.eta, jets.phi, response)
    photon = np.zeros(len(jets.pt), dtype=bool)
    holder = jets.of_tower[isolated_photons(response, rng)]
    photon[holder[holder >= 0]] = True
    return encode(number, charge * sign[jets.event], matched=contain(jets, taus), photon=photon)


def _clean_cones(
    response: Response, jets: Jets, n: int, leptons: Objects | None, rng: np.random.Generator
) -> Columns:
    """What underlies a lepton or tau: sums about a direction off the jets.

    With one boson it is the first of six random directions that is far from all jets, else the
    farthest. Leptons of several bosons lie where the event is busy, next to a top quark's jet say:
    there ``leptons`` come first, and any direction without a jet's axis in the cone will do.
    ``isolation`` is what isolation counts within 0.5 [GeV], ``area`` the towers within 0.6 [GeV],
    ``cone_tag`` the tracks within 0.2.
    """
    tries = 6
    eta = rng.uniform(-_CENTRAL, _CENTRAL, (n, tries))
    phi = rng.uniform(-np.pi, np.pi, (n, tries))
    away = 1.0
    if leptons is not None:
        central = leptons.take(np.abs(leptons.eta) < _CENTRAL)
        rank = np.arange(len(central.event)) - np.searchsorted(central.event, central.event)
        eta[central.event, rank], phi[central.event, rank] = central.eta, central.phi
        away = CONE_JET
    nearest = np.full((n, tries), 99.0)
    for k in range(tries):
        distance = deltar2(jets.eta, jets.phi, eta[jets.event, k], phi[jets.event, k])
        np.minimum.at(nearest[:, k], jets.event, distance)
    far = nearest > away**2
    best = np.where(far.any(axis=1), far.argmax(axis=1), nearest.argmax(axis=1))
    event = np.arange(n)
    center = Objects(event, eta[event, best], phi[event, best], np.zeros(n))
    towers = response.towers
    seen = Objects(towers.event, towers.eta, towers.phi, towers.pt)
    number, charge = count_tracks(event, center.eta, center.phi, response)
    return {
        "isolation": cone_sum(center, response.flow, CONE_ISOLATION).astype(np.float32),
        "area": cone_sum(center, seen, CONE_JET).astype(np.float32),
        "cone_tag": encode(number, charge),
    }
