"""The detector as the fast engine sees it: taus, response of jets, tau tags, overlaps.

Everything is float32: half the memory traffic of float64, and far more precise than the detector.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from HiggsML.generator.detector import (
    CONE_ISOLATION,
    CONE_JET,
    CONE_TAU,
    EM_MINIMUM,
    HAD_MINIMUM,
    PHOTON_ISOLATION,
    PHOTON_MINIMUM,
    SIGNIFICANCE,
    TRACKER_ETA,
    deltar2,
    hadron_track_efficiency,
    identification_efficiency,
    propagate,
    resolution_em,
    resolution_had,
    tag_probability,
    wrap,
)
from HiggsML.generator.fast.library import Library, response_bin
from HiggsML.generator.fast.tau_decays import TAU_MASS, hadronic_pool
from HiggsML.generator.jet_tags import decode
from HiggsML.generator.table import JET_MINIMUM

__all__ = [
    "Visible",
    "choose",
    "fake_probability",
    "isolation_from_jets",
    "merge_into_tau",
    "near",
    "radiated_share",
    "redraw_response",
    "tagged_tau",
    "visible_tau",
]

Floats = NDArray[np.float32]
Booleans = NDArray[np.bool_]

_PION_MASS, _KAON_MASS = 0.13957, 0.4977
_ECAL_CELL = np.float32(0.0174), np.float32(np.pi / 180.0)
_HCAL_CELL = np.float32(0.1), np.float32(np.pi / 18.0)
_TRACK_MINIMUM = 1.0

# Chance of a jet with the tau of a heavy hadron to have the charge that is asked for, by the number
# of its tracks: what the library has.
_RIGHT_CHARGE = np.array([0.0, 0.5, 0.22], dtype=np.float32)

# The fine-structure constant, and the least share of a lepton's momentum that a photon is made for.
_ALPHA, _SOFTEST = 1.0 / 137.0, 0.01


class Visible(NamedTuple):
    """Hadronic taus as the detector sees them, without what underlies them.

    ``pt`` [GeV], ``eta`` and ``phi`` are of the towers; ``tracks`` is the number of tracks and
    ``charge`` their sum in units of the tau's; ``photon`` tells an isolated photon inside.
    """

    pt: Floats
    eta: Floats
    phi: Floats
    tracks: NDArray[np.int8]
    charge: NDArray[np.int8]
    photon: Booleans


class _Cells(NamedTuple):
    """Energies [GeV] of a tau in separate cells of a calorimeter, with what was measured."""

    seen: Floats
    eta: Floats
    phi: Floats


def _measure(
    energy: Floats, eta: Floats, phi: Floats, *, em: bool, rng: np.random.Generator
) -> _Cells:
    """Measure particles (k, n); those that share a cell are measured as one."""
    width_eta, width_phi = _ECAL_CELL if em else _HCAL_CELL
    ring, slot = np.floor(eta / width_eta), np.floor(phi / width_phi)
    total = energy.copy()
    for j in range(1, len(total)):
        for i in range(j):
            same = (ring[i] == ring[j]) & (slot[i] == slot[j]) & (total[i] > 0.0)
            total[i] += np.where(same, total[j], 0.0)
            total[j] = np.where(same, 0.0, total[j])
    middle = np.abs((ring + np.float32(0.5)) * width_eta)
    resolution, minimum = (resolution_em, EM_MINIMUM) if em else (resolution_had, HAD_MINIMUM)
    b2 = np.log1p((resolution(total, middle) / np.maximum(total, 1e-3)) ** 2)
    normal = rng.standard_normal(total.shape, dtype=np.float32)
    seen = total * np.exp(np.sqrt(b2) * normal - 0.5 * b2)
    seen[(seen < minimum) | (seen < SIGNIFICANCE * resolution(seen, middle))] = 0.0
    u = rng.random((2, *total.shape), dtype=np.float32)
    return _Cells(seen.astype(np.float32), (ring + u[0]) * width_eta, (slot + u[1]) * width_phi)


def _to_laboratory(
    momentum: Floats, energy: Floats, tau: tuple[Floats, Floats, Floats], helicity: Floats
) -> tuple[Floats, Floats, Floats]:
    """Boost (3, n) momenta along the tau (pt, eta, phi); return energy, eta and phi."""
    pt, eta, phi = tau
    cosh = np.cosh(eta)
    flight = pt * cosh / np.float32(TAU_MASS)
    gamma = np.sqrt(flight * flight + 1.0)
    flipped = helicity * momentum[2]
    out = gamma * energy + flight * flipped
    # The decay plane is random already; what counts is a small kick off the tau's direction.
    along = np.maximum((gamma * flipped + flight * energy) / cosh, 0.05)
    return out, eta + momentum[0] / along, phi + momentum[1] / along


def visible_tau(
    pt: Floats,
    eta: Floats,
    phi: Floats,
    helicity: Floats,
    isolation: Floats,
    rng: np.random.Generator,
) -> Visible:
    """Decay taus hadronically and measure the visible part.

    Parameters
    ----------
    pt, eta, phi : arrays
        Of the tau.
    helicity : array
        -1 or +1, as for a negative tau.
    isolation : array
        What isolation counts around it of the rest of the event [GeV].
    rng : numpy.random.Generator

    """
    pool = hadronic_pool()
    n = len(pt)
    pick = rng.integers(0, pool.neutral.shape[1], n, dtype=np.int32)
    tau = (pt, eta, phi)

    def laboratory(momentum: Floats, mass: float) -> tuple[Floats, Floats, Floats]:
        square = (momentum * momentum).sum(axis=0)
        energy, at_eta, at_phi = _to_laboratory(
            momentum, np.sqrt(square + np.float32(mass * mass)), tau, helicity
        )
        return np.where(square > 0.0, energy, 0.0).astype(np.float32), at_eta, at_phi

    charged = [laboratory(pool.charged[k][:, pick], _PION_MASS) for k in range(3)]
    energy, at_eta, at_phi = (np.stack(values) for values in zip(*charged, strict=True))
    track_pt = energy / np.cosh(at_eta)
    tracked = rng.random(track_pt.shape, dtype=np.float32) < hadron_track_efficiency(
        track_pt, at_eta
    )
    tracked &= track_pt > _TRACK_MINIMUM
    sign = np.array([1, 1, -1], dtype=np.int8)[:, None]
    flown = propagate(
        np.maximum(track_pt, 0.4), at_eta, at_phi, np.broadcast_to(sign, energy.shape)
    )
    neutral = laboratory(pool.neutral[:, pick], _KAON_MASS)
    hadrons = _measure(
        np.stack([*energy, neutral[0]]),
        np.stack([*flown[0], neutral[1]]).astype(np.float32),
        np.stack([*flown[1], neutral[2]]).astype(np.float32),
        em=False,
        rng=rng,
    )
    photon = laboratory(pool.photon[:, pick], 0.0)
    others = _to_laboratory(pool.others[:3, pick], pool.others[3, pick], tau, helicity)
    photons = _measure(
        *(np.stack(pair) for pair in zip(photon, others, strict=True)), em=True, rng=rng
    )

    seen, eta_seen, phi_seen = (np.concatenate(pair) for pair in zip(hadrons, photons, strict=True))
    seen_pt = np.divide(seen, np.cosh(eta_seen), dtype=np.float32)
    around = isolation + (track_pt * tracked).sum(axis=0) + seen_pt[3] + seen_pt[5]
    isolated = (seen_pt[4] > PHOTON_MINIMUM) & (around < PHOTON_ISOLATION * seen_pt[4])
    isolated &= rng.random(n, dtype=np.float32) < identification_efficiency(eta)
    return Visible(
        *_sum(seen_pt, eta_seen, phi_seen, tau),
        tracked.sum(axis=0).astype(np.int8),
        (tracked * sign).sum(axis=0).astype(np.int8),
        isolated,
    )


def _sum(
    pt: Floats, eta: Floats, phi: Floats, otherwise: tuple[Floats, Floats, Floats]
) -> tuple[Floats, Floats, Floats]:
    """Sum momenta (k, n); where there are none, take the direction of ``otherwise``."""
    x, y = (pt * np.cos(phi)).sum(axis=0), (pt * np.sin(phi)).sum(axis=0)
    z = (pt * np.sinh(eta)).sum(axis=0)
    total = np.hypot(x, y)
    there = total > 0.0
    out_eta = np.where(there, np.arcsinh(z / np.maximum(total, 1e-3)), otherwise[1])
    out_phi = np.where(there, np.arctan2(y, x), otherwise[2])
    return total, out_eta.astype(np.float32), out_phi.astype(np.float32)


def radiated_share(pt: Floats, muon: Booleans, rng: np.random.Generator) -> Floats:
    """Share of a lepton's momentum that it gives to a photon near it; mostly zero.

    The leading logarithm: a photon with the share z has the probability alpha / 2 pi
    [1 + (1 - z)^2] / z dz (G. Altarelli and G. Parisi, Nucl. Phys. B 126 (1977) 298) times the
    logarithm of the range of squared angles, from the lepton's mass over its momentum to the cone
    in which isolation counts.
    """
    angles = 2.0 * np.log(CONE_ISOLATION * np.maximum(pt, 1.0) / np.where(muon, 0.1057, 0.000511))
    share = np.float32(_SOFTEST) ** rng.random(pt.shape, dtype=np.float32)  # as 1 / z
    rate = _ALPHA / np.pi * angles * -np.log(_SOFTEST) * (1.0 + (1.0 - share) ** 2) / 2.0
    return np.where(rng.random(pt.shape, dtype=np.float32) < rate, share, np.float32(0.0))


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


def near(jet_eta: Floats, jet_phi: Floats, eta: Floats, phi: Floats, radius: float) -> Booleans:
    """Tell which jets (n, k) lie within ``radius`` of one object per event (n,)."""
    return np.asarray(deltar2(jet_eta, jet_phi, eta[:, None], phi[:, None]) < radius**2)


def isolation_from_jets(
    raw: Floats,
    jet_eta: Floats,
    jet_phi: Floats,
    eta: Floats,
    phi: Floats,
    radius: float = CONE_ISOLATION,
) -> Floats:
    """Momentum [GeV] of the jets within ``radius`` of a lepton."""
    inside = near(jet_eta, jet_phi, eta, phi, radius)
    return np.asarray((raw * inside).sum(axis=1), dtype=np.float32)


def merge_into_tau(
    raw: Floats, jet_eta: Floats, jet_phi: Floats, tau_pt: Floats, tau_eta: Floats, tau_phi: Floats
) -> tuple[Floats, Booleans]:
    """Merge jets that overlap with the tau; sets them to zero in ``raw``.

    Returns the tau's new raw momentum and whether the tau is still at the jet's axis.
    """
    inside = near(jet_eta, jet_phi, tau_eta, tau_phi, CONE_JET)
    part = raw * inside
    raw[inside] = 0.0
    total = tau_pt + part.sum(axis=1)
    away = (
        (part * distance).sum(axis=1) / np.maximum(total, 1e-3)
        for distance in (jet_eta - tau_eta[:, None], wrap(jet_phi - tau_phi[:, None]))
    )
    return total, np.hypot(*away) < CONE_TAU


def fake_probability(
    library: Library, raw: Floats, eta: Floats, tag: NDArray[np.uint8], wanted: NDArray[np.int8]
) -> tuple[Floats, Floats]:
    """Probability of each jet (n, k) to be tagged as a tau of any charge, and of the ``wanted``.

    Jets with the tau of a heavy hadron pass often and are few: to come again less often, all of
    them have the mean chance of the right charge, not their own charge.
    """
    jets = decode(tag)
    able = (raw >= JET_MINIMUM) & (np.abs(eta) < TRACKER_ETA + CONE_TAU)
    chance = np.where(able, tag_probability(jets.tracks, jets.matched), np.float32(0.0))
    any_charge = np.where(jets.matched, chance, library.fakes * chance).astype(np.float32)
    right = np.where(jets.matched, _RIGHT_CHARGE[jets.tracks], jets.charge == wanted[:, None])
    return any_charge, (any_charge * right).astype(np.float32)


def tagged_tau(tau: Visible, cone_tag: Any, rng: np.random.Generator) -> Booleans:
    """Which taus are tagged with the right charge, tracks that underlie them included."""
    cone = decode(cone_tag)
    tracks = tau.tracks + cone.tracks
    chance = tag_probability(tracks, np.ones(tracks.shape, dtype=bool))
    tagged = rng.random(len(chance), dtype=np.float32) < chance
    return np.asarray(tagged & (tau.charge + cone.charge == 1) & ~tau.photon)


def choose(probability: Floats, rng: np.random.Generator) -> NDArray[np.intp]:
    """Choose one column of each row, in proportion to the probabilities."""
    total = np.cumsum(probability, axis=1)
    level = rng.random(len(total), dtype=np.float32) * total[:, -1]
    return np.asarray(np.minimum((total < level[:, None]).sum(axis=1), total.shape[1] - 1))
