"""Toy events with four leptons: the Higgs boson at 125 GeV and the Z pair continuum.

The files have the columns of the ATLAS open-data exercise in CSV form, so that
:mod:`HiggsML.four_lepton` can be used with no download. The events are a toy for teaching: matrix
elements are reduced to propagators, splitting functions and phase space, interference is left out,
and the detector is a few resolutions and thresholds. Soft leptons come from Z bosons near 91 GeV,
so that a cut on them helps a Higgs boson.

Examples
--------
>>> frame = four_lepton_events("ggH125_ZZ4lep", 1000, seed=1)
>>> bool(abs(frame["mllll"].median() - 125) < 2)
True
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from HiggsML.errors import DataError, SettingsError
from HiggsML.four_lepton.decays import (
    BoolArray,
    FloatArray,
    Momenta,
    breit_wigner,
    decay_along_flight,
    leptonic_visible_share,
    moved_with,
    two_body_decay,
)

__all__ = ["FOUR_LEPTON_YIELDS", "four_lepton_events", "write_four_lepton"]

FOUR_LEPTON_YIELDS = MappingProxyType({"ggH125_ZZ4lep": 17.0, "llll": 600.0})
"""Expected events of each sample after the selection, of the size of 10 inverse femtobarns."""

Z_MASS, Z_WIDTH, H_MASS = 91.19, 2.495, 125.0

_PT_MIN = (25.0, 7.0, 7.0, 7.0)  # of the leptons by falling pt [GeV]; the first is the trigger's
_ETA_MAX = {11: 2.47, 13: 2.7}
_CHARGE_FLIP = {11: 0.015, 13: 0.002}  # chance that the charge is measured wrong
_PAIR_MASS_MIN = 5.0  # GeV; the smallest mass of a lepton pair
# Four electrons and muons other than of a Higgs boson, at 13 TeV and before cuts [fb]: 56 nb of Z
# with a branching ratio of 4.4e-6 (pairs above 5 GeV), and 17 pb of Z pairs with 0.0673 each
# (Particle Data Group, Review of Particle Physics). With one Z off its mass: as many as make the
# continuum of 115 to 130 GeV half of the Higgs events, as ATLAS expects (Eur. Phys. J. C 80 (2020)
# 942).
_CONTINUUM = {"one Z": 246.0, "Z and a light pair": 30.0, "two Z": 78.0}

# Z bosons go to electrons, muons and taus alike, but both taus of a pair become an electron or a
# muon in 0.352^2 of all cases only.
_FLAVORS = np.array([11, 13, 15])
_FLAVOR_SHARES = np.array([1.0, 1.0, 0.352**2]) / (2 + 0.352**2)
_TRIALS = 20_000


class _Leptons(NamedTuple):
    """Four leptons per event: arrays of shape (events, 4)."""

    pt: FloatArray
    eta: FloatArray
    phi: FloatArray
    kind: FloatArray
    charge: FloatArray

    def take(self, rows: BoolArray) -> _Leptons:
        return _Leptons(*(values[rows] for values in self))


def write_four_lepton(
    output: str | Path,
    *,
    events: int = 20_000,
    seed: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Write ``llll.csv`` and ``ggH125_ZZ4lep.csv``.

    Parameters
    ----------
    output : str or Path
        Directory; made if it is not there.
    events : int
        Rows of each file.
    seed : int, optional
        Makes the files repeatable.
    progress : callable
        Called with how many events of how many are made.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    DataError
        If one of the files exists, or can not be written.
    SettingsError
        If ``events`` is not positive.
    """
    directory = Path(output)
    paths = [directory / f"{sample}.csv" for sample in FOUR_LEPTON_YIELDS]
    if existing := [path for path in paths if path.exists()]:
        raise DataError(f"{existing[0]} exists: choose another directory, or delete it first")
    streams = np.random.SeedSequence(seed).spawn(len(paths))
    total = events * len(paths)
    frames = []
    for number, (sample, stream) in enumerate(zip(FOUR_LEPTON_YIELDS, streams, strict=True)):
        before = number * events
        frames.append(
            four_lepton_events(
                sample,
                events,
                seed=np.random.default_rng(stream),
                progress=lambda done, before=before: progress(before + done, total),  # type: ignore[misc]
            )
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, frame in zip(paths, frames, strict=True):
            frame.to_csv(path, index=False, float_format="%.7g")
    except OSError as error:
        raise DataError(f"{directory} can not be written: {error}") from error
    return paths


def four_lepton_events(
    sample: str,
    events: int,
    *,
    seed: int | np.random.Generator | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> pd.DataFrame:
    """Make selected events with four leptons.

    Parameters
    ----------
    sample : {"ggH125_ZZ4lep", "llll"}
        Higgs boson to four leptons, or all other production of four leptons.
    events : int
        Number of rows.
    seed : int or numpy.random.Generator, optional
        Source of randomness.
    progress : callable
        Called with the number of events that are made.

    Returns
    -------
    DataFrame
        ``lep_pt_0`` .. ``lep_pt_3`` by falling pt and ``lep_E_*`` [GeV], ``lep_eta_*``,
        ``lep_phi_*`` [rad], ``lep_charge_*``, ``lep_type_*`` (11 electron, 13 muon), ``mllll``
        [GeV], and ``totalWeight``, whose sum is the sample's expected number of events. Leptons
        of tau decays and wrongly measured charges give some events a wrong flavor or charge sum.

    Raises
    ------
    SettingsError
        If the sample is unknown or the number is not positive.
    """
    makers: dict[str, Callable[[np.random.Generator], list[Momenta]]] = {
        "ggH125_ZZ4lep": _higgs,
        "llll": _continuum,
    }
    if sample not in makers:
        known = ", ".join(makers)
        raise SettingsError(f"unknown four-lepton sample {sample!r}; known are {known}")
    if events < 1:
        raise SettingsError(f"a four-lepton sample needs at least one event, got {events}")
    rng = np.random.default_rng(seed)
    pieces: list[_Leptons] = []
    made = 0
    while made < events:
        pieces.append(_detected(_flavored(makers[sample](rng), rng), rng))
        made += len(pieces[-1].pt)
        progress(min(made, events))
    joined = _Leptons(*(np.concatenate(values)[:events] for values in zip(*pieces, strict=True)))
    return _frame(joined, FOUR_LEPTON_YIELDS[sample], rng)


def _higgs(rng: np.random.Generator) -> list[Momenta]:
    """Four leptons of Higgs bosons (gluon fusion) each."""
    mass, pair_masses = _z_pairs(rng, lambda n: np.full(n, H_MASS), _TRIALS)
    return _of_two_pairs(_moving(rng, mass, pt_scale=16.0, rapidity_width=1.1), pair_masses, rng)


def _continuum(rng: np.random.Generator) -> list[Momenta]:
    """Four leptons of Z bosons near 91 GeV, and of pairs of Z with one or both near their mass."""
    shares = np.array(list(_CONTINUUM.values()))
    counts = rng.multinomial(_TRIALS, shares / shares.sum())
    one, one_pair = _z_pairs(rng, lambda n: 95 + (2 * Z_MASS - 95) * rng.random(n) ** 4, counts[1])
    two, two_pair = _z_pairs(
        rng, lambda n: 2 * Z_MASS + 120 * (rng.random(n) ** (-1 / 3.2) - 1), counts[2]
    )
    single, emitter, pair, cosine = _radiating_z(rng, counts[0])
    pairs = _moving(rng, np.concatenate([one, two]), pt_scale=9.6, rapidity_width=1.35)
    parts = (
        _of_radiation(
            _moving(rng, single, pt_scale=9.6, rapidity_width=1.35), emitter, pair, cosine, rng
        ),
        _of_two_pairs(pairs, np.concatenate([one_pair, two_pair], axis=1), rng),
    )
    order = rng.permutation(_TRIALS)
    return [
        Momenta(*(np.concatenate(values)[order] for values in zip(*leptons, strict=True)))
        for leptons in zip(*parts, strict=True)
    ]


def _radiating_z(rng: np.random.Generator, count: int) -> tuple[FloatArray, ...]:
    """Draw Z bosons one of whose leptons radiates a virtual photon that becomes a light pair.

    In the collinear approximation the emitter's virtuality Q has dQ^2 / Q^2, the pair's mass m
    dm^2 / m^2, and the pair takes the share x of the emitter with (1 + (1 - x)^2) / x (G. Altarelli
    and G. Parisi, Nucl. Phys. B126 (1977) 298); the phase space of Z -> emitter + lepton is
    1 - Q^2 / M^2.

    Returns
    -------
    tuple of arrays
        Masses of Z, emitter and pair [GeV], and the cosine of the pair's angle to the emitter's
        direction in the emitter's rest frame.
    """
    drawn: list[FloatArray] = []
    while sum(part.shape[1] for part in drawn) < count:
        n = 20 * _TRIALS
        mass = breit_wigner(rng, n, mass=Z_MASS, width=Z_WIDTH, low=75, high=115)
        pair = np.exp(rng.uniform(np.log(_PAIR_MASS_MIN), np.log(mass)))
        emitter = np.exp(rng.uniform(np.log(pair), np.log(mass)))
        cosine = rng.uniform(-1, 1, n)
        ratio = (pair / emitter) ** 2
        share = (1 + ratio + (1 - ratio) * cosine) / 2
        splitting = (1 + (1 - share) ** 2) / share * (1 - ratio)
        # The proposals' densities in the logarithms are one over the lengths of their ranges.
        ranges = np.log(mass / pair) * np.log(mass / _PAIR_MASS_MIN)
        weight = splitting * (1 - (emitter / mass) ** 2) * ranges
        kept = rng.random(n) * weight.max() < weight
        drawn.append(np.stack([mass, emitter, pair, cosine])[:, kept])
    return tuple(np.concatenate(drawn, axis=1)[:, :count])


def _moving(
    rng: np.random.Generator, mass: FloatArray, *, pt_scale: float, rapidity_width: float
) -> Momenta:
    """Give particles a transverse momentum with a power-law tail, a rapidity and an azimuth."""
    n = mass.size
    pt = pt_scale * np.sqrt(rng.random(n) ** (-1 / 0.75) - 1)
    # Above a few times its mass the spectrum falls faster, which a toy may cut short.
    pt = np.minimum(pt, 3 * mass * rng.random(n) ** 0.5)
    phi = rng.uniform(-np.pi, np.pi, n)
    return Momenta(pt, rng.normal(0.0, rapidity_width, n), phi, mass)


def _z_pairs(
    rng: np.random.Generator, draw: Callable[[int], FloatArray], count: int
) -> tuple[FloatArray, FloatArray]:
    """Draw total masses, and masses of two Z bosons for each: propagators times phase space."""
    totals: list[FloatArray] = []
    pairs: list[FloatArray] = []
    while sum(total.size for total in totals) < count:
        total = draw(4 * _TRIALS)
        pair, kept = _proposed(rng, total)
        totals.append(total[kept])
        pairs.append(pair[:, kept])
    return np.concatenate(totals)[:count], np.concatenate(pairs, axis=1)[:, :count]


def _proposed(rng: np.random.Generator, total: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Propose masses of two Z bosons and tell which to keep."""
    n = total.size
    both_heavy = total >= 2 * Z_MASS

    def near_z() -> FloatArray:
        return breit_wigner(rng, n, mass=Z_MASS, width=Z_WIDTH, low=40, high=140)

    first = near_z()
    second = np.where(both_heavy, near_z(), rng.uniform(_PAIR_MASS_MIN, total))
    fits = first + second < total
    space = (1 - ((first + second) / total) ** 2) * (1 - ((first - second) / total) ** 2)
    # The propagator of the lighter Z, up to a little more than the heavier one leaves room for:
    # one over its largest value would refuse nearly all. That of a heavy one is in its draw.
    highest = np.clip(total - 85.0, 15.0, 65.0)

    def propagator(mass: FloatArray) -> FloatArray:
        return mass**3 / (mass**2 - Z_MASS**2) ** 2

    weight = propagator(np.minimum(second, highest)) / propagator(highest)
    weight = np.where(both_heavy, 1.0, weight)
    kept: BoolArray = rng.random(n) < np.sqrt(np.where(fits, space, 0.0)) * weight
    return np.stack([first, second]), kept


def _of_two_pairs(
    parent: Momenta, pair_masses: FloatArray, rng: np.random.Generator
) -> list[Momenta]:
    """Decay parents to two bosons, and each of these to two leptons, without a preferred angle."""
    n = parent.mass.size
    bosons = two_body_decay(
        rng, parent, rng.uniform(-1, 1, n), masses=(pair_masses[0], pair_masses[1])
    )
    return [lepton for b in bosons for lepton in two_body_decay(rng, b, rng.uniform(-1, 1, n))]


def _of_radiation(
    parent: Momenta,
    emitter_mass: FloatArray,
    pair_mass: FloatArray,
    cosine: FloatArray,
    rng: np.random.Generator,
) -> list[Momenta]:
    """Decay Z bosons to lepton and emitter, and emitters to lepton and pair, as they were drawn."""
    n = parent.mass.size
    at_rest = Momenta(np.zeros(n), np.zeros(n), np.zeros(n), parent.mass)
    other, emitter = two_body_decay(rng, at_rest, rng.uniform(-1, 1, n), masses=(0.0, emitter_mass))
    pair, lepton = decay_along_flight(rng, emitter, cosine, masses=(pair_mass, 0.0))
    leptons = [other, lepton, *two_body_decay(rng, pair, rng.uniform(-1, 1, n))]
    return [moved_with(parent, one) for one in leptons]


def _flavored(leptons: list[Momenta], rng: np.random.Generator) -> tuple[list[Momenta], FloatArray]:
    """Give flavors to two pairs; return what is seen of the leptons, and types, shape (n, 4).

    Of a lepton from a tau an electron or a muon with a part of its momentum is seen.
    """
    n = leptons[0].pt.size
    seen, kinds = [], []
    for pair in (leptons[:2], leptons[2:]):
        flavor = rng.choice(_FLAVORS, n, p=_FLAVOR_SHARES)
        is_tau = flavor == 15
        for lepton in pair:
            visible = leptonic_visible_share(rng, rng.choice([-1.0, 1.0], n))
            seen.append(lepton.scaled(np.where(is_tau, visible, 1.0)))
            kinds.append(np.where(is_tau, rng.choice([11, 13], n), flavor))
    return seen, np.stack(kinds, axis=1).astype(np.float64)


def _detected(truth: tuple[list[Momenta], FloatArray], rng: np.random.Generator) -> _Leptons:
    """Smear and select: four leptons above the thresholds, inside the detector."""
    leptons, kind = truth
    pt = np.stack([lepton.pt for lepton in leptons], axis=1)
    eta = np.stack([lepton.rapidity for lepton in leptons], axis=1)
    phi = np.stack([lepton.phi for lepton in leptons], axis=1)
    electron = kind == 11
    energy = pt * np.cosh(eta)
    resolution = np.where(electron, np.hypot(0.10 / np.sqrt(energy), 0.01), 0.02)
    pt = pt * (1 + resolution * rng.normal(size=pt.shape))
    flip = rng.random(pt.shape) < np.where(electron, _CHARGE_FLIP[11], _CHARGE_FLIP[13])
    charge = np.tile([1.0, -1.0, 1.0, -1.0], (len(pt), 1)) * np.where(flip, -1.0, 1.0)
    order = np.argsort(-pt, axis=1)
    detected = _Leptons(
        *(np.take_along_axis(values, order, axis=1) for values in (pt, eta, phi, kind, charge))
    )
    inside = np.abs(detected.eta) < np.where(detected.kind == 11, _ETA_MAX[11], _ETA_MAX[13])
    return detected.take(np.all(inside & (detected.pt > _PT_MIN), axis=1))


def _frame(leptons: _Leptons, expected: float, rng: np.random.Generator) -> pd.DataFrame:
    """Return the columns of the exercise."""
    energy = leptons.pt * np.cosh(leptons.eta)
    parts = {"pt": leptons.pt, "eta": leptons.eta, "phi": leptons.phi, "E": energy}
    columns: dict[str, NDArray[Any]] = {
        f"lep_{name}_{i}": values[:, i] for name, values in parts.items() for i in range(4)
    }
    for name, values in (("charge", leptons.charge), ("type", leptons.kind)):
        columns |= {f"lep_{name}_{i}": values[:, i].astype(np.int64) for i in range(4)}
    p_x = (leptons.pt * np.cos(leptons.phi)).sum(axis=1)
    p_y = (leptons.pt * np.sin(leptons.phi)).sum(axis=1)
    p_z = (leptons.pt * np.sinh(leptons.eta)).sum(axis=1)
    squared = energy.sum(axis=1) ** 2 - p_x**2 - p_y**2 - p_z**2
    columns["mllll"] = np.sqrt(np.maximum(squared, 0.0))
    # Corrections for pile-up and efficiencies make real weights differ by some ten percent.
    weights = rng.gamma(100.0, size=len(energy))
    columns["totalWeight"] = weights * expected / weights.sum()
    return pd.DataFrame(columns)
