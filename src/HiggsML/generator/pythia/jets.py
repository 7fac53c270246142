"""Anti-kt jets of many events at once: what their towers really received, tracks, tau tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from HiggsML.generator.detector import (
    CONE_ISOLATION,
    CONE_JET,
    CONE_TAU,
    PHOTON_ISOLATION,
    PHOTON_MINIMUM,
    deltar2,
    identification_efficiency,
)
from HiggsML.generator.pythia.calorimeter import Objects, Response, Towers
from HiggsML.generator.pythia.event_record import Particles

__all__ = [
    "Jets",
    "anti_kt",
    "cone_sum",
    "contain",
    "count_tracks",
    "hadronic_taus",
    "isolated_photons",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

_TRACK_MINIMUM = 1.0


@dataclass(frozen=True)
class Jets:
    """Jets of many events: sorted by event, then by falling raw ``pt`` [GeV].

    ``true_pt`` is the transverse momentum that the particles left in the jet's towers;
    ``of_tower`` is the jet of each tower, -1 where there is none.
    """

    event: Integers
    pt: Floats
    eta: Floats
    phi: Floats
    true_pt: Floats
    of_tower: Integers


def anti_kt(towers: Towers, n_events: int, *, minimum_pt: float = 8.0) -> Jets:
    """Cluster towers into anti-kt jets with R = 0.6 and keep those above ``minimum_pt`` [GeV]."""
    import awkward as ak
    import fastjet

    px, py = towers.pt * np.cos(towers.phi), towers.pt * np.sin(towers.phi)
    pz, energy = towers.pt * np.sinh(towers.eta), towers.pt * np.cosh(towers.eta)
    counts = np.bincount(towers.event, minlength=n_events)
    start = np.concatenate(([0], np.cumsum(counts)[:-1]))
    content = ak.zip({"px": px, "py": py, "pz": pz, "E": energy}, with_name="Momentum4D")
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, CONE_JET)
    sequence = fastjet.ClusterSequence(ak.unflatten(content, counts), definition)
    index = sequence.constituent_index(minimum_pt)
    event = np.repeat(np.arange(n_events), ak.to_numpy(ak.num(index, axis=1)))
    sizes = ak.to_numpy(ak.flatten(ak.num(index, axis=2), axis=None)).astype(np.int64)
    local = ak.to_numpy(ak.flatten(index, axis=None)).astype(np.int64)
    jet = np.repeat(np.arange(len(sizes)), sizes)
    tower = local + start[event[jet]]
    n = len(sizes)
    x, y = np.bincount(jet, px[tower], n), np.bincount(jet, py[tower], n)
    z = np.bincount(jet, pz[tower], n)
    pt, phi = np.hypot(x, y), np.arctan2(y, x)
    # Project what was deposited on the jet's axis, so that both values share one direction.
    along = towers.true_pt[tower] * np.cos(towers.phi[tower] - phi[jet])
    true_pt = np.bincount(jet, along, n).astype(np.float64)
    order = np.lexsort((-pt, event))
    rank = np.empty(n, dtype=np.int64)
    rank[order] = np.arange(n)
    of_tower = np.full(len(towers.pt), -1, dtype=np.int64)
    of_tower[tower] = rank[jet]
    eta = np.arcsinh(z / np.maximum(pt, 1e-9))
    return Jets(event[order], pt[order], eta[order], phi[order], true_pt[order], of_tower)


def _pairs(first: Integers, second: Integers) -> tuple[Integers, Integers]:
    """Indices of all pairs with equal event numbers; ``second`` is sorted."""
    low, high = np.searchsorted(second, first), np.searchsorted(second, first, side="right")
    number = high - low
    one = np.repeat(np.arange(len(first)), number)
    start = np.cumsum(number) - number
    return one, np.arange(len(one)) - start[one] + low[one]


def count_tracks(
    event: Integers, eta: Floats, phi: Floats, response: Response
) -> tuple[Integers, Integers]:
    """Number and total charge of the tracks above 1 GeV within 0.2 of directions."""
    one, two = _pairs(event, response.tracks.event)
    tracks = response.tracks
    near = tracks.pt[two] > _TRACK_MINIMUM
    near &= deltar2(eta[one], phi[one], tracks.eta[two], tracks.phi[two]) <= CONE_TAU**2
    number = np.bincount(one[near], minlength=len(event))
    total = np.bincount(one[near], response.track_charge[two[near]], minlength=len(event))
    return number, np.rint(total).astype(np.int64)


def cone_sum(
    center: Objects, parts: Objects, radius: float, *, own: Integers | None = None
) -> Floats:
    """Transverse momentum of ``parts`` (sorted by event) within ``radius`` of each center.

    ``own`` is the part that each center is itself; it does not count.
    """
    one, two = _pairs(center.event, parts.event)
    near = deltar2(center.eta[one], center.phi[one], parts.eta[two], parts.phi[two]) < radius**2
    if own is not None:
        near &= own[one] != two
    total = np.bincount(one[near], parts.pt[two[near]], minlength=len(center.pt))
    return total.astype(np.float64)


def isolated_photons(response: Response, rng: np.random.Generator) -> Integers:
    """Towers that are identified, isolated photons: the jets that hold them are discarded."""
    flow = response.flow
    index = np.flatnonzero((response.flow_tower >= 0) & (flow.pt > PHOTON_MINIMUM))
    index = index[rng.random(len(index)) < identification_efficiency(flow.eta[index])]
    around = cone_sum(flow.take(index), flow, CONE_ISOLATION, own=index)
    return response.flow_tower[index[around < PHOTON_ISOLATION * flow.pt[index]]]


def hadronic_taus(particles: Particles, of_interest: Any = True) -> Objects:
    """What is visible of the taus of any origin that decay into hadrons, if it may be tagged."""
    kind, mother = np.abs(particles.pdg), particles.mother
    of_tau = of_interest & (kind[mother] == 15) & (kind != 15)
    neutrino = np.flatnonzero(of_tau & (kind == 16))
    leptonic = np.zeros(len(kind), dtype=bool)
    leptonic[mother[of_tau & np.isin(kind, (12, 14))]] = True
    neutrino = neutrino[~leptonic[mother[neutrino]]]
    tau = mother[neutrino]
    visible = particles.momentum[:, tau] - particles.momentum[:, neutrino]
    whole = Objects.of(particles.event[tau], particles.momentum[:, tau])
    seen = Objects.of(particles.event[tau], visible)
    index = np.flatnonzero((whole.pt > 1.0) & (np.abs(whole.eta) < 2.5))
    return seen.take(index[np.argsort(seen.event[index], kind="stable")])


def contain(jets: Jets, taus: Objects) -> Booleans:
    """Tell which jets have a tau within 0.2 of their axis."""
    one, two = _pairs(jets.event, taus.event)
    near = deltar2(jets.eta[one], jets.phi[one], taus.eta[two], taus.phi[two]) <= CONE_TAU**2
    return np.bincount(one[near], minlength=len(jets.pt)) > 0
