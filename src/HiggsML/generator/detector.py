"""What all engines know of the detector: cones, efficiencies, resolutions, angles.

Numbers follow the Delphes description of ATLAS (J. de Favereau et al., JHEP 02 (2014) 057, and its
card). Energies are in GeV, angles in radians.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CONE_ISOLATION",
    "CONE_JET",
    "TRACKER_ETA",
    "deltar2",
    "isolation_limit",
    "lepton_efficiency",
    "lepton_pt_resolution",
    "resolution_em",
    "tau_efficiency",
    "wrap",
]

Booleans = NDArray[np.bool_]

TRACKER_ETA = 2.5
CONE_JET = 0.6
CONE_ISOLATION = 0.5


def wrap(phi: NDArray[Any]) -> NDArray[Any]:
    """Bring angles into -pi .. pi; ``rint`` is several times faster than a modulo."""
    turns = np.rint(phi * np.float32(0.5 / np.pi))
    return np.asarray(phi - turns.astype(phi.dtype) * phi.dtype.type(2.0 * np.pi))


def deltar2(eta1: Any, phi1: Any, eta2: Any, phi2: Any) -> NDArray[Any]:
    """Squared distance in (eta, phi)."""
    return np.asarray((eta1 - eta2) ** 2 + wrap(np.asarray(phi1 - phi2)) ** 2)


def resolution_em(energy: NDArray[Any], abs_eta: NDArray[Any]) -> NDArray[Any]:
    """Energy resolution [GeV] of the electromagnetic calorimeter."""
    central = np.sqrt((0.0017 * energy) ** 2 + energy * 0.101**2)
    forward = np.sqrt((0.0350 * energy) ** 2 + energy * 0.285**2)
    return np.where(abs_eta <= 3.2, central, np.where(abs_eta <= 4.9, forward, 0.0))


def lepton_efficiency(eta: NDArray[Any]) -> NDArray[Any]:
    """Identification efficiency of electrons and muons: 0.95 centrally, 0.85 to the tracker's end.

    The card identifies muons up to 2.7, but without a track there is none.
    """
    a = np.abs(eta)
    outer = np.where(a < TRACKER_ETA, 0.85, 0.0)
    return np.where(a < 1.5, 0.95, outer)


def isolation_limit(pt: NDArray[Any], muon: Booleans) -> NDArray[Any]:
    """Transverse momentum [GeV] that a lepton of measured ``pt`` may have around it."""
    return np.asarray(np.where(muon, 0.25, 0.12) * pt)


def tau_efficiency(one_prong: Booleans) -> NDArray[Any]:
    """Probability to tag a hadronic tau."""
    return np.where(one_prong, 0.70, 0.60)


def lepton_pt_resolution(pt: NDArray[Any], eta: NDArray[Any], muon: Booleans) -> NDArray[Any]:
    """Relative resolution of a lepton's transverse momentum: tracker (muon) or calorimeter."""
    a = np.abs(eta)
    region = (a > 0.5).astype(np.int8) + (a > 1.5)
    constant = np.array([0.01, 0.015, 0.025], dtype=np.float32)[region]
    slope = np.array([1.0e-4, 1.5e-4, 3.5e-4], dtype=np.float32)[region]
    track = np.sqrt(constant**2 + (slope * pt) ** 2)
    energy = pt * np.cosh(np.minimum(a, 5.0))
    calorimetric = resolution_em(energy, a) / np.maximum(energy, 1e-6)
    return np.asarray(np.where(muon, track, calorimetric))
