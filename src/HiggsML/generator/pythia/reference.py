"""Reference engine: whole Pythia 8 events through the parametrized detector. Slow, an oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from HiggsML.generator.detector import (
    CONE_ISOLATION,
    identification_efficiency,
    isolation_limit,
    lepton_pt_resolution,
    tag_probability,
)
from HiggsML.generator.pythia.calorimeter import Objects, Response, detect
from HiggsML.generator.pythia.event_record import Particles, charge_sign, flatten, pythia
from HiggsML.generator.pythia.jets import (
    Jets,
    anti_kt,
    cone_sum,
    contain,
    count_tracks,
    hadronic_taus,
    isolated_photons,
)
from HiggsML.generator.table import JET_MINIMUM, table_rows

__all__ = ["reference_events"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_BATCH = 200
# The official selection needs one tau of each kind: don't make the others.
_ONE_OF_EACH = ("15:onMode = off", "15:onPosIfAny = 11 13", "15:onNegIfAny = 111 130 211 310 321")
_IDENTIFIED, _VETO, _LEPTON_MINIMUM = 10.0, 15.0, 20.0
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


def _select(particles: Particles, rng: np.random.Generator) -> NDArray[np.float32]:
    """Detect a batch of events and apply the official selection."""
    n = particles.n_events
    pdg, p4 = particles.pdg, particles.momentum
    seen = particles.inside & ~np.isin(np.abs(pdg), (12, 14, 16))
    final = np.flatnonzero((particles.status > 0) & seen)
    response = detect(
        particles.event[final], pdg[final], p4[:, final], charge_sign(pdg[final]), rng=rng
    )
    jets = anti_kt(response.towers, n, minimum_pt=JET_MINIMUM)
    lepton, kind, source = _leptons(pdg[final], p4[:, final], response, rng)
    # A jet that holds an identified, isolated photon, electron or muon is none.
    towers = response.towers
    holders = np.isin(towers.source, source) & ~towers.photon
    holders[isolated_photons(response, rng)] = True
    jet = np.ones(len(jets.pt), dtype=bool)
    jet[jets.of_tower[holders & (jets.of_tower >= 0)]] = False
    tagged, charge = _tags(jets, response, hadronic_taus(particles), rng)
    tagged &= jet

    met = np.zeros((2, n))
    for axis, trigonometric in enumerate((np.cos, np.sin)):
        part = towers.pt * trigonometric(towers.phi)
        met[axis] -= np.bincount(towers.event, part, minlength=n)
    hard = np.flatnonzero(lepton.pt > _VETO)
    chosen, tau = _only(lepton.event[hard], n), _only(jets.event[tagged], n)
    events = np.flatnonzero((chosen >= 0) & (tau >= 0))
    chosen, tau = hard[chosen[events]], np.flatnonzero(tagged)[tau[events]]
    good = (lepton.pt[chosen] >= _LEPTON_MINIMUM) & (charge[tau] == -kind[chosen])
    events, chosen, tau = events[good], chosen[good], tau[good]
    jet[tau] = False
    return table_rows(
        tuple(values[chosen].astype(np.float32) for values in (lepton.pt, lepton.eta, lepton.phi)),
        tuple(values[tau].astype(np.float32) for values in (jets.pt, jets.eta, jets.phi)),
        _blocks(jets, jet, events, n),
        tuple(met[:, events].astype(np.float32)),
        rng,
    )


def _only(event: Integers, n: int) -> Integers:
    """Position of the only entry of each event; -1 where there is none or more than one."""
    position = np.full(n, -1)
    position[event] = np.arange(len(event))
    return np.where(np.bincount(event, minlength=n) == 1, position, -1)


def _blocks(jets: Jets, jet: NDArray[np.bool_], events: Integers, n: int) -> tuple[Any, Any, Any]:
    """Return pt, eta and phi of the jets of some events, each (events, 12), zero where none is."""
    index = np.flatnonzero(jet)
    event = jets.event[index]
    rank = np.arange(len(event)) - np.searchsorted(event, event)
    index, event, rank = (values[rank < _MAXIMUM_JETS] for values in (index, event, rank))
    out = []
    for values in (jets.pt, jets.eta, jets.phi):
        block = np.zeros((n, _MAXIMUM_JETS), dtype=np.float32)
        block[event, rank] = values[index]
        out.append(block[events])
    return out[0], out[1], out[2]


def _leptons(
    pdg: Integers, p4: Floats, response: Response, rng: np.random.Generator
) -> tuple[Objects, Floats, Integers]:
    """Identified, isolated electrons and muons above 10 GeV, their charges and particles."""
    number = response.track_source
    lepton = np.flatnonzero(np.isin(np.abs(pdg[number]), (11, 13)))
    source = number[lepton]
    true = Objects.of(response.tracks.event[lepton], p4[:, source])
    pt, eta = true.pt, true.eta
    muon = np.abs(pdg[source]) == 13
    smeared = pt * (1.0 + lepton_pt_resolution(pt, eta, muon) * rng.standard_normal(len(pt)))
    measured = np.where(muon, response.tracks.pt[lepton], smeared)
    reconstructed = true._replace(pt=measured)
    around = cone_sum(reconstructed, response.flow, CONE_ISOLATION)
    good = (measured > _IDENTIFIED) & (around < isolation_limit(measured, muon))
    good &= rng.random(len(pt)) < identification_efficiency(eta)
    index = np.flatnonzero(good)
    index = index[np.argsort(reconstructed.event[index], kind="stable")]
    return reconstructed.take(index), response.track_charge[lepton[index]], source[index]


def _tags(
    jets: Jets, response: Response, taus: Objects, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], Integers]:
    """Tell which jets are tagged as a tau, and the charge of their tracks."""
    number, charge = count_tracks(jets.event, jets.eta, jets.phi, response)
    chance = tag_probability(number, contain(jets, taus))
    return rng.random(len(jets.pt)) < chance, charge
