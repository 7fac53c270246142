"""Calorimeter towers: stable particles, collected and smeared.

Tower sizes, resolutions and thresholds follow the Delphes description of ATLAS (J. de Favereau et
al., JHEP 02 (2014) 057, and its card). Energies are in GeV, angles in radians.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from HiggsML.generator.detector import resolution_em, wrap

__all__ = ["Towers", "calorimeter"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_EM_MINIMUM, _HAD_MINIMUM = 0.5, 1.0
# Radius [m] x field [T] x 0.3 / 2: transverse momentum [GeV] below which a track never arrives.
_BEND = 0.3 * 2.0 * 1.15 / 2.0

_FINE = np.concatenate(([-3.2], np.arange(-25, 27) / 10.0, [3.3]))
_COARSE = np.array([3.5, 3.7, 3.9, 4.1, 4.3, 4.5, 4.7, 4.9])
_ETA_EDGES = np.concatenate((-_COARSE[::-1], [-3.3], _FINE[1:-1], [3.3], _COARSE))
_ETA_MIDDLE = 0.5 * (_ETA_EDGES[1:] + _ETA_EDGES[:-1])
_ETA_WIDTH = np.diff(_ETA_EDGES)
_PHI_STEPS = np.where(np.abs(_ETA_MIDDLE) < 3.3, 36, 18)


def _log_normal(mean: Floats, sigma: Floats, rng: np.random.Generator) -> Floats:
    """Draw from the log-normal law with this mean and standard deviation [GeV]; 0 stays 0."""
    safe = np.maximum(mean, 1e-9)
    b = np.sqrt(np.log1p((sigma / safe) ** 2))
    a = np.log(safe) - 0.5 * b * b
    return np.where(mean > 0.0, np.exp(a + b * rng.standard_normal(mean.shape)), 0.0)


def _resolution_had(energy: Floats, abs_eta: Floats) -> Floats:
    """Energy resolution [GeV] of the hadronic calorimeter."""
    barrel = np.sqrt((0.0302 * energy) ** 2 + energy * 0.5205**2 + 1.59**2)
    endcap = np.sqrt((0.0500 * energy) ** 2 + energy * 0.706**2)
    forward = np.sqrt((0.09420 * energy) ** 2 + energy)
    return np.where(abs_eta <= 1.7, barrel, np.where(abs_eta <= 3.2, endcap, forward))


@dataclass(frozen=True)
class Towers:
    """Calorimeter towers of many events, sorted by event.

    ``event`` is the event index, ``pt`` the measured and ``true_pt`` the deposited transverse
    momentum [GeV] of each tower at ``eta``, ``phi``.
    """

    event: Integers
    eta: Floats
    phi: Floats
    pt: Floats
    true_pt: Floats


def _fractions(pdg: Integers) -> tuple[Floats, Floats]:
    """Electromagnetic and hadronic share of the energy that a particle leaves."""
    a = np.abs(pdg)
    em = np.isin(a, (11, 22, 111)).astype(np.float64)
    em[np.isin(a, (310, 3122))] = 0.3
    had = 1.0 - em
    had[np.isin(a, (12, 13, 14, 15, 16))] = 0.0
    return em, had


def calorimeter(
    event: Integers, pdg: Integers, momentum: Floats, charge: Floats, *, rng: np.random.Generator
) -> Towers:
    """Collect particles into towers and smear them.

    Parameters
    ----------
    event, pdg, charge : arrays of shape (n,)
        Event index, particle code and charge of each stable particle.
    momentum : array of shape (4, n)
        px, py, pz, E in GeV.
    rng : numpy.random.Generator

    """
    px, py, pz, energy = momentum
    pt = np.hypot(px, py)
    eta = np.arcsinh(pz / np.maximum(pt, 1e-9))
    # A charged particle bends on its way; below the limit it curls up and is not seen.
    turn = np.where(charge != 0.0, _BEND / np.maximum(pt, 1e-9), 0.0)
    keep = (turn < 1.0) & (np.abs(eta) < 4.9)
    phi = np.arctan2(py, px) - np.sign(charge) * np.arcsin(np.clip(turn, 0.0, 1.0))
    event, pdg, eta, phi, energy = event[keep], pdg[keep], eta[keep], wrap(phi[keep]), energy[keep]

    ring = np.clip(np.digitize(eta, _ETA_EDGES) - 1, 0, len(_ETA_MIDDLE) - 1)
    steps = _PHI_STEPS[ring]
    cell = np.clip(((phi + np.pi) / (2.0 * np.pi) * steps).astype(np.int64), 0, steps - 1)
    key = (event * len(_ETA_MIDDLE) + ring) * 36 + cell
    tower, where = np.unique(key, return_inverse=True)
    em, had = (
        np.bincount(where, energy * share, len(tower)).astype(np.float64)
        for share in _fractions(pdg)
    )

    cell, rest = tower % 36, tower // 36
    ring, which = rest % len(_ETA_MIDDLE), rest // len(_ETA_MIDDLE)
    steps = _PHI_STEPS[ring]
    middle = _ETA_MIDDLE[ring]
    a = np.abs(middle)
    em_seen = _log_normal(em, resolution_em(em, a), rng)
    had_seen = _log_normal(had, _resolution_had(had, a), rng)
    # The thresholds ask for the significance of what was measured.
    em_seen[(em_seen < _EM_MINIMUM) | (em_seen < resolution_em(em_seen, a))] = 0.0
    had_seen[(had_seen < _HAD_MINIMUM) | (had_seen < _resolution_had(had_seen, a))] = 0.0
    seen = em_seen + had_seen
    keep = seen > 0.0
    n = int(keep.sum())
    eta_out = middle[keep] + _ETA_WIDTH[ring][keep] * (rng.random(n) - 0.5)
    phi_out = (cell[keep] + rng.random(n)) / steps[keep] * 2.0 * np.pi - np.pi
    flat = 1.0 / np.cosh(eta_out)
    return Towers(which[keep], eta_out, phi_out, seen[keep] * flat, (em + had)[keep] * flat)
