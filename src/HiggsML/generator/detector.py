"""What all engines know of the detector: cones, efficiencies, resolutions, thresholds, angles.

Numbers are those of the Delphes card of ATLAS that the official events were made with (J. de
Favereau et al., JHEP 02 (2014) 057; repository FAIR-Universe/genHEPdata). Energies are in GeV,
lengths in meters, angles in radians.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CALORIMETER_ETA",
    "CONE_ISOLATION",
    "CONE_JET",
    "CONE_TAU",
    "EM_MINIMUM",
    "HAD_MINIMUM",
    "PHOTON_ISOLATION",
    "PHOTON_MINIMUM",
    "SIGNIFICANCE",
    "TRACKER_ETA",
    "deltar2",
    "electron_track_resolution",
    "hadron_track_efficiency",
    "identification_efficiency",
    "is_inside",
    "isolation_limit",
    "lepton_efficiency",
    "lepton_pt_resolution",
    "muon_resolution",
    "own_photon",
    "propagate",
    "resolution_em",
    "resolution_had",
    "tag_probability",
    "track_efficiency",
    "wrap",
]

Booleans = NDArray[np.bool_]

TRACKER_ETA, CALORIMETER_ETA = 2.5, 5.0
CONE_JET = 0.6
CONE_ISOLATION = 0.5
CONE_TAU = 0.2
"""Radius about a jet's axis in which tracks are counted and a tau is looked for."""

EM_MINIMUM, HAD_MINIMUM = 0.5, 1.0
"""Least energy [GeV] of an electromagnetic and a hadronic tower."""

SIGNIFICANCE = 2.0
"""Least energy of a tower in units of its resolution."""

PHOTON_MINIMUM, PHOTON_ISOLATION = 10.0, 0.12
"""Least pt [GeV] of a photon, and the share of it that may surround the photon: a jet that holds
such an isolated photon is no jet."""

_RADIUS, _HALF_LENGTH, _FIELD = 1.15, 3.51, 2.0


def wrap(phi: NDArray[Any]) -> NDArray[Any]:
    """Bring angles into -pi .. pi; ``rint`` is several times faster than a modulo."""
    turns = np.rint(phi * np.float32(0.5 / np.pi))
    return np.asarray(phi - turns.astype(phi.dtype) * phi.dtype.type(2.0 * np.pi))


def deltar2(eta1: Any, phi1: Any, eta2: Any, phi2: Any) -> NDArray[Any]:
    """Squared distance in (eta, phi)."""
    return np.asarray((eta1 - eta2) ** 2 + wrap(np.asarray(phi1 - phi2)) ** 2)


def is_inside(position: NDArray[Any]) -> Booleans:
    """Tell which particles start inside the calorimeter; ``position`` (3, n) is x, y, z [mm].

    Delphes drops the others: what a kaon or hyperon decays into behind its surface is lost.
    """
    x, y, z = 1e-3 * position
    return np.asarray((np.hypot(x, y) <= _RADIUS) & (np.abs(z) <= _HALF_LENGTH))


def propagate(
    pt: NDArray[Any], eta: NDArray[Any], phi: NDArray[Any], charge: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Follow particles from the center to the calorimeter's surface; return its eta and phi.

    Charged particles fly on helices in the field of 2 T, to the barrel (radius 1.15 m) or, if they
    are steep or curl up, to an endcap (3.51 m away).
    """
    charged = charge != 0.0
    bend = np.maximum(pt, 1e-3) / (0.3 * _FIELD)
    slope = np.maximum(np.abs(np.sinh(eta)), 1e-6)
    half = np.arcsin(np.minimum(_RADIUS / (2.0 * bend), 1.0))
    reached = (2.0 * bend > _RADIUS) & (2.0 * half * bend * slope < _HALF_LENGTH)
    half = np.where(reached, half, _HALF_LENGTH / (2.0 * bend * slope))
    radius = np.where(reached, _RADIUS, np.maximum(2.0 * bend * np.abs(np.sin(half)), 1e-4))
    z = np.where(reached, 2.0 * half * bend * slope, _HALF_LENGTH)
    at_eta = np.where(charged, np.sign(eta) * np.arcsinh(z / radius), eta)
    # Past half a turn the chord points backwards.
    back = np.where(np.sin(half) < 0.0, np.pi, 0.0)
    at_phi = np.where(charged, phi - np.sign(charge) * half + back, phi)
    return at_eta, wrap(at_phi)


def resolution_em(energy: NDArray[Any], abs_eta: NDArray[Any]) -> NDArray[Any]:
    """Energy resolution [GeV] of the electromagnetic calorimeter."""
    central = np.sqrt((0.0017 * energy) ** 2 + energy * 0.101**2)
    forward = np.sqrt((0.0350 * energy) ** 2 + energy * 0.285**2)
    return np.where(abs_eta <= 3.2, central, np.where(abs_eta <= 4.9, forward, 0.0))


def resolution_had(energy: NDArray[Any], abs_eta: NDArray[Any]) -> NDArray[Any]:
    """Energy resolution [GeV] of the hadronic calorimeter."""
    barrel = np.sqrt((0.0302 * energy) ** 2 + energy * 0.5205**2 + 1.59**2)
    endcap = np.sqrt((0.0500 * energy) ** 2 + energy * 0.706**2)
    forward = np.sqrt((0.09420 * energy) ** 2 + energy)
    return np.where(abs_eta <= 1.7, barrel, np.where(abs_eta <= 3.2, endcap, forward))


def _by_region(eta: NDArray[Any], central: Any, outer: Any) -> NDArray[Any]:
    """One value up to 1.5, another to the tracker's end, then zero."""
    a = np.abs(eta)
    return np.where(a <= 1.5, central, np.where(a <= TRACKER_ETA, outer, 0.0))


def hadron_track_efficiency(pt: NDArray[Any], eta: NDArray[Any]) -> NDArray[Any]:
    """Probability to find the track of a charged hadron."""
    efficiency = _by_region(eta, np.where(pt > 1.0, 0.95, 0.70), np.where(pt > 1.0, 0.85, 0.60))
    return np.where(pt > 0.1, efficiency, 0.0)


def track_efficiency(pt: NDArray[Any], eta: NDArray[Any], muon: Booleans) -> NDArray[Any]:
    """Probability to find the track of an electron or a muon above 1 GeV."""
    central = np.where(muon, 0.99, np.where(pt > 100.0, 0.99, 0.95))
    outer = np.where(muon, 0.98, np.where(pt > 100.0, 0.90, 0.83))
    soft = _by_region(eta, np.where(muon, 0.75, 0.73), np.where(muon, 0.70, 0.50))
    return np.where(pt > 1.0, _by_region(eta, central, outer), np.where(pt > 0.1, soft, 0.0))


def identification_efficiency(eta: NDArray[Any]) -> NDArray[Any]:
    """Probability to identify a track as electron or muon, or a tower as photon."""
    return _by_region(eta, 0.95, 0.85)


def lepton_efficiency(pt: NDArray[Any], eta: NDArray[Any], muon: Booleans) -> NDArray[Any]:
    """Probability to find and identify an electron or a muon above 10 GeV."""
    return np.asarray(track_efficiency(pt, eta, muon) * identification_efficiency(eta))


def isolation_limit(pt: NDArray[Any], muon: Booleans) -> NDArray[Any]:
    """Transverse momentum [GeV] that a lepton of measured ``pt`` may have around it."""
    return np.asarray(np.where(muon, 0.25, 0.12) * pt)


def tag_probability(tracks: NDArray[Any], genuine: Booleans) -> NDArray[Any]:
    """Probability to tag a jet as a tau, from the number of tracks about its axis."""
    one = np.where(genuine, 0.70, 0.02)
    more = np.where(genuine, 0.60, 0.01)
    return np.where(tracks == 1, one, np.where(tracks >= 2, more, 0.0))


def _in_steps(eta: NDArray[Any], values: tuple[float, float, float]) -> NDArray[Any]:
    a = np.abs(eta)
    return np.asarray(np.array(values, dtype=np.float32)[(a > 0.5).astype(np.int8) + (a > 1.5)])


def muon_resolution(pt: NDArray[Any], eta: NDArray[Any]) -> NDArray[Any]:
    """Relative resolution of a muon's transverse momentum."""
    slope = _in_steps(eta, (1.0e-4, 1.5e-4, 3.5e-4))
    constant = _in_steps(eta, (0.01, 0.015, 0.025))
    return np.asarray(np.sqrt(constant**2 + (slope * pt) ** 2))


def electron_track_resolution(
    pt: NDArray[Any], eta: NDArray[Any], *, hadron: Any = False
) -> NDArray[Any]:
    """Relative resolution of the track of an electron, or of a charged hadron."""
    constant = np.where(
        hadron, _in_steps(eta, (0.06, 0.10, 0.25)), _in_steps(eta, (0.03, 0.05, 0.15))
    )
    slope = _in_steps(eta, (1.3e-3, 1.7e-3, 3.1e-3))
    return np.asarray(np.sqrt(constant**2 + (slope * pt) ** 2))


def lepton_pt_resolution(pt: NDArray[Any], eta: NDArray[Any], muon: Booleans) -> NDArray[Any]:
    """Relative resolution of a lepton's pt: track (muon), or track and tower combined."""
    tower, track = _electron_resolutions(pt, eta)
    electron = 1.0 / np.sqrt(tower**-2.0 + track**-2.0)
    return np.asarray(np.where(muon, muon_resolution(pt, eta), electron))


def own_photon(
    pt: NDArray[Any],
    eta: NDArray[Any],
    muon: Booleans,
    radiated: NDArray[Any],
    normal: NDArray[Any],
) -> NDArray[Any]:
    """Transverse momentum [GeV] of the photon that energy flow finds at a lepton's own direction.

    It is what the lepton has ``radiated``, and what an electron's tower has measured more than its
    track, to which standard ``normal`` numbers give the size; less than two resolutions are none.
    """
    tower, track = _electron_resolutions(pt, eta)
    resolution = np.where(muon, 0.0, np.hypot(tower, track) * pt)
    excess = radiated + resolution * normal
    found = (excess > SIGNIFICANCE * resolution) & (excess * np.cosh(eta) > EM_MINIMUM)
    return np.where(found, excess, 0.0)


def _electron_resolutions(pt: NDArray[Any], eta: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Relative resolutions of an electron's tower and track."""
    a = np.abs(eta)
    energy = np.maximum(pt * np.cosh(np.minimum(a, 5.0)), 1e-6)
    tower = np.maximum(resolution_em(energy, a) / energy, 1e-6)
    return tower, electron_track_resolution(pt, eta)
