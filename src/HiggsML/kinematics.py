"""Relativistic kinematics in the collider's coordinates: pt, eta, phi and four-vectors.

All functions work element by element on scalars and arrays alike.
Momenta and masses in GeV, azimuthal angles in radians.

Examples
--------
>>> tau = V4()
>>> tau.setPtEtaPhiM(pt=40.0, eta=0.0, phi=0.0, m=0.0)
>>> float(tau.pt()), float(tau.m())
(40.0, 0.0)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from HiggsML.chunks import Scratch

__all__ = ["V4", "Array", "Direction", "Directions", "azimuth", "length"]

Array = NDArray[np.floating[Any]]

Direction = tuple[Array, Array]
"""Cosine and sine of an azimuthal angle."""

# A V4 may be short of energy by this much (GeV) before it is refused: room for rounded input.
_ENERGY_TOLERANCE = 1e-3

# (4/pi) arctan(u) = c0 u + c1 u^3 + ...: the odd polynomial of least greatest error on [-1, 1],
# which is 5e-8, less than the rounding of float32.
_ARCTAN = (
    *(1.2732387, -0.424368968, 0.253967561, -0.177090168),
    *(0.122768261, -0.071189773, 0.0278367735, -0.0051624327),
)


def length(x: Array, y: Array, out: Array, spare: Array) -> None:
    """Write sqrt(x^2 + y^2) into ``out``, which may be ``x``."""
    np.square(y, out=spare)
    np.square(x, out=out)
    out += spare
    np.sqrt(out, out=out)


def azimuth(x: Array, y: Array, r: Array, out: Array, spares: Sequence[Array]) -> None:
    """Write the azimuthal angle of vectors (x, y) into ``out``, in [-pi, pi].

    In single precision it is computed from arctan(y / (r + |x|)), half of the angle to the x axis,
    with an error below 5e-7: where the processor has no instructions for NumPy's arctan2, five
    times as fast, and the same bits on all processors.

    Parameters
    ----------
    x, y, r : array of shape (n,)
        Components and length; all zero gives 0.
    out : array of shape (n,)
        Where the angles go.
    spares : sequence of two arrays of shape (n,)
        For intermediate steps.
    """
    if out.dtype != np.float32:
        np.arctan2(y, x, out=out)
        return
    half, square = spares
    np.abs(x, out=half)
    half += r
    half += np.finfo(np.float32).tiny
    np.divide(y, half, out=half)
    np.square(half, out=square)
    np.multiply(square, _ARCTAN[-1], out=out)
    for coefficient in _ARCTAN[-2:0:-1]:
        out += coefficient
        out *= square
    out += _ARCTAN[0]
    out *= half  # in units of a right angle, as if x were positive
    np.copysign(np.pi / 2, x, out=half)
    out *= half
    np.subtract(np.pi / 2, half, out=half)
    out += np.copysign(half, y, out=half)


class Directions:
    """Directions of an event's particles in the transverse plane, computed when first asked for.

    ``directions["had"]`` are the cosines and sines of ``PRI_had_phi``; nobody may change them. No
    other arithmetic takes as long, so shifts and derived quantities share what both need.

    Parameters
    ----------
    event : mapping of str to array
        The ``PRI_`` columns, each of shape (n,).
    scratch : Scratch, optional
        Where the results are kept, of the columns' type; not to be used for anything else.
    """

    def __init__(self, event: Mapping[str, Array], scratch: Scratch | None = None) -> None:
        self._event = event
        self._scratch = scratch or Scratch(event["PRI_met"].dtype)
        self._known: dict[str, Direction] = {}

    def __getitem__(self, particle: str) -> Direction:
        if particle not in self._known:
            phi = self._event[f"PRI_{particle}_phi"]
            *_, x, y = self._scratch.take(2 * len(self._known) + 2, phi.size)
            self._known[particle] = np.cos(phi, out=x), np.sin(phi, out=y)
        return self._known[particle]

    def update(self, particle: str, rows: NDArray[np.intp]) -> None:
        """Take note that the angles in some rows have changed."""
        if particle in self._known:
            phi = self._event[f"PRI_{particle}_phi"][rows]
            for values, function in zip(self._known[particle], (np.cos, np.sin), strict=True):
                values[rows] = function(phi)


class V4:
    """A four-vector (px, py, pz, e) whose components are scalars or arrays of one shape.

    Parameters
    ----------
    apx, apy, apz, ae : float or array
        Momentum components and energy [GeV].

    Raises
    ------
    ValueError
        If the energy is smaller than the momentum, beyond rounding.
    """

    def __init__(self, apx: Any = 0.0, apy: Any = 0.0, apz: Any = 0.0, ae: Any = 0.0) -> None:
        self.px, self.py, self.pz, self.e = apx, apy, apz, ae
        if np.any(np.asarray(self.e) + _ENERGY_TOLERANCE < self.p()):
            raise ValueError(
                f"a four-vector needs an energy of at least its momentum: e = {self.e}, "
                f"p = {self.p()}"
            )

    def copy(self) -> V4:
        """Return an independent copy."""
        other = V4()
        other.px, other.py, other.pz, other.e = (
            np.copy(component) if isinstance(component, np.ndarray) else component
            for component in (self.px, self.py, self.pz, self.e)
        )
        return other

    def p2(self) -> Any:
        """Squared momentum [GeV^2]."""
        return self.px**2 + self.py**2 + self.pz**2

    def p(self) -> Any:
        """Momentum [GeV]."""
        return np.sqrt(self.p2())

    def pt2(self) -> Any:
        """Squared transverse momentum [GeV^2]."""
        return self.px**2 + self.py**2

    def pt(self) -> Any:
        """Transverse momentum [GeV]."""
        return np.sqrt(self.pt2())

    def m(self) -> Any:
        """Mass [GeV]; the absolute value guards against e^2 - p^2 < 0 by rounding."""
        return np.sqrt(np.abs(self.e**2 - self.p2()))

    def eta(self) -> Any:
        """Pseudo-rapidity."""
        return np.arcsinh(self.pz / self.pt())

    def phi(self) -> Any:
        """Azimuthal angle in [-pi, pi]."""
        return np.arctan2(self.py, self.px)

    def deltaPhi(self, v: V4) -> Any:  # noqa: N802 (name of the reference API)
        """Azimuthal angle from ``v`` to this vector, in [-pi, pi)."""
        return (self.phi() - v.phi() + 3 * np.pi) % (2 * np.pi) - np.pi

    def deltaEta(self, v: V4) -> Any:  # noqa: N802
        """Difference in pseudo-rapidity to ``v``."""
        return self.eta() - v.eta()

    def deltaR(self, v: V4) -> Any:  # noqa: N802
        """Distance to ``v`` in the (eta, phi) plane."""
        return np.sqrt(self.deltaPhi(v) ** 2 + self.deltaEta(v) ** 2)

    def eWithM(self, m: Any = 0.0) -> Any:  # noqa: N802
        """Energy that this momentum has at mass ``m`` [GeV]."""
        return np.sqrt(self.p2() + m**2)

    def scale(self, factor: Any = 1.0) -> None:
        """Multiply the whole vector by ``factor``; the energy stays positive."""
        self.px = self.px * factor
        self.py = self.py * factor
        self.pz = self.pz * factor
        self.e = np.abs(self.e * factor)

    def scaleFixedM(self, factor: Any = 1.0) -> None:  # noqa: N802
        """Multiply the momentum by ``factor`` and keep the mass."""
        mass = self.m()
        self.px = self.px * factor
        self.py = self.py * factor
        self.pz = self.pz * factor
        self.e = self.eWithM(mass)

    def setPtEtaPhiM(  # noqa: N802
        self, pt: Any = 0.0, eta: Any = 0.0, phi: Any = 0.0, m: Any = 0.0
    ) -> None:
        """Set all components from transverse momentum, pseudo-rapidity, azimuth and mass."""
        self.px = pt * np.cos(phi)
        self.py = pt * np.sin(phi)
        self.pz = pt * np.sinh(eta)
        self.e = self.eWithM(m)

    def sum(self, v: V4) -> None:
        """Add ``v`` to this vector."""
        self += v

    def __iadd__(self, other: V4) -> V4:
        if not isinstance(other, V4):
            return NotImplemented
        self.px = self.px + other.px
        self.py = self.py + other.py
        self.pz = self.pz + other.pz
        self.e = self.e + other.e
        return self

    def __add__(self, other: V4) -> V4:
        if not isinstance(other, V4):
            return NotImplemented
        total = self.copy()
        total += other
        return total

    def __str__(self) -> str:
        return (
            f"V4(px={self.px}, py={self.py}, pz={self.pz}, e={self.e}; "
            f"pt={self.pt()}, eta={self.eta()}, phi={self.phi()}, m={self.m()})"
        )
