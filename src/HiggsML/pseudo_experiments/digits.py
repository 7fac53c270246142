"""The digits that rounding took from the momenta which a nuisance parameter scales.

Datasets have momenta rounded to 0.001 GeV. Scaled and rounded once more, they would make a comb
whose spacing tells the energy scale to a millionth. So the stored ones get the rest of their digits
back, uniform within half of the last one: they round to the official values, and the comb is gone.
What float32 holds of it is a grid of 4e-6 GeV at 32 to 64 GeV and 6e-5 GeV at 1 TeV, too fine to
be seen by a million events; above 8 TeV, where it is as coarse as 0.001, nothing is changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from HiggsML.physics.shifts import rounded
from HiggsML.schema import PRI_COLUMNS, PROCESSES

__all__ = ["Digits"]

Rows = NDArray[np.float32]

_LAST = 1e-3  # GeV
_PT = [
    PRI_COLUMNS.index(name)
    for name in ("PRI_had_pt", "PRI_jet_leading_pt", "PRI_jet_subleading_pt", "PRI_jet_all_pt")
]
_N_JETS = PRI_COLUMNS.index("PRI_n_jets")


class Digits:
    """Gives momenta their digits back, the same ones each time that a dataset is read in order.

    Parameters
    ----------
    identity : mapping of str to str
        What tells the dataset from others: the seed of the digits.

    Examples
    --------
    >>> event = np.full((1, 16), 40.0, np.float32)
    >>> restored = Digits({"name": "mine"}).restore("ttbar", event)
    >>> pt = restored[0, PRI_COLUMNS.index("PRI_had_pt")]
    >>> bool(pt != 40), float(rounded(pt))
    (True, 40.0)
    """

    def __init__(self, identity: Mapping[str, Any]) -> None:
        text = json.dumps(dict(identity), sort_keys=True).encode()
        seed = int.from_bytes(hashlib.sha256(text).digest(), "little")
        self._generators = {
            process: np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
            for number, process in enumerate(PROCESSES)
        }

    def restore(self, process: str, rows: Rows) -> Rows:
        """Return the next events of a process with unrounded momenta.

        Parameters
        ----------
        process : str
            Of which each is a stream of its own: only the order of its events counts.
        rows : array of shape (n, 16), float32
            Rounded primaries.
        """
        offset = self._generators[process].random((len(rows), len(_PT))) - 0.5
        n_jets = rows[:, _N_JETS]
        # The sum of all jets has the digits of its jets; those of a third one are its own.
        offset[:, 1] *= n_jets >= 1
        offset[:, 2] *= n_jets >= 2
        total = offset[:, 1] + offset[:, 2] + offset[:, 3] * (n_jets >= 3)
        offset[:, 3] = total - np.rint(total)
        restored = rows.copy()
        official = rows[:, _PT]
        pt = (official + _LAST * offset).astype(np.float32)
        exists = (official > 0) & (rounded(pt) == official)
        restored[:, _PT] = np.where(exists, pt, official)
        return restored
