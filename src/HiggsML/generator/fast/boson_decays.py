"""Mass and decay of one boson into two taus."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from HiggsML.generator.fast.library import Library
from HiggsML.generator.fast.tau_decays import TAU_MASS

__all__ = ["Tables", "decay_to_taus", "tables_of"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

# Rapidity at which the decay of a boson of spin 1 knows from which beam its recoil came.
_BEAM_MEMORY = 0.8
_MASS_GRID, _COSINE_GRID = 8192, 2048
# The mass is drawn from all events of similar pt [GeV]: hard Z are heavy ones three times as often.
_MASS_BINS = np.array([8.0, 20.0, 45.0, 80.0, 120.0], dtype=np.float32)
_FEWEST = 500


@functools.lru_cache(maxsize=2)
def _cosine_table(spin: int) -> Floats:
    """Inverse cumulative distribution of 1 + cos^2 (spin 1) or of a flat cosine (spin 0)."""
    c = np.linspace(-1.0, 1.0, 4001)
    total = (c + c**3 / 3.0 + 4.0 / 3.0) / (8.0 / 3.0) if spin else (c + 1.0) / 2.0
    return np.interp(np.linspace(0.0, 1.0, _COSINE_GRID + 1), total, c).astype(np.float32)


@dataclass(frozen=True)
class Tables:
    """What is derived from a library once: mass quantiles by pt, leading jets as vectors."""

    mass: Floats
    jet_x: Floats
    jet_y: Floats
    boson_pt: Floats
    boson_y: Floats

    def draw_mass(self, pt: Floats, rng: np.random.Generator) -> Floats:
        """Draw masses [GeV] of bosons with transverse momenta ``pt`` [GeV]."""
        bins = np.digitize(pt, _MASS_BINS).astype(np.int32)
        return _interpolate(self.mass, rng.random(len(pt), dtype=np.float32), _MASS_GRID, bins)


@functools.lru_cache(maxsize=8)
def tables_of(library: Library) -> Tables:
    """Tables of a library, computed once."""
    levels = np.arange(_MASS_GRID + 1) / _MASS_GRID
    order = np.argsort(library.boson_m[:, 0], kind="stable")
    bins = np.digitize(library.boson_pt[order, 0], _MASS_BINS)
    mass = []
    for k in range(len(_MASS_BINS) + 1):
        some = order[bins == k] if (bins == k).sum() >= _FEWEST else order
        share = np.cumsum(library.weight[some].astype(np.float64))
        mass.append(np.interp(levels, share / share[-1], library.boson_m[some, 0]))
    angle = library.jet_phi[:, :2]
    return Tables(
        mass=np.concatenate(mass).astype(np.float32),
        jet_x=np.ascontiguousarray((library.jet_pt[:, :2] * np.cos(angle)).T),
        jet_y=np.ascontiguousarray((library.jet_pt[:, :2] * np.sin(angle)).T),
        boson_pt=np.ascontiguousarray(library.boson_pt[:, 0]),
        boson_y=np.ascontiguousarray(library.boson_y[:, 0]),
    )


def _interpolate(table: Floats, u: Floats, grid: int, row: Integers | int = 0) -> Floats:
    """Value of inverse cumulative tables, one after the other, at uniform numbers ``u``."""
    at = u * np.float32(grid)
    below = np.minimum(at.astype(np.int32), grid - 1)
    at -= below
    below += np.asarray(row * (grid + 1), dtype=np.int32)
    low = table[below]
    return np.asarray(low + at * (table[below + 1] - low), dtype=np.float32)


def decay_to_taus(
    pt: Floats, mass: Floats, rapidity: Floats, spin: int, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats, Floats]:
    """Decay bosons of transverse momentum ``pt`` along x, at rest along z, into two taus.

    For spin 1 the density is 1 + cos^2 about the direction of one beam in the rest frame, so that
    the angular coefficients are A0 = A2 = pt^2 / (pt^2 + m^2). It is the beam that the boson flies
    away from, the more surely the larger its rapidity: what Pythia gives for the coefficient A1,
    in units of its largest value, is tanh(|y| / 0.8) within errors. It is flat for spin 0.
    Returns x, y, z of the first tau, x of the second (its y and z are opposite).
    """
    u = rng.random((3, len(pt)), dtype=np.float32)
    cosine = _interpolate(_cosine_table(spin), u[0], _COSINE_GRID)
    sine = np.sqrt(np.maximum(1.0 - cosine * cosine, 0.0))
    angle = u[1] * np.float32(2.0 * np.pi)
    nx, ny, nz = sine * np.cos(angle), sine * np.sin(angle), cosine
    ratio = pt / mass
    over = np.sqrt(1.0 + ratio * ratio)
    tilt_cos = 1.0 / over
    away = u[2] < 0.5 * (1.0 + np.tanh(rapidity * np.float32(1.0 / _BEAM_MEMORY)))
    tilt_sin = np.where(away, ratio, -ratio) * tilt_cos
    nx, nz = nx * tilt_cos + nz * tilt_sin, nz * tilt_cos - nx * tilt_sin
    half = np.float32(0.5) * np.sqrt(np.maximum(mass * mass - np.float32(4 * TAU_MASS**2), 0.0))
    along, recoil = nx * over * half, np.float32(0.5) * pt
    return recoil + along, ny * half, nz * half, recoil - along
