"""Events as columns, with the directions and momenta of their particles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from HiggsML.physics.kinematics import Array, Vector, direction
from HiggsML.schema import MISSING

__all__ = ["Event", "replaced"]

_OF_TWO_JETS = (
    "PRI_lep_eta",
    *(f"PRI_jet_{jet}_{part}" for jet in ("leading", "subleading") for part in ("pt", "eta")),
    "PRI_jet_subleading_phi",
)


class Event:
    """The ``PRI_`` columns of n events, of one floating-point type, which nobody may change.

    Directions take more time than any other arithmetic, so each is computed once, when it is first
    asked for, and goes on to the events that are made of these where its angle does.

    Parameters
    ----------
    columns : mapping of str to array
        The primaries, or those that will be asked for, each of shape (n,).

    Examples
    --------
    >>> event = Event({"PRI_had_pt": np.array([40.0]), "PRI_had_phi": np.array([0.0])})
    >>> event.momentum("had")
    Vector(x=array([40.]), y=array([0.]))
    >>> event.having({"PRI_had_pt": np.array([42.0])})["PRI_had_pt"]
    array([42.])
    """

    def __init__(
        self, columns: Mapping[str, Array], directions: Mapping[str, Vector] | None = None
    ) -> None:
        self.columns = columns
        self._directions = dict(directions or {})
        self._momenta: dict[tuple[str, ...], Vector] = {}
        self._two_jets: tuple[NDArray[np.intp], Event] | None = None

    def __len__(self) -> int:
        return next(iter(self.columns.values())).size

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    def direction(self, particle: str) -> Vector:
        """Unit vector of a particle ("lep", "had", "met", "jet_leading", "jet_subleading")."""
        if particle not in self._directions:
            self._directions[particle] = direction(self[f"PRI_{particle}_phi"])
        return self._directions[particle]

    def momentum(self, *particles: str) -> Vector:
        """Transverse momentum [GeV] of particles together; a jet that an event lacks has none."""
        if particles not in self._momenta:
            *others, last = particles
            momentum = self._momentum(last)
            self._momenta[particles] = self.momentum(*others) + momentum if others else momentum
        return self._momenta[particles]

    def _momentum(self, particle: str) -> Vector:
        if particle == "jet_subleading":
            # Fewer than one event in five has a second jet: only theirs are computed.
            rows, pair = self.two_jets()
            pt = pair["PRI_jet_subleading_pt"]
            return (pt * pair.direction(particle)).spread(rows, len(self))
        pt = self["PRI_met" if particle == "met" else f"PRI_{particle}_pt"]
        if particle == "jet_leading":
            pt = pt * (self["PRI_n_jets"] >= 1)
        return pt * self.direction(particle)

    def two_jets(self) -> tuple[NDArray[np.intp], Event]:
        """Return which events have two jets or more, and what formulas of two jets need of them."""
        if self._two_jets is None:
            rows = np.flatnonzero(self["PRI_n_jets"] >= 2)
            leading = self.direction("jet_leading").take(rows)
            pair = Event(
                {name: self[name].take(rows) for name in _OF_TWO_JETS}, {"jet_leading": leading}
            )
            self._two_jets = rows, pair
        return self._two_jets

    def having(self, columns: Mapping[str, Array]) -> Event:
        """Return the same events with other values in some columns."""
        same = {
            particle: known
            for particle, known in self._directions.items()
            if f"PRI_{particle}_phi" not in columns
        }
        return Event({**self.columns, **columns}, same)

    def without(self, particle: str, rows: NDArray[np.intp]) -> Event:
        """Return the same events, where a particle is missing in some rows."""
        names = [f"PRI_{particle}_{part}" for part in ("pt", "eta", "phi")]
        made = self.having({name: replaced(self[name], rows, MISSING) for name in names})
        if particle in self._directions:
            known = self._directions[particle]
            nowhere = direction(np.full(1, MISSING, known.x.dtype))
            made._directions[particle] = Vector(
                replaced(known.x, rows, nowhere.x), replaced(known.y, rows, nowhere.y)
            )
        return made


def replaced(column: Array, rows: NDArray[np.intp], values: Array | float) -> Array:
    """Return a copy of a column with other values in some rows.

    Examples
    --------
    >>> replaced(np.array([1.0, 2.0, 3.0]), np.array([1]), 0.0)
    array([1., 0., 3.])
    """
    changed = column.copy()
    changed[rows] = values
    return changed
