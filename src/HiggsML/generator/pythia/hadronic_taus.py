"""Polarized hadronic tau decays from Pythia: the pool that the fast engine draws from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from HiggsML.generator.fast.tau_decays import TAU_MASS, HadronicPool
from HiggsML.generator.pythia.event_record import pythia

__all__ = ["make_hadronic_pool"]

_Momenta = list[NDArray[np.float64]]


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
        same: _Momenta = []
        opposite: _Momenta = []
        photons: _Momenta = []
        neutral = np.zeros(4)
        for particle in machine.event:
            kind = particle.idAbs()
            if not particle.isFinal() or kind in (12, 14, 16):
                continue
            e, z = particle.e(), particle.pz()
            e, z = gamma * e - beta_gamma * z, gamma * z - beta_gamma * e
            p4 = np.array([particle.px(), particle.py(), z, e])
            if kind in (11, 22):
                photons.append(p4)
            elif particle.charge() != 0.0:
                (same if particle.charge() < 0.0 else opposite).append(p4)
            else:
                neutral += p4
        rows.append(_row(same, opposite, photons, neutral))
    return HadronicPool.of(np.asarray(rows, dtype=np.float32).T)


def _row(same: _Momenta, opposite: _Momenta, photons: _Momenta, neutral: Any) -> Any:
    """One decay as the pool holds it; what does not fit counts as neutral hadrons."""
    row = np.zeros(19)
    for k, p4 in enumerate((*same[:2], *([np.zeros(4)] * (2 - len(same))), *opposite[:1])):
        row[3 * k : 3 * k + 3] = p4[:3]
    row[9:12] = sum((*same[2:], *opposite[1:]), neutral)[:3]
    photons = sorted(photons, key=lambda p4: -float(p4[3]))
    if photons:
        row[12:15] = photons[0][:3]
        row[15:] = sum(photons[1:], np.zeros(4))
    return row
