"""The detector's response to stable particles: tracks, calorimeter towers, energy flow.

Everything follows the Delphes card of ATLAS that the official events were made with (J. de
Favereau et al., JHEP 02 (2014) 057; the card is in the repository FAIR-Universe/genHEPdata): a
fine electromagnetic and a coarse hadronic calorimeter, each with thresholds of its own, and muons
that count as towers. Energies are in GeV, angles in radians.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from HiggsML.generator.detector import (
    EM_MINIMUM,
    HAD_MINIMUM,
    SIGNIFICANCE,
    electron_track_resolution,
    hadron_track_efficiency,
    muon_resolution,
    propagate,
    resolution_em,
    resolution_had,
    track_efficiency,
)

__all__ = ["Objects", "Response", "Towers", "detect"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

_GHOST = 1e-9
_EFLOW_MINIMUM = 0.5


class _Grid:
    """Cells in eta and phi; the number of cells in phi may differ from ring to ring."""

    def __init__(self, edges: Floats, steps: Integers) -> None:
        self.edges, self.steps = edges, steps
        self.middle, self.width = 0.5 * (edges[1:] + edges[:-1]), np.diff(edges)
        self.most = int(steps.max())

    def cells(self, eta: Floats, phi: Floats) -> tuple[Integers, Booleans]:
        """Return the number of each point's cell, and which points lie on the grid."""
        ring = np.searchsorted(self.edges, eta, side="left") - 1
        inside = (ring >= 0) & (ring < len(self.middle))
        ring = np.clip(ring, 0, len(self.middle) - 1)
        steps = self.steps[ring]
        slot = np.clip(((phi + np.pi) / (2.0 * np.pi) * steps).astype(np.int64), 0, steps - 1)
        return ring * self.most + slot, inside

    @property
    def size(self) -> int:
        """Number of cell numbers."""
        return len(self.middle) * self.most


def _ecal() -> _Grid:
    """Cells of 0.0174 x 1 degree up to 2.958, of 0.175 x 10 degrees up to 5."""
    fine = np.arange(-170, 171) * 0.0174
    outer = np.array([3.125, 3.3, 3.475, 3.65, 3.825, 4.0, 4.175, 4.35, 4.525, 4.7, 5.0])
    edges = np.concatenate((-outer[::-1], fine, outer))
    steps = np.where(np.abs(0.5 * (edges[1:] + edges[:-1])) < 2.958, 360, 36)
    return _Grid(edges, steps)


def _hcal() -> _Grid:
    """Cells of 0.1 x 10 degrees up to 2.5, about 0.2 x 20 degrees up to 4.9."""
    edges = np.concatenate(
        (
            [-4.9, -4.7, -4.5, -4.3, -4.1, -3.9, -3.7, -3.5, -3.3, -3.2, -3.0, -2.8, -2.6],
            np.arange(-25, 27) / 10.0,
            [2.8, 3.0, 3.2, 3.3, 3.5, 3.7, 3.9, 4.1, 4.3, 4.5, 4.7, 4.9],
        )
    )
    middle = np.abs(0.5 * (edges[1:] + edges[:-1]))
    steps = np.where((middle < 2.6) | ((middle > 3.2) & (middle < 3.3)), 36, 18)
    return _Grid(edges, steps)


_ECAL, _HCAL = _ecal(), _hcal()


class Objects(NamedTuple):
    """Anything with a direction, of many events: event index, eta, phi and pt [GeV]."""

    event: Integers
    eta: Floats
    phi: Floats
    pt: Floats

    def take(self, index: Any) -> Objects:
        """Select some of them."""
        return Objects(*(values[index] for values in self))

    @classmethod
    def of(cls, event: Integers, momentum: Floats) -> Objects:
        """Directions of momenta with the rows px, py, pz."""
        px, py, pz = momentum[:3]
        pt = np.maximum(np.hypot(px, py), 1e-9)
        return cls(event, np.arcsinh(pz / pt), np.arctan2(py, px), pt)

    @classmethod
    def join(cls, parts: list[Objects]) -> Objects:
        """Put several lists one after the other."""
        return cls(*(np.concatenate(values) for values in zip(*parts, strict=True)))


@dataclass(frozen=True)
class Towers:
    """Towers and muons, sorted by event: the input of the jet finder.

    ``pt`` is the measured and ``true_pt`` the deposited transverse momentum [GeV]. Towers that
    fail a threshold stay, with a ``pt`` next to nothing, so that a jet knows what it lost.
    ``photon`` tells electromagnetic towers without an electron; ``source`` is the index of the
    only or most energetic particle.
    """

    event: Integers
    eta: Floats
    phi: Floats
    pt: Floats
    true_pt: Floats
    source: Integers
    photon: Booleans


@dataclass(frozen=True)
class Response:
    """What the detector makes of the particles.

    ``tracks`` (any charged particle, with ``track_charge`` and index ``track_source`` of the
    particle) and ``flow`` (the objects that isolation counts: tracks of hadrons, photons and
    neutral hadrons above 0.5 GeV; ``flow_tower`` is the tower of a photon, else -1).
    """

    towers: Towers
    tracks: Objects
    track_charge: Floats
    track_source: Integers
    flow: Objects
    flow_tower: Integers


def _log_normal(mean: Floats, sigma: Floats, rng: np.random.Generator) -> Floats:
    """Draw from the log-normal law with this mean and standard deviation; 0 stays 0."""
    safe = np.maximum(mean, 1e-9)
    b = np.sqrt(np.log1p((sigma / safe) ** 2))
    drawn = np.exp(np.log(safe) - 0.5 * b * b + b * rng.standard_normal(mean.shape))
    return np.where(mean > 0.0, drawn, 0.0)


class _Layer(NamedTuple):
    """One calorimeter's cells with energy: index arrays and energies [GeV] per cell."""

    event: Integers
    eta: Floats
    phi: Floats
    true: Floats
    seen: Floats
    sigma: Floats
    source: Integers
    cell_of: Integers


def _layer(
    grid: _Grid,
    resolution: Any,
    minimum: float,
    deposits: tuple[Integers, Floats, Floats, Floats],
    rng: np.random.Generator,
) -> _Layer:
    """Collect (event, eta, phi, energy) into cells and measure them."""
    event, eta, phi, energy = deposits
    number, inside = grid.cells(eta, phi)
    index = np.flatnonzero(inside & (energy > 0.0))
    key, where = np.unique(event[index] * grid.size + number[index], return_inverse=True)
    cell_of = np.full(len(event), -1, dtype=np.int64)
    cell_of[index] = where
    true = np.bincount(where, energy[index], len(key)).astype(np.float64)
    by_energy = index[np.argsort(energy[index], kind="stable")]
    source = np.full(len(key), -1, dtype=np.int64)
    source[cell_of[by_energy]] = by_energy
    ring, slot = np.divmod(key % grid.size, grid.most)
    middle = np.abs(grid.middle[ring])
    seen = _log_normal(true, resolution(true, middle), rng)
    sigma = resolution(seen, middle)
    seen[(seen < minimum) | (seen < SIGNIFICANCE * sigma)] = 0.0
    n = len(key)
    eta_out = grid.middle[ring] + grid.width[ring] * (rng.random(n) - 0.5)
    phi_out = (slot + rng.random(n)) / grid.steps[ring] * 2.0 * np.pi - np.pi
    return _Layer(key // grid.size, eta_out, phi_out, true, seen, sigma, source, cell_of)


def _fractions(pdg: Integers) -> tuple[Floats, Floats]:
    """Electromagnetic and hadronic share of the energy that a particle leaves."""
    a = np.abs(pdg)
    em = np.isin(a, (11, 22, 111)).astype(np.float64)
    em[np.isin(a, (310, 3122))] = 0.3
    had = 1.0 - em
    had[np.isin(a, (12, 13, 14, 15, 16))] = 0.0
    return em, had


def detect(
    event: Integers, pdg: Integers, momentum: Floats, charge: Floats, *, rng: np.random.Generator
) -> Response:
    """Let the detector respond to stable particles.

    Parameters
    ----------
    event, pdg, charge : arrays of shape (n,)
        Event index, particle code and charge of each stable particle.
    momentum : array of shape (4, n)
        px, py, pz, E in GeV.
    rng : numpy.random.Generator

    """
    px, py, pz, energy = momentum
    pt = np.maximum(np.hypot(px, py), 1e-9)
    eta, phi = np.arcsinh(pz / pt), np.arctan2(py, px)
    kind = np.abs(pdg)
    at_eta, at_phi = propagate(pt, eta, phi, charge)
    em, had = _fractions(pdg)
    ecal = _layer(_ECAL, resolution_em, EM_MINIMUM, (event, at_eta, at_phi, energy * em), rng)
    hcal = _layer(_HCAL, resolution_had, HAD_MINIMUM, (event, at_eta, at_phi, energy * had), rng)

    electron, muon = kind == 11, kind == 13
    chance = np.where(electron | muon, track_efficiency(pt, eta, muon), 0.0)
    chance = np.where(electron | muon, chance, hadron_track_efficiency(pt, eta))
    tracked = np.flatnonzero((charge != 0.0) & (rng.random(len(pt)) < chance))
    resolution = np.where(
        muon[tracked],
        muon_resolution(pt[tracked], eta[tracked]),
        electron_track_resolution(pt[tracked], eta[tracked], hadron=~electron[tracked]),
    )
    track_pt = _log_normal(pt[tracked], resolution * pt[tracked], rng)
    tracks = Objects(event[tracked], eta[tracked], phi[tracked], track_pt)
    track_energy = track_pt / pt[tracked] * energy[tracked]

    muons = muon[tracked]
    towers = _towers(ecal, hcal, kind, tracks.take(muons), tracked[muons], pt)
    flow, flow_tower = _energy_flow(
        ecal, hcal, tracks, (tracked, track_energy, resolution * track_energy), kind
    )
    position = np.empty(len(towers[1]), dtype=np.int64)
    position[towers[1]] = np.arange(len(towers[1]))
    flow_tower = np.where(flow_tower >= 0, position[flow_tower], -1)
    return Response(towers[0], tracks, charge[tracked], tracked, flow, flow_tower)


def _towers(
    ecal: _Layer, hcal: _Layer, kind: Integers, muons: Objects, muon_source: Integers, pt: Floats
) -> tuple[Towers, Integers]:
    """Put both calorimeters and the muons together, sorted by event; also return the order."""
    flat = [1.0 / np.cosh(layer.eta) for layer in (ecal, hcal)]
    event = np.concatenate((ecal.event, hcal.event, muons.event))
    seen = np.concatenate((ecal.seen * flat[0], hcal.seen * flat[1], muons.pt))
    photon = np.zeros(len(event), dtype=bool)
    photon[: len(ecal.event)] = kind[ecal.source] != 11
    order = np.argsort(event, kind="stable")
    towers = Towers(
        event[order],
        np.concatenate((ecal.eta, hcal.eta, muons.eta))[order],
        np.concatenate((ecal.phi, hcal.phi, muons.phi))[order],
        np.maximum(seen, _GHOST)[order],
        np.concatenate((ecal.true * flat[0], hcal.true * flat[1], pt[muon_source]))[order],
        np.concatenate((ecal.source, hcal.source, muon_source))[order],
        photon[order],
    )
    return towers, order


def _energy_flow(
    ecal: _Layer,
    hcal: _Layer,
    tracks: Objects,
    track: tuple[Integers, Floats, Floats],
    kind: Integers,
) -> tuple[Objects, Integers]:
    """Return tracks of hadrons, photons and neutral hadrons, and which tower a photon is."""
    source, energy, sigma = track
    hadron = ~np.isin(kind[source], (11, 13))
    parts = [tracks.take(hadron)]
    numbers = [np.full(int(hadron.sum()), -1)]
    for layer, mine in ((ecal, kind[source] == 11), (hcal, hadron)):
        cell = layer.cell_of[source[mine]]
        on = cell >= 0
        charged = np.bincount(cell[on], energy[mine][on], len(layer.true))
        spread = np.bincount(cell[on], sigma[mine][on] ** 2, len(layer.true))
        excess = np.maximum(layer.seen - charged, 0.0)
        significant = excess > SIGNIFICANCE * np.sqrt(spread + layer.sigma**2)
        minimum = EM_MINIMUM if layer is ecal else HAD_MINIMUM
        index = np.flatnonzero((excess > minimum) & significant)
        pt = excess[index] / np.cosh(layer.eta[index])
        parts.append(Objects(layer.event[index], layer.eta[index], layer.phi[index], pt))
        numbers.append(index if layer is ecal else np.full(len(index), -1))
    flow, number = Objects.join(parts), np.concatenate(numbers)
    keep = np.flatnonzero(flow.pt > _EFLOW_MINIMUM)
    keep = keep[np.argsort(flow.event[keep], kind="stable")]
    return flow.take(keep), number[keep]
