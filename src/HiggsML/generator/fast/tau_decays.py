"""Tau decays: analytic spectra for leptonic ones, a pool of Pythia decays for hadronic ones."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from HiggsML.errors import DataError

__all__ = [
    "BRANCHING_LEPTONIC",
    "POLARIZATION_Z",
    "TAU_MASS",
    "HadronicPool",
    "hadronic_pool",
    "leptonic_fraction",
]

Floats = NDArray[np.float32]

TAU_MASS = 1.77686
BRANCHING_LEPTONIC = 0.3521
"""Branching ratio of tau into an electron or a muon (Particle Data Group)."""

POLARIZATION_Z = -0.147
"""Mean polarization of the tau- from Z decays (LEP)."""

_GRID = 2048


class HadronicPool(NamedTuple):
    """Hadronic decays in the rest frame of a tau- with helicity +1, flight direction z [GeV].

    Each momentum has the rows px, py, pz, each of shape (decays,): of three charged hadrons (two of
    the tau's charge and, third, one of the opposite; zero where there is none), of all neutral
    hadrons, of the hardest photon and of all other photons, the latter with its energy.
    """

    charged: Floats
    neutral: Floats
    photon: Floats
    others: Floats

    @classmethod
    def of(cls, rows: Floats) -> HadronicPool:
        """Make a pool from an array of shape (19, decays)."""
        n = rows.shape[1]
        return cls(rows[:9].reshape(3, 3, n), rows[9:12], rows[12:15], rows[15:])

    def rows(self) -> Floats:
        """Return the array that :meth:`of` takes."""
        return np.concatenate([self.charged.reshape(9, -1), self.neutral, self.photon, self.others])


@functools.cache
def _leptonic_table() -> Floats:
    """Inverse cumulative distribution of x for polarization -1 and, after it, +1.

    Density ((1 - x) / 3) [(5 + 5x - 4x^2) + P (1 + x - 8x^2)], massless limit (Y.-S. Tsai,
    Phys. Rev. D 4 (1971) 2821).
    """
    x = np.linspace(0.0, 1.0, 20_001)
    rows = []
    for sign in (-1.0, 1.0):
        density = (1.0 - x) / 3.0 * ((5 + 5 * x - 4 * x**2) + sign * (1 + x - 8 * x**2))
        total = np.concatenate(([0.0], np.cumsum(0.5 * (density[1:] + density[:-1]))))
        rows.append(np.interp(np.linspace(0.0, 1.0, _GRID + 1), total / total[-1], x))
    return np.concatenate(rows).astype(np.float32)


def leptonic_fraction(helicity: NDArray[Any], rng: np.random.Generator) -> Floats:
    """Draw the lepton's share of the tau momentum; ``helicity`` is -1 or +1 (as for a tau-)."""
    table = _leptonic_table()
    u = rng.random(len(helicity), dtype=np.float32) * np.float32(_GRID)
    below = np.minimum(u.astype(np.int32), _GRID - 1)
    at = below + (helicity > 0) * np.int32(_GRID + 1)
    low = table[at]
    return np.asarray(low + (u - below) * (table[at + 1] - low), dtype=np.float32)


@functools.cache
def hadronic_pool() -> HadronicPool:
    """Read the shipped pool of hadronic decays."""
    source = resources.files("HiggsML.generator.fast") / "data" / "hadronic_tau.npz"
    if not source.is_file():
        raise DataError(f"no pool of tau decays {source}: install the package whole")
    with source.open("rb") as file, np.load(file) as archive:
        values = archive["values"].astype(np.float32)
    return HadronicPool.of(values)
