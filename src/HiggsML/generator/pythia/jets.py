"""Anti-kt jets of many events at once, with what each jet's towers really received."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from HiggsML.generator.detector import CONE_JET
from HiggsML.generator.pythia.calorimeter import Towers

__all__ = ["Jets", "anti_kt"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Jets:
    """Jets of many events: sorted by event, then by falling raw ``pt`` [GeV].

    ``true_pt`` is the transverse momentum that the particles left in the jet's towers.
    """

    event: Integers
    pt: Floats
    eta: Floats
    phi: Floats
    true_pt: Floats


def anti_kt(towers: Towers, n_events: int, *, minimum_pt: float = 8.0) -> Jets:
    """Cluster towers into anti-kt jets with R = 0.6 and keep those above ``minimum_pt`` [GeV]."""
    import awkward as ak
    import fastjet

    px, py = towers.pt * np.cos(towers.phi), towers.pt * np.sin(towers.phi)
    pz, energy = towers.pt * np.sinh(towers.eta), towers.pt * np.cosh(towers.eta)
    counts = np.bincount(towers.event, minlength=n_events)
    start = np.concatenate(([0], np.cumsum(counts)[:-1]))
    content = ak.zip({"px": px, "py": py, "pz": pz, "E": energy}, with_name="Momentum4D")
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, CONE_JET)
    sequence = fastjet.ClusterSequence(ak.unflatten(content, counts), definition)
    index = sequence.constituent_index(minimum_pt)
    event = np.repeat(np.arange(n_events), ak.to_numpy(ak.num(index, axis=1)))
    sizes = ak.to_numpy(ak.flatten(ak.num(index, axis=2), axis=None)).astype(np.int64)
    local = ak.to_numpy(ak.flatten(index, axis=None)).astype(np.int64)
    jet = np.repeat(np.arange(len(sizes)), sizes)
    tower = local + start[event[jet]]
    n = len(sizes)
    x, y = np.bincount(jet, px[tower], n), np.bincount(jet, py[tower], n)
    z = np.bincount(jet, pz[tower], n)
    pt, phi = np.hypot(x, y), np.arctan2(y, x)
    # Project what was deposited on the jet's axis, so that both values share one direction.
    along = towers.true_pt[tower] * np.cos(towers.phi[tower] - phi[jet])
    true_pt = np.bincount(jet, along, n).astype(np.float64)
    order = np.lexsort((-pt, event))
    eta = np.arcsinh(z / np.maximum(pt, 1e-9))
    return Jets(event[order], pt[order], eta[order], phi[order], true_pt[order])
