"""From measured leptons, taus and jets to the sixteen primary columns; shared by all engines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from HiggsML.generator.detector import wrap
from HiggsML.schema import MISSING, PRI_COLUMNS

__all__ = ["JET_MINIMUM", "table_rows"]

Floats = NDArray[np.float32]

JET_MINIMUM = 20.0
"""Raw transverse momentum [GeV] that a jet or tau needs, before the energy scale."""


_LARGEST_PHI = np.float32(3.141)


def _energy_scale(raw: Floats, eta: Floats) -> Floats:
    """Multiply raw jet momenta by the jet energy scale, sqrt((3 - 0.2 |eta|)^2 / pt + 1)."""
    return raw * np.sqrt((3.0 - 0.2 * np.abs(eta)) ** 2 / np.maximum(raw, 1e-3) + 1.0)


def table_rows(
    lepton: tuple[Any, Any, Any],
    tau: tuple[Any, Any, Any],
    jets: tuple[Any, Any, Any],
    met: tuple[Any, Any],
    rng: np.random.Generator,
) -> Floats:
    """Assemble (n, 16) rows: energy scale, jet ordering, random rotation and reflections, rounding.

    ``lepton`` and ``tau`` are (pt, eta, phi), ``jets`` the same with raw pt and shape (n, k),
    ``met`` the two components. The tau's pt is raw as well.
    """
    raw, jet_eta, jet_phi = jets
    n = len(raw)
    pt = np.where(raw >= JET_MINIMUM, _energy_scale(raw, jet_eta), np.float32(0.0))
    mirror = rng.integers(0, 2, (2, n), dtype=np.int8).astype(np.float32) * 2 - 1
    turn = rng.random(n, dtype=np.float32) * np.float32(2.0 * np.pi)

    def direction(phi: Floats) -> Floats:
        # Rounding could lift an azimuth just above pi.
        turned = wrap(mirror[1] * phi + turn)
        return np.asarray(np.clip(turned, -_LARGEST_PHI, _LARGEST_PHI), dtype=np.float32)

    out = np.empty((n, len(PRI_COLUMNS)), dtype=np.float32)
    out[:, 0], out[:, 1], out[:, 2] = lepton[0], mirror[0] * lepton[1], direction(lepton[2])
    out[:, 3], out[:, 4] = _energy_scale(tau[0], tau[1]), mirror[0] * tau[1]
    out[:, 5] = direction(tau[2])
    out[:, 12], out[:, 13] = (pt > 0.0).sum(axis=1), pt.sum(axis=1)
    rows = np.arange(n)
    left = pt.copy()
    for column in (6, 9):
        which = left.argmax(axis=1)
        value = left[rows, which]
        missing = value <= 0.0
        out[:, column] = np.where(missing, MISSING, value)
        out[:, column + 1] = np.where(missing, MISSING, mirror[0] * jet_eta[rows, which])
        out[:, column + 2] = np.where(missing, MISSING, direction(jet_phi[rows, which]))
        left[rows, which] = 0.0
    out[:, 14] = np.hypot(met[0], met[1])
    out[:, 15] = direction(np.arctan2(met[1], met[0]))
    np.multiply(out, np.float32(1000.0), out=out)
    np.rint(out, out=out)
    np.divide(out, np.float32(1000.0), out=out)
    return out
