"""The detector as the fast engine sees it: taus, response of jets, overlaps.

Everything is float32: half the memory traffic of float64, and far more precise than the detector.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from HiggsML.generator.detector import CONE_ISOLATION, CONE_JET, deltar2
from HiggsML.generator.fast.library import Library, response_bin
from HiggsML.generator.fast.tau_decays import TAU_MASS, hadronic_pool

__all__ = ["Visible", "isolation_from_jets", "merge_into_tau", "redraw_response", "visible_tau"]

Floats = NDArray[np.float32]
Booleans = NDArray[np.bool_]

_POSITION_ETA, _POSITION_PHI = np.float32(0.035), np.float32(0.05)


class Visible(NamedTuple):
    """Hadronic taus as the calorimeter sees them: ``pt`` [GeV] without what underlies them."""

    pt: Floats
    eta: Floats
    phi: Floats
    one_prong: Booleans


def _smear(energy: Floats, sigma: Floats, minimum: float, normal: Floats) -> Floats:
    """Log-normal calorimeter response with the tower thresholds."""
    b = np.sqrt(np.log1p((sigma / np.maximum(energy, 1e-3)) ** 2))
    seen = energy * np.exp(b * normal - 0.5 * b * b)
    seen[(seen < minimum) | (seen < sigma)] = 0.0
    return seen


def visible_tau(
    pt: Floats, eta: Floats, phi: Floats, helicity: Floats, rng: np.random.Generator
) -> Visible:
    """Decay taus hadronically and smear the visible part.

    Parameters
    ----------
    pt, eta, phi : arrays
        Of the tau.
    helicity : array
        -1 or +1, as for a negative tau.
    rng : numpy.random.Generator

    """
    pool = hadronic_pool()
    n = len(pt)
    pick = rng.integers(0, len(pool.em_energy), n, dtype=np.int32)
    cosh = np.cosh(eta)
    momentum = pt * cosh
    gamma = np.sqrt(momentum**2 / np.float32(TAU_MASS**2) + 1.0)
    flip = helicity * momentum / np.float32(TAU_MASS)
    em = np.maximum(gamma * pool.em_energy[pick] + flip * pool.em_pz[pick], 0.0)
    had = np.maximum(gamma * pool.had_energy[pick] + flip * pool.had_pz[pick], 0.0)
    barrel = np.abs(eta) < 1.7
    sigma_em = np.sqrt((0.0017 * em) ** 2 + em * np.float32(0.101**2))
    constant = np.where(barrel, np.float32(0.0302**2), np.float32(0.05**2))
    stochastic = np.where(barrel, np.float32(0.5205**2), np.float32(0.706**2))
    noise = np.where(barrel, np.float32(1.59**2), np.float32(0.0))
    sigma_had = np.sqrt(constant * had**2 + stochastic * had + noise)
    normal = rng.standard_normal((4, n), dtype=np.float32)
    seen = _smear(em, sigma_em, 0.5, normal[0]) + _smear(had, sigma_had, 1.0, normal[1])
    # The decay plane is random already; what counts is a small kick off the tau's direction.
    true_pt = np.maximum((em + had) / cosh, 1.0)
    out_eta = eta + pool.px[pick] / true_pt + _POSITION_ETA * normal[2]
    out_phi = phi + pool.py[pick] / true_pt + _POSITION_PHI * normal[3]
    seen_pt: Floats = np.divide(seen, cosh, dtype=np.float32)
    return Visible(seen_pt, out_eta, out_phi, pool.one_prong[pick])


def redraw_response(library: Library, pt: Floats, eta: Floats, rng: np.random.Generator) -> Floats:
    """Draw measured transverse momenta for jets of deposited ``pt``; 0 stays 0."""
    raw = np.zeros_like(pt)
    exists = pt > 0.0
    some = pt[exists]
    row = response_bin(some, eta[exists])
    last = library.response.shape[1] - 1
    u = rng.random(len(some), dtype=np.float32) * np.float32(last)
    below = np.minimum(u.astype(np.int32), last - 1)
    low = library.response[row, below]
    raw[exists] = some * (low + (u - below) * (library.response[row, below + 1] - low))
    return raw


def _near(jet_eta: Floats, jet_phi: Floats, eta: Floats, phi: Floats, radius: float) -> Booleans:
    """Tell which jets (n, k) lie within ``radius`` of one object per event (n,)."""
    return np.asarray(deltar2(jet_eta, jet_phi, eta[:, None], phi[:, None]) < radius**2)


def isolation_from_jets(
    raw: Floats, jet_eta: Floats, jet_phi: Floats, eta: Floats, phi: Floats
) -> Floats:
    """Jet momentum [GeV] inside the isolation cone of a lepton."""
    inside = _near(jet_eta, jet_phi, eta, phi, CONE_ISOLATION)
    return np.asarray((raw * inside).sum(axis=1), dtype=np.float32)


def merge_into_tau(
    raw: Floats, jet_eta: Floats, jet_phi: Floats, tau_pt: Floats, tau_eta: Floats, tau_phi: Floats
) -> tuple[Floats, Booleans]:
    """Merge jets that overlap with the tau; sets them to zero in ``raw``.

    Returns the tau's new raw momentum and whether the tau is still the jet's core.
    """
    inside = _near(jet_eta, jet_phi, tau_eta, tau_phi, CONE_JET)
    added = (raw * inside).sum(axis=1)
    raw[inside] = 0.0
    return tau_pt + added, np.asarray(added < tau_pt)
