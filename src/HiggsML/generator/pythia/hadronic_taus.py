"""Polarized hadronic tau decays from Pythia: the pool that the fast engine draws from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from HiggsML.generator.fast.tau_decays import TAU_MASS, HadronicPool
from HiggsML.generator.pythia.event_record import pythia

__all__ = ["make_hadronic_pool"]


def make_hadronic_pool(n: int, *, seed: int) -> HadronicPool:
    """Decay ``n`` polarized taus hadronically with Pythia and boost the products to rest."""
    energy = 200.0
    pz = float(np.sqrt(energy**2 - TAU_MASS**2))
    machine = pythia(
        "ztautau",
        seed=seed,
        extra=(
            "ProcessLevel:all = off",
            "TauDecays:mode = 3",
            "TauDecays:tauPolarization = 1.",
            "15:offIfAny = 11 13",
        ),
    )
    rows: list[NDArray[np.float64]] = []
    gamma, beta_gamma = energy / TAU_MASS, pz / TAU_MASS
    while len(rows) < n:
        machine.event.reset()
        machine.event.append(15, 1, 0, 0, 0.0, 0.0, pz, energy, TAU_MASS)
        machine.forceHadronLevel()
        row = np.zeros(7)
        prongs = 0
        for particle in machine.event:
            kind = particle.idAbs()
            if not particle.isFinal() or kind in (12, 14, 16):
                continue
            part = {22: 1.0, 11: 1.0, 310: 0.3, 3122: 0.3}.get(kind, 0.0)
            e, z = particle.e(), particle.pz()
            e, z = gamma * e - beta_gamma * z, gamma * z - beta_gamma * e
            row[:4] += part * e, part * z, (1.0 - part) * e, (1.0 - part) * z
            row[4] += particle.px()
            row[5] += particle.py()
            prongs += particle.isCharged() and kind != 11
        row[6] = prongs == 1
        rows.append(row)
    return HadronicPool.of(np.asarray(rows, dtype=np.float32).T)
