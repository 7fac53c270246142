"""Four-vectors in the collider's coordinates: pt, eta, phi and mass, of scalars and arrays.

Momenta and masses in GeV, azimuthal angles in radians.

Examples
--------
>>> tau = V4()
>>> tau.setPtEtaPhiM(pt=40.0, eta=0.0, phi=0.0, m=0.0)
>>> float(tau.pt()), float(tau.m())
(40.0, 0.0)
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["V4"]


# A V4 may be short of energy by this much (GeV) before it is refused: room for rounded input.
_ENERGY_TOLERANCE = 1e-3


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

    Examples
    --------
    >>> V4(3.0, 4.0, 0.0, 13.0).m().item()
    12.0
    >>> (V4(3.0, 4.0, 0.0, 13.0) + V4(-3.0, -4.0, 0.0, 13.0)).m().item()
    26.0
    """

    def __init__(self, apx: Any = 0.0, apy: Any = 0.0, apz: Any = 0.0, ae: Any = 0.0) -> None:
        self.px, self.py, self.pz, self.e = apx, apy, apz, ae
        if np.any(np.asarray(self.e) + _ENERGY_TOLERANCE < self.p()):
            raise ValueError(
                f"a four-vector needs an energy of at least its momentum: e = {self.e}, "
                f"p = {self.p()}"
            )

    def copy(self) -> V4:
        """Return an independent copy.

        Examples
        --------
        >>> a = V4(3.0, 4.0, 0.0, 13.0)
        >>> b = a.copy()
        >>> b.scale(2.0)
        >>> a.px, b.px
        (3.0, 6.0)
        """
        other = V4()
        other.px, other.py, other.pz, other.e = (
            np.copy(component) if isinstance(component, np.ndarray) else component
            for component in (self.px, self.py, self.pz, self.e)
        )
        return other

    def p2(self) -> Any:
        """Squared momentum [GeV^2].

        Examples
        --------
        >>> V4(3.0, 4.0, 0.0, 13.0).p2()
        25.0
        """
        return self.px**2 + self.py**2 + self.pz**2

    def p(self) -> Any:
        """Momentum [GeV].

        Examples
        --------
        >>> V4(3.0, 4.0, 0.0, 13.0).p().item()
        5.0
        """
        return np.sqrt(self.p2())

    def pt2(self) -> Any:
        """Squared transverse momentum [GeV^2].

        Examples
        --------
        >>> V4(3.0, 4.0, 12.0, 13.0).pt2()
        25.0
        """
        return self.px**2 + self.py**2

    def pt(self) -> Any:
        """Transverse momentum [GeV].

        Examples
        --------
        >>> V4(3.0, 4.0, 12.0, 13.0).pt().item()
        5.0
        """
        return np.sqrt(self.pt2())

    def m(self) -> Any:
        """Mass [GeV]; the absolute value guards against e^2 - p^2 < 0 by rounding.

        Examples
        --------
        >>> V4(3.0, 4.0, 0.0, 13.0).m().item()
        12.0
        """
        return np.sqrt(np.abs(self.e**2 - self.p2()))

    def eta(self) -> Any:
        """Pseudo-rapidity.

        Examples
        --------
        >>> round(V4(3.0, 4.0, 12.0, 13.0).eta().item(), 3)
        1.609
        """
        return np.arcsinh(self.pz / self.pt())

    def phi(self) -> Any:
        """Azimuthal angle in [-pi, pi].

        Examples
        --------
        >>> round(V4(3.0, 4.0, 12.0, 13.0).phi().item(), 3)
        0.927
        """
        return np.arctan2(self.py, self.px)

    def deltaPhi(self, v: V4) -> Any:  # noqa: N802 (name of the reference API)
        """Azimuthal angle from ``v`` to this vector, in [-pi, pi).

        Examples
        --------
        >>> round(V4(1.0, 1.0, 0.0, 2.0).deltaPhi(V4(1.0, 0.0, 0.0, 1.0)).item(), 3)
        0.785
        """
        return (self.phi() - v.phi() + 3 * np.pi) % (2 * np.pi) - np.pi

    def deltaEta(self, v: V4) -> Any:  # noqa: N802
        """Difference in pseudo-rapidity to ``v``.

        Examples
        --------
        >>> round(V4(3.0, 4.0, 12.0, 13.0).deltaEta(V4(1.0, 0.0, 0.0, 1.0)).item(), 3)
        1.609
        """
        return self.eta() - v.eta()

    def deltaR(self, v: V4) -> Any:  # noqa: N802
        """Distance to ``v`` in the (eta, phi) plane.

        Examples
        --------
        >>> round(V4(3.0, 4.0, 12.0, 13.0).deltaR(V4(1.0, 0.0, 0.0, 1.0)).item(), 3)
        1.857
        """
        return np.sqrt(self.deltaPhi(v) ** 2 + self.deltaEta(v) ** 2)

    def eWithM(self, m: Any = 0.0) -> Any:  # noqa: N802
        """Energy that this momentum has at mass ``m`` [GeV].

        Examples
        --------
        >>> V4(3.0, 4.0, 0.0, 5.0).eWithM(12.0).item()
        13.0
        """
        return np.sqrt(self.p2() + m**2)

    def scale(self, factor: Any = 1.0) -> None:
        """Multiply the whole vector by ``factor``; the energy stays positive.

        Examples
        --------
        >>> a = V4(3.0, 4.0, 0.0, 13.0)
        >>> a.scale(2.0)
        >>> a.px, a.py, a.m().item()
        (6.0, 8.0, 24.0)
        """
        self.px = self.px * factor
        self.py = self.py * factor
        self.pz = self.pz * factor
        self.e = np.abs(self.e * factor)

    def scaleFixedM(self, factor: Any = 1.0) -> None:  # noqa: N802
        """Multiply the momentum by ``factor`` and keep the mass.

        Examples
        --------
        >>> a = V4(3.0, 4.0, 0.0, 13.0)
        >>> a.scaleFixedM(2.0)
        >>> a.px, a.py, round(a.m().item(), 6)
        (6.0, 8.0, 12.0)
        """
        mass = self.m()
        self.px = self.px * factor
        self.py = self.py * factor
        self.pz = self.pz * factor
        self.e = self.eWithM(mass)

    def setPtEtaPhiM(  # noqa: N802
        self, pt: Any = 0.0, eta: Any = 0.0, phi: Any = 0.0, m: Any = 0.0
    ) -> None:
        """Set all components from transverse momentum, pseudo-rapidity, azimuth and mass.

        Examples
        --------
        >>> a = V4()
        >>> a.setPtEtaPhiM(pt=5.0, eta=0.0, phi=0.0, m=12.0)
        >>> a.e.item()
        13.0
        """
        self.px = pt * np.cos(phi)
        self.py = pt * np.sin(phi)
        self.pz = pt * np.sinh(eta)
        self.e = self.eWithM(m)

    def sum(self, v: V4) -> None:
        """Add ``v`` to this vector.

        Examples
        --------
        >>> a = V4(3.0, 4.0, 0.0, 13.0)
        >>> a.sum(V4(-3.0, -4.0, 0.0, 13.0))
        >>> a.px, a.e
        (0.0, 26.0)
        """
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
