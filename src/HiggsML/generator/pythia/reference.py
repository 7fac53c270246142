"""Reference engine: whole Pythia 8 events through the parametrized detector. Slow, an oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from HiggsML.generator.detector import (
    CONE_ISOLATION,
    TRACKER_ETA,
    deltar2,
    isolation_limit,
    lepton_efficiency,
    lepton_pt_resolution,
    tau_efficiency,
)
from HiggsML.generator.pythia.calorimeter import calorimeter
from HiggsML.generator.pythia.event_record import Particles, charge_sign, flatten, pythia
from HiggsML.generator.pythia.jets import Jets, anti_kt
from HiggsML.generator.table import JET_MINIMUM, MISTAG, table_rows

__all__ = ["reference_events"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Columns = dict[str, NDArray[Any]]

_BATCH = 200
# The official selection needs one tau of each kind: don't make the others.
_ONE_OF_EACH = ("15:onMode = off", "15:onPosIfAny = 11 13", "15:onNegIfAny = 111 130 211 310 321")
_MATCH, _ELECTRON_OVERLAP = 0.2, 0.4
_MAXIMUM_JETS = 12


def reference_events(
    process: str, n: int, *, seed: int, one_of_each: bool = True
) -> NDArray[np.float32]:
    """Generate ``n`` events with Pythia; return the rows that pass the selection.

    Parameters
    ----------
    process : {"htautau", "ztautau", "ttbar", "diboson"}
    n : int
        Number of Pythia events; a few per cent of Z and H and below 1 % of the others are selected.
    seed : int
        Seed of Pythia (1 .. 900,000,000) and of the detector.
    one_of_each : bool
        For Z and H: force one tau to decay leptonically and the other hadronically. Events of two
        leptonic or two hadronic decays with a fake (some 0.3 %) are then missing.

    Returns
    -------
    numpy.ndarray of shape (selected, 16), float32
        Primary columns in the order of ``PRI_COLUMNS``.

    """
    rng = np.random.default_rng(seed)
    extra = _ONE_OF_EACH if one_of_each and process in ("htautau", "ztautau") else ()
    machine = pythia(process, seed=seed, extra=extra)
    rows = [np.empty((0, 16), dtype=np.float32)]
    for start in range(0, n, _BATCH):
        particles = flatten(machine.nextBatch(min(_BATCH, n - start)))
        rows.append(_select(particles, rng))
    return np.concatenate(rows)


def _eta_phi(p4: Floats) -> tuple[Floats, Floats, Floats]:
    pt = np.maximum(np.hypot(p4[0], p4[1]), 1e-9)
    return pt, np.arcsinh(p4[2] / pt), np.arctan2(p4[1], p4[0])


def _select(particles: Particles, rng: np.random.Generator) -> NDArray[np.float32]:
    """Detect a batch of events and apply the official selection."""
    n = particles.n_events
    pdg, p4 = particles.pdg, particles.momentum
    final = np.flatnonzero((particles.status > 0) & ~np.isin(np.abs(pdg), (12, 14, 16)))
    charge = charge_sign(pdg[final])
    towers = calorimeter(particles.event[final], pdg[final], p4[:, final], charge, rng=rng)
    jets = anti_kt(towers, n)
    lepton = _leptons(particles, final, rng)
    tau = _hadronic_taus(particles)

    met = np.zeros((2, n))
    muons = final[np.abs(pdg[final]) == 13]
    muons = muons[np.abs(_eta_phi(p4[:, muons])[1]) < TRACKER_ETA]
    for axis, trigonometric in enumerate((np.cos, np.sin)):
        part = towers.pt * trigonometric(towers.phi)
        met[axis] -= np.bincount(towers.event, part, minlength=n)
        met[axis] -= np.bincount(particles.event[muons], p4[axis, muons], minlength=n)

    leptons, taus, others, events = [], [], [], []
    for event in np.unique(lepton["event"]):
        found = _one_event(int(event), lepton, tau, jets, rng)
        if found is not None:
            leptons.append(found[0])
            taus.append(found[1])
            others.append(found[2])
            events.append(int(event))
    if not events:
        return np.empty((0, 16), dtype=np.float32)
    return table_rows(
        tuple(np.array(leptons, dtype=np.float32).T),
        tuple(np.array(taus, dtype=np.float32).T),
        tuple(np.array(others, dtype=np.float32).transpose(1, 0, 2)),
        tuple(met[:, events].astype(np.float32)),
        rng,
    )


def _leptons(particles: Particles, final: Integers, rng: np.random.Generator) -> Columns:
    """Identified, isolated electrons and muons above 15 GeV."""
    pt, eta, phi = _eta_phi(particles.momentum[:, final])
    event, kind = particles.event[final], np.abs(particles.pdg[final])
    hard = np.flatnonzero(np.isin(kind, (11, 13)) & (pt > 14.0) & (np.abs(eta) < TRACKER_ETA))
    muon = kind[hard] == 13
    resolution = lepton_pt_resolution(pt[hard], eta[hard], muon)
    measured = pt[hard] * (1.0 + resolution * rng.standard_normal(len(hard)))
    isolation = np.empty(len(hard))
    for i, index in enumerate(hard):
        low, high = np.searchsorted(event, (event[index], event[index] + 1))
        near = deltar2(eta[low:high], phi[low:high], eta[index], phi[index]) < CONE_ISOLATION**2
        isolation[i] = pt[low:high][near & (pt[low:high] > 0.5)].sum() - pt[index]
    limit = isolation_limit(measured, muon)
    good = (isolation < limit) & (measured > 15.0)
    good &= rng.random(len(hard)) < lepton_efficiency(eta[hard])
    chosen = hard[good]
    return {
        "event": event[chosen],
        "pt": measured[good],
        "eta": eta[chosen],
        "phi": phi[chosen],
        "electron": ~muon[good],
        "charge": -np.sign(particles.pdg[final[chosen]]),
    }


def _hadronic_taus(particles: Particles) -> Columns:
    """Taus that decay into hadrons, with their direction and number of charged hadrons."""
    kind, mother = np.abs(particles.pdg), particles.mother
    of_tau = (kind[mother] == 15) & (kind != 15)
    size = len(kind)
    decayed, leptonic = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    decayed[mother[of_tau & (kind == 16)]] = True
    leptonic[mother[of_tau & np.isin(kind, (12, 14))]] = True
    prongs = np.bincount(mother[of_tau & np.isin(kind, (211, 321))], minlength=size)
    index = np.flatnonzero(decayed & ~leptonic)
    _, eta, phi = _eta_phi(particles.momentum[:, index])
    return {
        "event": particles.event[index],
        "eta": eta,
        "phi": phi,
        "one_prong": prongs[index] == 1,
        "charge": -np.sign(particles.pdg[index]),
    }


def _one_event(
    event: int, lepton: Columns, tau: Columns, jets: Jets, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats] | None:
    """Return (lepton, tau, jets) of an event that passes the selection, else nothing."""
    mine = np.flatnonzero(lepton["event"] == event)
    if len(mine) != 1 or lepton["pt"][mine[0]] < 20.0:
        return None
    at = mine[0]
    low, high = np.searchsorted(jets.event, (event, event + 1))
    pt, eta, phi = jets.pt[low:high], jets.eta[low:high], jets.phi[low:high]
    use = pt >= JET_MINIMUM
    if lepton["electron"][at]:  # an electron is a jet of its own, once
        distance = deltar2(eta, phi, lepton["eta"][at], lepton["phi"][at])
        use &= distance > _ELECTRON_OVERLAP**2
    pt, eta, phi = pt[use], eta[use], phi[use]
    probability = np.where(np.abs(eta) < 2.5, MISTAG, 0.0)
    charge = rng.choice((-1, 1), len(pt))
    for k in np.flatnonzero(tau["event"] == event):
        if abs(tau["eta"][k]) > 2.5 or len(pt) == 0:
            continue
        distance = deltar2(eta, phi, tau["eta"][k], tau["phi"][k])
        nearest = int(distance.argmin())
        if distance[nearest] < _MATCH**2:
            probability[nearest] = tau_efficiency(tau["one_prong"][k])
            charge[nearest] = tau["charge"][k]
    tagged = np.flatnonzero(rng.random(len(pt)) < probability)
    if len(tagged) != 1 or charge[tagged[0]] != -lepton["charge"][at]:
        return None
    chosen = tagged[0]
    others = np.zeros((3, _MAXIMUM_JETS))
    rest = np.delete(np.stack([pt, eta, phi]), chosen, axis=1)[:, :_MAXIMUM_JETS]
    others[:, : rest.shape[1]] = rest
    return (
        np.array([lepton["pt"][at], lepton["eta"][at], lepton["phi"][at]]),
        np.array([pt[chosen], eta[chosen], phi[chosen]]),
        others,
    )
