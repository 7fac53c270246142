"""Fast engine for one boson that decays to two taus: Z and Higgs.

Each row is assembled from several library events of the same leaf (of similar recoil): the
transverse pattern of boson, jets and soft part from one (a), rapidities from another (c); the
boson's mass comes from the smooth distribution of all. Jets are then moved a little and the boson
recoils, so that transverse momentum stays balanced. Boson and taus are decayed afresh, and the
detector acts afresh.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
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
from HiggsML.generator.fast.library import Library
from HiggsML.generator.fast.measure import (
    isolation_from_jets,
    merge_into_tau,
    redraw_response,
    visible_tau,
)
from HiggsML.generator.fast.tau_decays import POLARIZATION_Z, TAU_MASS, leptonic_fraction
from HiggsML.generator.table import JET_MINIMUM, MISTAG, table_rows

__all__ = ["Kernel", "attempt_boson"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]
Booleans = NDArray[np.bool_]

# Share of the trials that look for a jet that fakes the tau; one in 0.008 per jet would be wasted.
_FAKE_TRIALS = 0.02
_MASS_GRID, _COSINE_GRID = 8192, 2048


@dataclass(frozen=True)
class Kernel:
    """Widths of the smoothing: small against the detector's resolution and the spectra's scale.

    ``scale``: common factor of all transverse momenta (logarithm); ``jet_scale`` and ``jet_turn``
    (radians): each of the two leading jets, against the boson; ``boost``: common shift of all
    rapidities; ``jet_eta``: each jet's own shift.
    """

    scale: float = 0.08
    jet_scale: float = 0.10
    jet_turn: float = 0.08
    boost: float = 0.15
    jet_eta: float = 0.20


_DEFAULT = Kernel()


@functools.lru_cache(maxsize=2)
def _cosine_table(spin: int) -> Floats:
    """Inverse cumulative distribution of 1 + cos^2 (spin 1) or of a flat cosine (spin 0)."""
    c = np.linspace(-1.0, 1.0, 4001)
    total = (c + c**3 / 3.0 + 4.0 / 3.0) / (8.0 / 3.0) if spin else (c + 1.0) / 2.0
    return np.interp(np.linspace(0.0, 1.0, _COSINE_GRID + 1), total, c).astype(np.float32)


@dataclass(frozen=True)
class _Tables:
    """What is derived from a library once: mass quantiles, leading jets as vectors."""

    mass: Floats
    jet_x: Floats
    jet_y: Floats
    boson_pt: Floats
    boson_y: Floats


@functools.lru_cache(maxsize=8)
def _tables_of(library: Library) -> _Tables:
    order = np.argsort(library.boson_m[:, 0], kind="stable")
    share = np.cumsum(library.weight[order].astype(np.float64))
    levels = np.arange(_MASS_GRID + 1) / _MASS_GRID
    mass = np.interp(levels, share / share[-1], library.boson_m[order, 0])
    angle = library.jet_phi[:, :2]
    return _Tables(
        mass=mass.astype(np.float32),
        jet_x=np.ascontiguousarray((library.jet_pt[:, :2] * np.cos(angle)).T),
        jet_y=np.ascontiguousarray((library.jet_pt[:, :2] * np.sin(angle)).T),
        boson_pt=np.ascontiguousarray(library.boson_pt[:, 0]),
        boson_y=np.ascontiguousarray(library.boson_y[:, 0]),
    )


def _interpolate(table: Floats, u: Floats, grid: int) -> Floats:
    """Value of an inverse cumulative table at uniform numbers ``u``."""
    at = u * np.float32(grid)
    below = np.minimum(at.astype(np.int32), grid - 1)
    low = table[below]
    return np.asarray(low + (at - below) * (table[below + 1] - low), dtype=np.float32)


def _decay(
    pt: Floats, mass: Floats, spin: int, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats, Floats]:
    """Decay bosons of transverse momentum ``pt`` along x, at rest along z, into two taus.

    For spin 1 the density is 1 + cos^2 about the direction of either beam in the rest frame, which
    is the same as angular coefficients A0 = A2 = pt^2 / (pt^2 + m^2); it is flat for spin 0.
    Returns x, y, z of the first tau, x of the second (its y and z are opposite).
    """
    u = rng.random((2, len(pt)), dtype=np.float32)
    cosine = _interpolate(_cosine_table(spin), u[0], _COSINE_GRID)
    sine = np.sqrt(np.maximum(1.0 - cosine * cosine, 0.0))
    angle = u[1] * np.float32(2.0 * np.pi)
    nx, ny, nz = sine * np.cos(angle), sine * np.sin(angle), cosine
    ratio = pt / mass
    over = np.sqrt(1.0 + ratio * ratio)
    tilt_cos = 1.0 / over
    tilt_sin = -ratio * tilt_cos
    nx, nz = nx * tilt_cos + nz * tilt_sin, nz * tilt_cos - nx * tilt_sin
    half = np.float32(0.5) * np.sqrt(np.maximum(mass * mass - np.float32(4 * TAU_MASS**2), 0.0))
    along, recoil = nx * over * half, np.float32(0.5) * pt
    return recoil + along, ny * half, nz * half, recoil - along


def attempt_boson(
    process: str,
    trials: int,
    rng: np.random.Generator,
    library: Library,
    *,
    kernel: Kernel = _DEFAULT,
) -> Floats:
    """Try ``trials`` events; return the (n, 16) rows of the selected ones, in library order."""
    tables = _tables_of(library)
    spin = int(process == "ztautau")
    a, c = library.draw(trials, rng)

    # Transverse pattern: two jets are changed and the boson takes the difference.
    normal = rng.standard_normal((5, trials), dtype=np.float32)
    common = np.exp(np.float32(kernel.scale) * normal[0])
    # Smearing a falling spectrum raises it; a small shift downwards undoes that.
    shift = np.float32(1.5 * kernel.jet_scale**2)
    factor = np.exp(np.float32(kernel.jet_scale) * normal[1:3] - shift)
    turned = np.float32(kernel.jet_turn) * normal[3:5]
    bx, by = tables.boson_pt[a], np.zeros(trials, dtype=np.float32)
    for k in range(2):
        x, y = tables.jet_x[k][a], tables.jet_y[k][a]
        along, across = factor[k] * np.cos(turned[k]) - 1.0, factor[k] * np.sin(turned[k])
        bx -= x * along - y * across
        by -= y * along + x * across
    bx *= common
    by *= common
    pt = np.hypot(bx, by)
    mass = _interpolate(tables.mass, rng.random(trials, dtype=np.float32), _MASS_GRID)
    x1, y1, z1, x2 = _decay(pt, mass, spin, rng)
    square = y1 * y1
    pt1, pt2 = np.sqrt(x1 * x1 + square), np.sqrt(x2 * x2 + square)
    fake = rng.random(trials, dtype=np.float32) < _FAKE_TRIALS

    # From here on only what can still be selected is followed; `at` holds the trial numbers.
    at = np.flatnonzero((pt1 > 19.0) & ((pt2 > 20.0) | fake))
    positive = 0.5 * (1.0 + POLARIZATION_Z) if spin else 0.5
    up = rng.random(len(at), dtype=np.float32) < positive
    helicity = np.where(up, np.float32(1.0), np.float32(-1.0))
    lepton_pt = pt1[at] * leptonic_fraction(helicity, rng)
    at, helicity, lepton_pt = _take(lepton_pt > 19.0, at, helicity, lepton_pt)
    pt1, pt2, fake = pt1[at], pt2[at], fake[at]
    boost = np.float32(kernel.boost) * rng.standard_normal(len(at), dtype=np.float32)
    y_boson = tables.boson_y[c[at]] + boost
    eta1 = np.arcsinh(z1[at] / pt1) + y_boson
    eta2 = np.arcsinh(-z1[at] / np.maximum(pt2, 1e-3)) + y_boson
    keep = (np.abs(eta1) < TRACKER_ETA) & ((np.abs(eta2) < 2.5) | fake)
    at, fake, pt2, eta1, eta2, boost, helicity, lepton_pt = _take(
        keep, at, fake, pt2, eta1, eta2, boost, helicity, lepton_pt
    )

    muon = rng.random(len(at), dtype=np.float32) < 0.5
    spread = rng.standard_normal(len(at), dtype=np.float32)
    measured = lepton_pt * (1.0 + lepton_pt_resolution(lepton_pt, eta1, muon) * spread)
    measured = measured.astype(np.float32)
    isolated = library.isolation[a[at]]
    limit = isolation_limit(measured, muon)
    keep = rng.random(len(at), dtype=np.float32) < lepton_efficiency(eta1)
    keep &= (measured >= 20.0) & (isolated < limit)
    at, fake, pt2, eta1, eta2, boost, helicity, measured, limit = _take(
        keep, at, fake, pt2, eta1, eta2, boost, helicity, measured, limit - isolated
    )

    azimuth = np.arctan2(by[at], bx[at])
    phi1 = azimuth + np.arctan2(y1[at], x1[at])
    phi2 = azimuth + np.arctan2(-y1[at], x2[at])
    # Opposite helicities (Z) act alike on the two decays, equal ones (H) oppositely.
    tau = visible_tau(pt2, eta2, phi2, helicity if spin else -helicity, rng)
    raw_tau = tau.pt + library.area[a[at]]
    tagged = rng.random(len(at), dtype=np.float32) < tau_efficiency(tau.one_prong)
    tagged &= (np.abs(eta2) < 2.5) & (raw_tau > 8.0)
    keep = np.where(tagged, ~fake & (raw_tau > 12.0), fake)
    at, fake, eta1, phi1, boost, measured, limit, azimuth, raw_tau, tau_pt, tau_eta, tau_phi = (
        _take(keep, at, fake, eta1, phi1, boost, measured, limit, azimuth, raw_tau, *tau[:3])
    )

    # Jets: momenta and azimuths of a, rapidities of c.
    ia, ic = a[at], c[at]
    library_pt = library.jet_pt[ia]
    jet_pt = library_pt * common[at][:, None]
    jet_pt[:, :2] *= factor[:, at].T
    jet_phi = library.jet_phi[ia]
    jet_phi[:, :2] += turned[:, at].T
    jet_eta = np.where(library.jet_pt[ic] > 0.0, library.jet_eta[ic], library.jet_eta[ia])
    jet_eta += np.float32(kernel.jet_eta) * rng.standard_normal(jet_eta.shape, dtype=np.float32)
    jet_eta += boost[:, None]
    raw = redraw_response(library, jet_pt, jet_eta, rng)

    residual = library.residual_x[ia], library.residual_y[ia]
    vx, vy = _hadrons(library, (bx[at], by[at]), azimuth, residual, (jet_pt, jet_phi, raw))
    met_x = -(vx + measured * np.cos(phi1) + tau_pt * np.cos(tau_phi))
    met_y = -(vy + measured * np.sin(phi1) + tau_pt * np.sin(tau_phi))
    raw[np.abs(jet_eta) > 4.9] = 0.0

    core = np.ones(len(at), dtype=bool)
    real = np.flatnonzero(~fake)
    part = raw[real]
    raw_tau[real], core[real] = merge_into_tau(
        part, jet_eta[real], jet_phi[real], raw_tau[real], tau_eta[real], tau_phi[real]
    )
    raw[real] = part
    core &= _fake_taus(fake, (raw, jet_eta, jet_phi), (raw_tau, tau_eta, tau_phi), rng)
    core &= raw_tau >= JET_MINIMUM
    core &= isolation_from_jets(raw, jet_eta, jet_phi, eta1, phi1) < limit
    core &= deltar2(eta1, phi1, tau_eta, tau_phi) > CONE_ISOLATION**2
    return table_rows(
        (measured[core], eta1[core], phi1[core]),
        (raw_tau[core], tau_eta[core], tau_phi[core]),
        (raw[core], jet_eta[core], jet_phi[core]),
        (met_x[core], met_y[core]),
        rng,
    )


def _take(keep: Booleans, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Keep the same entries of several arrays."""
    index = np.flatnonzero(keep)
    return tuple(values.take(index) for values in arrays)


def _hadrons(
    library: Library,
    boson: tuple[Floats, Floats],
    azimuth: Floats,
    residual: tuple[Floats, Floats],
    jets: tuple[Floats, Floats, Floats],
) -> tuple[Floats, Floats]:
    """Visible transverse momentum of all that is not from the boson.

    It balances the boson, but for the response to jets, the soft recoil that is missed, and the
    residual, which is given in the frame of the boson.
    """
    jet_pt, jet_phi, raw = jets
    cos, sin = np.cos(jet_phi), np.sin(jet_phi)
    change = raw - jet_pt
    loss = library.soft_loss
    x = (change * cos).sum(axis=1) - boson[0] + loss * (boson[0] + (jet_pt * cos).sum(axis=1))
    y = (change * sin).sum(axis=1) - boson[1] + loss * (boson[1] + (jet_pt * sin).sum(axis=1))
    cos, sin = np.cos(azimuth), np.sin(azimuth)
    x += residual[0] * cos - residual[1] * sin
    y += residual[0] * sin + residual[1] * cos
    return x, y


def _fake_taus(
    fake: Booleans,
    jets: tuple[Floats, Floats, Floats],
    tau: tuple[Floats, Floats, Floats],
    rng: np.random.Generator,
) -> Booleans:
    """Exchange the roles of the (untagged) tau and one jet, in place, in the rows ``fake``.

    Only a known share of the trials gets here; a jet has the charge that the selection asks for in
    one of two cases. Returns which rows stay.
    """
    stay = np.ones(len(fake), dtype=bool)
    rows = np.flatnonzero(fake)
    if len(rows) == 0:
        return stay
    able = (jets[0][rows] >= JET_MINIMUM) & (np.abs(jets[1][rows]) < 2.5)
    probability = np.minimum(able.sum(axis=1) * (0.5 * MISTAG / _FAKE_TRIALS), 1.0)
    stay[rows] = rng.random(len(rows)) < probability
    which = (able * rng.random(able.shape)).argmax(axis=1)
    for values, block in zip(tau, jets, strict=True):
        values[rows], block[rows, which] = block[rows, which], values[rows].copy()
    return stay
