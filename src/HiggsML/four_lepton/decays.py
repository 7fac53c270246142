"""Two-body decays and the share of a tau's momentum that its lepton takes, on arrays of events.

Momenta and masses are in GeV, angles in radians; every array has one entry per event.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BoolArray",
    "FloatArray",
    "Momenta",
    "breit_wigner",
    "leptonic_visible_share",
    "two_body_decay",
    "wrap_angle",
]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


class Momenta(NamedTuple):
    """Four-momenta of one particle per event: transverse momentum, rapidity, azimuth, mass."""

    pt: FloatArray
    rapidity: FloatArray
    phi: FloatArray
    mass: FloatArray

    @property
    def transverse(self) -> FloatArray:
        """The x and y components [GeV], shape (events, 2)."""
        return np.stack([self.pt * np.cos(self.phi), self.pt * np.sin(self.phi)], axis=1)

    def scaled(self, factor: FloatArray) -> Momenta:
        """Give a massless particle in the same direction with ``factor`` times the momentum."""
        return Momenta(self.pt * factor, self.rapidity, self.phi, np.zeros_like(self.pt))


def wrap_angle(phi: FloatArray) -> FloatArray:
    """Bring azimuths [rad] into -pi .. pi."""
    return phi - 2 * np.pi * np.rint(phi / (2 * np.pi))


def breit_wigner(
    rng: np.random.Generator, n: int, *, mass: float, width: float, low: float, high: float
) -> FloatArray:
    """Draw ``n`` masses [GeV] from a Breit-Wigner curve cut to ``low`` .. ``high``."""
    ends = np.arctan((np.array([low, high]) - mass) / (width / 2))
    return mass + width / 2 * np.tan(rng.uniform(ends[0], ends[1], n))


def two_body_decay(
    rng: np.random.Generator,
    parent: Momenta,
    cos_theta: FloatArray,
    *,
    masses: tuple[float | FloatArray, float | FloatArray] = (0.0, 0.0),
) -> tuple[Momenta, Momenta]:
    """Decay every parent into two particles.

    The parent is boosted first along its transverse momentum, then along the beam, so that
    ``cos_theta`` is the polar angle of the first particle in the Collins-Soper frame.

    Parameters
    ----------
    rng
        Source of the azimuth in the rest frame.
    parent
        Decaying particles, each heavier than the sum of ``masses``.
    cos_theta
        Cosine of the polar angle of the first particle in the rest frame.
    masses
        Masses of the two products [GeV], for all events or one per event.

    Returns
    -------
    The two products, boosted to the laboratory.
    """
    heavy = parent.mass
    total, difference = masses[0] + masses[1], masses[0] - masses[1]
    momentum = np.sqrt((heavy**2 - total**2) * (heavy**2 - difference**2)) / (2 * heavy)
    azimuth = rng.uniform(-np.pi, np.pi, heavy.size)
    sine = np.sqrt(1 - cos_theta**2)
    x = momentum * sine * np.cos(azimuth)
    y = momentum * sine * np.sin(azimuth)
    z = momentum * cos_theta
    gamma_beta = parent.pt / heavy
    gamma = np.sqrt(1 + gamma_beta**2)

    def to_laboratory(sign: int, mass: float | FloatArray) -> Momenta:
        along = gamma * sign * x + gamma_beta * np.sqrt(momentum**2 + mass**2)
        pt = np.hypot(along, y)
        rapidity = parent.rapidity + np.arcsinh(sign * z / np.hypot(pt, mass))
        phi = wrap_angle(parent.phi + np.arctan2(sign * y, along))
        return Momenta(pt, rapidity, phi, np.full_like(pt, mass))

    return to_laboratory(1, masses[0]), to_laboratory(-1, masses[1])


def decay_along_flight(
    rng: np.random.Generator,
    parent: Momenta,
    cosine: FloatArray,
    *,
    masses: tuple[float | FloatArray, float | FloatArray],
) -> tuple[Momenta, Momenta]:
    """Decay every parent into two particles, at a given angle to its direction of flight.

    Parameters
    ----------
    rng
        Source of the azimuth around the direction of flight.
    parent
        Decaying particles, each heavier than the sum of ``masses``.
    cosine
        Of the angle between the first particle, in the parent's rest frame, and its flight.
    masses
        Masses of the two products [GeV].
    """
    energy, x, y, z = _components(parent)
    momentum = np.sqrt(x**2 + y**2 + z**2)
    flight = np.stack([x, y, z]) / momentum
    across = np.cross(flight, [0.0, 0.0, 1.0], axis=0)
    across /= np.linalg.norm(across, axis=0)
    third = np.cross(flight, across, axis=0)
    azimuth = rng.uniform(-np.pi, np.pi, cosine.size)
    sine = np.sqrt(1 - cosine**2)
    mass = parent.mass
    total, difference = masses[0] + masses[1], masses[0] - masses[1]
    size = np.sqrt((mass**2 - total**2) * (mass**2 - difference**2)) / (2 * mass)
    sideways = size * sine * (np.cos(azimuth) * across + np.sin(azimuth) * third)

    def product(sign: int, own: float | FloatArray) -> Momenta:
        rest_energy = np.sqrt(size**2 + own**2)
        along = (energy * sign * size * cosine + momentum * rest_energy) / mass
        return _of_components(along * flight + sign * sideways, np.broadcast_to(own, mass.shape))

    return product(1, masses[0]), product(-1, masses[1])


def moved_with(parent: Momenta, particle: Momenta) -> Momenta:
    """Bring a particle from its parent's rest frame to the laboratory."""
    parent_energy, *velocity = _components(parent)
    energy, *own = _components(particle)
    along = sum(p * q for p, q in zip(velocity, own, strict=True)) / parent.mass
    factor = along / (parent_energy + parent.mass) + energy / parent.mass
    moved = np.stack([q + p * factor for p, q in zip(velocity, own, strict=True)])
    return _of_components(moved, particle.mass)


def _components(particle: Momenta) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return energy and the three components of the momentum."""
    transverse_mass = np.hypot(particle.pt, particle.mass)
    return (
        transverse_mass * np.cosh(particle.rapidity),
        particle.pt * np.cos(particle.phi),
        particle.pt * np.sin(particle.phi),
        transverse_mass * np.sinh(particle.rapidity),
    )


def _of_components(momentum: FloatArray, mass: FloatArray) -> Momenta:
    x, y, z = momentum
    pt = np.hypot(x, y)
    return Momenta(pt, np.arcsinh(z / np.hypot(pt, mass)), np.arctan2(y, x), mass)


def _leptonic_cdf(x: FloatArray, polarization: int) -> FloatArray:
    # Integral of (1 - x) / 3 [(5 + 5x - 4x^2) + P (1 + x - 8x^2)], in collinear approximation.
    unpolarized = 5 * x - 3 * x**3 + x**4
    polarized = x - 3 * x**3 + 2 * x**4
    return (unpolarized + polarization * polarized) / 3


_GRID = np.linspace(0.0, 1.0, 2001)
_LEPTONIC_CDF = {sign: _leptonic_cdf(_GRID, sign) for sign in (-1, 1)}


def leptonic_visible_share(rng: np.random.Generator, polarization: FloatArray) -> FloatArray:
    """Draw the share of the tau's momentum that the electron or muon takes.

    Parameters
    ----------
    rng
        Source of randomness.
    polarization
        +1 or -1 per event.
    """
    uniform = rng.random(polarization.size)
    right = np.interp(uniform, _LEPTONIC_CDF[1], _GRID)
    left = np.interp(uniform, _LEPTONIC_CDF[-1], _GRID)
    return np.where(polarization > 0, right, left)
