"""Parametric engine: toy events of the four processes, in NumPy.

Z and H bosons follow parametrizations of their mass, transverse momentum and rapidity; top and
weak-boson pairs decay through two-body chains with flat angles. The numbers were set by hand to
resemble public samples of the challenge; none is a measurement. Momenta are in GeV.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from HiggsML.errors import SettingsError
from HiggsML.generator.decays import (
    BoolArray,
    FloatArray,
    Momenta,
    breit_wigner,
    hadronic_visible_share,
    leptonic_visible_share,
    two_body_decay,
)
from HiggsML.generator.detector import (
    HardEvents,
    Jets,
    Response,
    hadronic_activity,
    preselect,
    reconstruct,
)
from HiggsML.schema import PRI_COLUMNS, PROCESSES

__all__ = ["GENERATOR", "generate_events"]

GENERATOR = {"name": "parametric", "version": "1"}
"""What the metadata of a dataset says about its origin; the version changes with the events."""

Z_MASS, Z_WIDTH = 91.19, 2.495
W_MASS = 80.4
H_MASS = 125.0
TOP_MASS, B_MASS = 172.5, 4.8

# A W that gives an electron or muon does so through a tau in this share of cases:
# 0.113 x 0.352 / (0.216 + 0.113 x 0.352).
TAU_SHARE_OF_LEPTONS = 0.155

_BATCH_MAX = 100_000
_BATCH_MIN = 4_000


@dataclass(frozen=True, kw_only=True)
class _Boson:
    """Transverse momentum p / (1 + p / end), p = a sqrt(u^(-1/c) - 1), rapidity by a Beta(b, b).

    The rapidity is 4.2 (2 Beta(b, b) - 1). Without the bend at ``pt_end`` the power law has too
    many events far above 100 GeV.
    """

    pt_scale: float
    pt_index: float
    pt_end: float
    rapidity_shape: float

    def pt(self, rng: np.random.Generator, n: int) -> FloatArray:
        pt: FloatArray = self.pt_scale * np.sqrt((1 - rng.random(n)) ** (-1 / self.pt_index) - 1)
        bent: FloatArray = pt / (1 + pt / self.pt_end)
        return bent

    def rapidity(self, rng: np.random.Generator, n: int) -> FloatArray:
        return 4.2 * (2 * rng.beta(self.rapidity_shape, self.rapidity_shape, n) - 1)


_Z_BOSON = _Boson(pt_scale=10.6, pt_index=0.71, pt_end=320.0, rapidity_shape=2.06)
_H_BOSON = _Boson(pt_scale=18.0, pt_index=0.48, pt_end=400.0, rapidity_shape=3.33)

_Z_RESPONSE = Response(
    tau_offset=1.35,
    tau_noise=0.70,
    isolation=4.0,
    soft=4.3,
    soft_growth=np.inf,
    extra_base=0.076,
    extra_slope=0.234,
    extra_power=2.2,
    extra_max=1.8,
    extra_index=3.0,
    extra_eta_width=2.8,
    extra_balance=0.5,
    main_follow=0.45,
    main_eta_width=2.14,
    split_share=0.43,
    split_phi_width=1.06,
    split_power=1.1,
    jet_response=0.82,
    jet_noise=2.4,
    met_noise=6.3,
    tau_in_met=0.50,
    jet_in_met=0.51,
)
_H_RESPONSE = Response(
    tau_offset=1.54,
    tau_noise=1.02,
    isolation=2.9,
    soft=5.05,
    soft_growth=57.6,
    extra_base=0.25,
    extra_slope=0.16,
    extra_power=1.13,
    extra_max=2.4,
    extra_index=2.55,
    extra_eta_width=2.2,
    extra_balance=0.5,
    main_follow=0.82,
    main_eta_width=2.5,
    split_share=0.67,
    split_phi_width=0.63,
    split_power=0.43,
    jet_response=0.87,
    jet_noise=0.82,
    met_noise=8.0,
    tau_in_met=0.41,
    jet_in_met=0.53,
)
_RESPONSES = {
    "ztautau": _Z_RESPONSE,
    "htautau": _H_RESPONSE,
    "diboson": replace(_H_RESPONSE, extra_slope=0.10, main_eta_width=2.2),
    "ttbar": replace(
        _H_RESPONSE, isolation=8.0, extra_base=0.5, main_eta_width=2.0, jet_response=0.95
    ),
}


def _flat(rng: np.random.Generator, n: int) -> FloatArray:
    return rng.uniform(-1, 1, n)


def _one_plus_cos2(rng: np.random.Generator, n: int) -> FloatArray:
    # Density 3/8 (1 + c^2): its cumulative is a cubic, c^3 + 3 c = 8 u - 4, solved in closed form.
    half = 4 * rng.random(n) - 2
    root = np.sqrt(half**2 + 1)
    cosine: FloatArray = np.cbrt(half + root) + np.cbrt(half - root)
    return cosine


def _no_jets(n: int) -> Jets:
    empty = np.zeros((n, 0))
    return Jets(empty, empty, empty)


def _signs(rng: np.random.Generator, n: int, mean: float = 0.0) -> FloatArray:
    return np.where(rng.random(n) < (1 + mean) / 2, 1.0, -1.0)


def _from_transverse(vector: FloatArray, rapidity: FloatArray, mass: FloatArray) -> Momenta:
    return Momenta(np.hypot(*vector.T), rapidity, np.arctan2(vector[:, 1], vector[:, 0]), mass)


def _isotropic_vector(rng: np.random.Generator, size: FloatArray) -> FloatArray:
    phi = rng.uniform(-np.pi, np.pi, size.size)
    return np.stack([size * np.cos(phi), size * np.sin(phi)], axis=1)


def _z_mass(rng: np.random.Generator, n: int) -> FloatArray:
    """Z peak, with 2.5 % of the photon's 1/m^2 between 50 and 250 GeV."""
    peak = breit_wigner(rng, n, mass=Z_MASS, width=Z_WIDTH, low=50.0, high=300.0)
    photon = 1 / rng.uniform(1 / 250, 1 / 50, n)
    return np.where(rng.random(n) < 0.025, photon, peak)


def _tau_pair(
    rng: np.random.Generator, boson: Momenta, *, spin: int
) -> tuple[Momenta, Momenta, BoolArray, FloatArray]:
    """Decay a Z (spin 1) or a Higgs boson (spin 0) to a lepton, a visible tau and neutrinos."""
    n = boson.pt.size
    cos_theta = _one_plus_cos2(rng, n) if spin else _flat(rng, n)
    first, second = two_body_decay(rng, boson, cos_theta)
    # The Z gives taus of opposite helicity, which in the decays act as equal polarizations.
    polarization = _signs(rng, n, mean=-0.147 if spin else 0.0)
    lepton_share = leptonic_visible_share(rng, polarization)
    tau_share, multi_prong = hadronic_visible_share(rng, polarization if spin else -polarization)
    lepton, tau = first.scaled(lepton_share), second.scaled(tau_share)
    invisible = first.transverse + second.transverse - lepton.transverse - tau.transverse
    return lepton, tau, multi_prong, invisible


def _resonance(
    rng: np.random.Generator, boson: Momenta, *, spin: int, recoil: FloatArray, jets: Jets
) -> HardEvents:
    lepton, tau, multi_prong, invisible = _tau_pair(rng, boson, spin=spin)
    return HardEvents(lepton, tau, multi_prong, invisible, jets, recoil, boson.rapidity)


def _z_boson(rng: np.random.Generator, n: int) -> HardEvents:
    vector = _isotropic_vector(rng, _Z_BOSON.pt(rng, n))
    boson = _from_transverse(vector, _Z_BOSON.rapidity(rng, n), _z_mass(rng, n))
    return _resonance(rng, boson, spin=1, recoil=-vector, jets=_no_jets(n))


def _higgs_alone(rng: np.random.Generator, n: int) -> HardEvents:
    vector = _isotropic_vector(rng, _H_BOSON.pt(rng, n))
    boson = _from_transverse(vector, _H_BOSON.rapidity(rng, n), np.full(n, H_MASS))
    return _resonance(rng, boson, spin=0, recoil=-vector, jets=_no_jets(n))


def _higgs_vector_fusion(rng: np.random.Generator, n: int) -> HardEvents:
    """Vector-boson fusion: two forward jets in opposite hemispheres, which the H balances."""
    vectors = [_isotropic_vector(rng, rng.gamma(2.5, scale, n)) for scale in (32.0, 22.0)]
    side = _signs(rng, n)
    etas = [sign * side * np.abs(rng.normal(2.4, 1.1, n)) for sign in (1, -1)]
    massless = np.zeros(n)
    jets = Jets.of(
        *(_from_transverse(v, eta, massless) for v, eta in zip(vectors, etas, strict=True))
    )
    recoil = _isotropic_vector(rng, rng.gamma(2.0, 8.0, n))
    boson = _from_transverse(
        -vectors[0] - vectors[1] - recoil, _H_BOSON.rapidity(rng, n), np.full(n, H_MASS)
    )
    return _resonance(rng, boson, spin=0, recoil=recoil, jets=jets)


def _pair(
    rng: np.random.Generator,
    n: int,
    *,
    masses: tuple[float, float],
    pt_shape: float,
    pt_scale: float,
    recoil_scale: float,
) -> tuple[Momenta, Momenta, FloatArray, FloatArray]:
    """Two heavy particles back to back, their recoil and the rapidity of the system."""
    relative = _isotropic_vector(rng, rng.gamma(pt_shape, pt_scale, n))
    recoil = _isotropic_vector(rng, recoil_scale * np.sqrt((1 - rng.random(n)) ** (-1 / 1.2) - 1))
    center, apart = rng.normal(0, 0.9, n), rng.normal(0, 0.6, n)
    first = _from_transverse(relative - recoil / 2, center + apart, np.full(n, masses[0]))
    second = _from_transverse(-relative - recoil / 2, center - apart, np.full(n, masses[1]))
    return first, second, recoil, center


def _w_to_lepton(rng: np.random.Generator, w: Momenta) -> tuple[Momenta, FloatArray]:
    """Decay W bosons to an electron or muon, some of them through a tau, and neutrinos."""
    n = w.pt.size
    charged, neutrino = two_body_decay(rng, w, _flat(rng, n))
    # A tau from a W is fully polarized: -1.
    share = leptonic_visible_share(rng, np.full(n, -1.0))
    lepton = charged.scaled(np.where(rng.random(n) < TAU_SHARE_OF_LEPTONS, share, 1.0))
    return lepton, neutrino.transverse + charged.transverse - lepton.transverse


def _w_to_tau(rng: np.random.Generator, w: Momenta) -> tuple[Momenta, BoolArray, FloatArray]:
    """Decay W bosons to a visible tau and neutrinos."""
    charged, neutrino = two_body_decay(rng, w, _flat(rng, w.pt.size))
    share, multi_prong = hadronic_visible_share(rng, np.full(w.pt.size, -1.0))
    tau = charged.scaled(share)
    return tau, multi_prong, neutrino.transverse + charged.transverse - tau.transverse


def _jet_as_tau(rng: np.random.Generator, jets: Jets) -> tuple[Momenta, Jets]:
    """Turn one random jet of every event into a wrongly tagged tau, and drop it from the jets."""
    n, slots = jets.pt.shape
    rows, chosen = np.arange(n), rng.integers(slots, size=n)
    tau = Momenta(*(column[rows, chosen] for column in (*jets, np.zeros_like(jets.pt))))
    pt = jets.pt.copy()
    pt[rows, chosen] = 0.0
    return tau, jets._replace(pt=pt)


def _w_pair_to_events(
    rng: np.random.Generator,
    bosons: tuple[Momenta, Momenta],
    jets: Jets,
    recoil: FloatArray,
    rapidity: FloatArray,
    *,
    fake: bool,
) -> HardEvents:
    lepton, invisible = _w_to_lepton(rng, bosons[0])
    if fake:
        quarks = two_body_decay(rng, bosons[1], _flat(rng, rapidity.size))
        tau, jets = _jet_as_tau(rng, jets.beside(Jets.of(*quarks)))
        multi_prong = np.zeros(rapidity.size, dtype=np.bool_)
    else:
        tau, multi_prong, more = _w_to_tau(rng, bosons[1])
        invisible = invisible + more
    return HardEvents(lepton, tau, multi_prong, invisible, jets, recoil, rapidity)


def _top_pair(rng: np.random.Generator, n: int, *, fake: bool) -> HardEvents:
    first, second, recoil, rapidity = _pair(
        rng, n, masses=(TOP_MASS, TOP_MASS), pt_shape=2.5, pt_scale=47.0, recoil_scale=45.0
    )
    w1, b1 = two_body_decay(rng, first, _flat(rng, n), masses=(W_MASS, B_MASS))
    w2, b2 = two_body_decay(rng, second, _flat(rng, n), masses=(W_MASS, B_MASS))
    return _w_pair_to_events(rng, (w1, w2), Jets.of(b1, b2), recoil, rapidity, fake=fake)


def _w_pair(rng: np.random.Generator, n: int, *, fake: bool) -> HardEvents:
    first, second, recoil, rapidity = _pair(
        rng, n, masses=(W_MASS, W_MASS), pt_shape=2.0, pt_scale=22.0, recoil_scale=20.0
    )
    return _w_pair_to_events(rng, (first, second), _no_jets(n), recoil, rapidity, fake=fake)


def _boson_and_jets(
    rng: np.random.Generator, n: int, *, mass: float, spin: int, pt_scale: float
) -> HardEvents:
    """A Z or H to tau tau, beside a W or Z that decays to quarks."""
    boson, other, recoil, _ = _pair(
        rng, n, masses=(mass, W_MASS), pt_shape=2.0, pt_scale=pt_scale, recoil_scale=20.0
    )
    jets = Jets.of(*two_body_decay(rng, other, _flat(rng, n)))
    return _resonance(rng, boson, spin=spin, recoil=recoil, jets=jets)


_Channel = Callable[[np.random.Generator, int], HardEvents]

# Shares are of generated events, before the selection; those of tau fakes include the mistag rate.
_CHANNELS: dict[str, tuple[tuple[float, _Channel], ...]] = {
    "ztautau": ((1.0, _z_boson),),
    "htautau": (
        (0.843, _higgs_alone),
        (0.097, _higgs_vector_fusion),
        (0.060, lambda r, n: _boson_and_jets(r, n, mass=H_MASS, spin=0, pt_scale=35.0)),
    ),
    "diboson": (
        (0.76, lambda r, n: _w_pair(r, n, fake=False)),
        (0.17, lambda r, n: _boson_and_jets(r, n, mass=Z_MASS, spin=1, pt_scale=22.0)),
        (0.07, lambda r, n: _w_pair(r, n, fake=True)),
    ),
    "ttbar": (
        (0.80, lambda r, n: _top_pair(r, n, fake=False)),
        (0.20, lambda r, n: _top_pair(r, n, fake=True)),
    ),
}


def _trial(rng: np.random.Generator, process: str, trials: int) -> NDArray[np.float32]:
    """Selected events out of ``trials``, in random order."""
    channels = _CHANNELS[process]
    counts = rng.multinomial(trials, [share for share, _ in channels])
    response = _RESPONSES[process]
    rows = [
        reconstruct(rng, hadronic_activity(rng, preselect(channel(rng, n)), response), response)
        for (_, channel), n in zip(channels, counts.tolist(), strict=True)
        if n
    ]
    # The channels must not come in sequence: the caller keeps only as many rows as it needs.
    return rng.permutation(np.concatenate(rows))


def generate_events(process: str, *, events: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Generate selected events of one process.

    Parameters
    ----------
    process
        One of ``schema.PROCESSES``.
    events
        Number of events after the selection.
    rng
        Source of all randomness: the same state gives the same events.

    Returns
    -------
    Array of shape (events, 16), columns as ``schema.PRI_COLUMNS``, in GeV and radians, rounded to
    three decimals; a missing jet has ``schema.MISSING`` in all three quantities.

    Raises
    ------
    SettingsError
        If the process is unknown.

    Examples
    --------
    >>> generate_events("htautau", events=5, rng=np.random.default_rng(1)).shape
    (5, 16)
    """
    if process not in _CHANNELS:
        raise SettingsError(f"unknown process {process!r}: choose one of {', '.join(PROCESSES)}")
    kept: list[NDArray[np.float32]] = [np.empty((0, len(PRI_COLUMNS)), dtype=np.float32)]
    have, tried = 0, 0
    while have < events:
        efficiency = (have + 1) / (tried + 1) if tried else 0.1
        wanted = int(1.05 * (events - have) / efficiency)
        trials = min(max(wanted, _BATCH_MIN), _BATCH_MAX)
        rows = _trial(rng, process, trials)
        kept.append(rows)
        have, tried = have + len(rows), tried + trials
    return np.concatenate(kept)[:events]
