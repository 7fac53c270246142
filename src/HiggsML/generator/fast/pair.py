"""Fast engine for top quarks and pairs of bosons: one or two W or Z that decay into leptons.

A row comes from one library event, whose momenta are shifted and scaled a little, so that it can
not be recognized. Rapidities of another event, as with one boson, would tear the leptons from the
jets of their own top quark.

The bosons of a library event keep their momenta; their decays are drawn afresh, with the angle to
the polarization axis that Pythia gave and a uniform azimuth about it. Taus then decay, jets may
fake a tau, and the detector acts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from HiggsML.generator.detector import (
    CALORIMETER_ETA,
    CONE_JET,
    TRACKER_ETA,
    deltar2,
    isolation_limit,
    lepton_efficiency,
    lepton_pt_resolution,
    own_photon,
    track_efficiency,
)
from HiggsML.generator.fast.library import Library
from HiggsML.generator.fast.measure import (
    choose,
    fake_probability,
    isolation_from_jets,
    merge_into_tau,
    near,
    radiated_share,
    redraw_response,
    tagged_tau,
    visible_tau,
)
from HiggsML.generator.fast.tau_decays import BRANCHING_LEPTONIC, POLARIZATION_Z, leptonic_fraction
from HiggsML.generator.jet_tags import decode, encode
from HiggsML.generator.table import JET_MINIMUM, table_rows

__all__ = ["attempt_pair"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]
Booleans = NDArray[np.bool_]

_ELECTRON, _MUON, _TAU_HAD, _TAU_ELECTRON, _TAU_MUON = 1, 2, 3, 4, 5
_W, _HIGGS = 24, 25
# Trials without a hadronic tau, be it of a boson or in a jet, can pass only with a fake: follow one
# in four, four times as probable.
_FOLLOW_FAKES = 0.25
# Widths of the smoothing: common factor of all transverse momenta and each jet's own (logarithms),
# common shift of all rapidities and each jet's own.
_SCALE, _JET_SCALE = np.float32(0.04), np.float32(0.03)
_BOOST, _JET_ETA = np.float32(0.10), np.float32(0.075)


class _Source(NamedTuple):
    """Where the rows come from: library events, and what is done to their momenta; shape (n,)."""

    event: Integers
    scale: Floats
    boost: Floats

    def take(self, index: NDArray[Any]) -> _Source:
        return _Source(*(values[index] for values in self))


class _Leptons(NamedTuple):
    """Up to four charged leptons per event, shape (n, 4); slots 0, 1 are of the first boson.

    ``photon`` is the transverse momentum [GeV] of a photon that the lepton has radiated. Charges
    are those of the library's jets: a W is positive as first boson and negative as second.
    """

    kind: NDArray[np.int8]
    charge: NDArray[np.int8]
    pt: Floats
    eta: Floats
    phi: Floats
    helicity: Floats
    photon: Floats

    def take(self, index: NDArray[Any]) -> _Leptons:
        return _Leptons(*(values[index] for values in self))

    def candidate_tau(self) -> Booleans:
        return np.asarray((self.kind == _TAU_HAD) & (self.pt > 20.0) & (np.abs(self.eta) < 2.5))

    def candidate_lepton(self) -> Booleans:
        light = (self.kind == _ELECTRON) | (self.kind == _MUON)
        return np.asarray(light & (self.pt > 19.0) & (np.abs(self.eta) < TRACKER_ETA))


def attempt_pair(trials: int, rng: np.random.Generator, library: Library) -> Floats:
    """Try ``trials`` events; return the (n, 16) rows of the selected ones, in library order."""
    source = _draw(trials, rng, library)
    kind = _flavors(library.boson_kind[source.event], rng)
    # Decide by flavors what is followed, before any kinematics.
    lucky = rng.random(trials, dtype=np.float32) < _FOLLOW_FAKES
    in_jet = library.holds_tau[source.event]
    light = ((kind > 0) & (kind != _TAU_HAD)).any(axis=1)
    keep = np.flatnonzero(light & ((kind == _TAU_HAD).any(axis=1) | in_jet | lucky))
    source, lucky, in_jet = source.take(keep), lucky[keep], in_jet[keep]
    leptons = _decay(source, kind[keep], library, rng)
    may_tag = leptons.candidate_tau().any(axis=1) | in_jet
    keep = np.flatnonzero(leptons.candidate_lepton().any(axis=1) & (may_tag | lucky))
    return _detect(source.take(keep), leptons.take(keep), may_tag[keep], library, rng)


def _draw(trials: int, rng: np.random.Generator, library: Library) -> _Source:
    """Draw library events by their weights."""
    event, _ = library.draw(trials, rng)
    normal = rng.standard_normal((2, trials), dtype=np.float32)
    return _Source(
        event,
        np.exp(_SCALE * normal[0] - _SCALE**2),
        _BOOST * normal[1],
    )


def _flavors(boson: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.int8]:
    """Draw what becomes of the leptons of two bosons, (n, 2) -> (n, 4); 0 where there is none."""
    n = len(boson)
    kind = np.zeros((n, 4), dtype=np.int8)
    for k in range(2):
        flavor = rng.integers(0, 3, n, dtype=np.int8)  # electron, muon, tau
        for slot in range(2):
            decay = np.where(
                rng.random(n, dtype=np.float32) < BRANCHING_LEPTONIC,
                rng.integers(_TAU_ELECTRON, _TAU_MUON + 1, n, dtype=np.int8),
                np.int8(_TAU_HAD),
            )
            # Of a W only the first is charged.
            there = (boson[:, k] > 0) & ((boson[:, k] != _W) | (slot == 0))
            to_tau = (flavor == 2) | (boson[:, k] == _HIGGS)
            chosen = np.where(to_tau, decay, flavor + np.int8(_ELECTRON))
            kind[:, 2 * k + slot] = np.where(there, chosen, 0)
    return kind


def _decay(
    source: _Source, kind: NDArray[np.int8], library: Library, rng: np.random.Generator
) -> _Leptons:
    """Give the leptons of all events their momenta."""
    n = len(source.event)
    pt, eta, phi, helicity = (np.zeros((n, 4), dtype=np.float32) for _ in range(4))
    charge = np.zeros((n, 4), dtype=np.int8)
    for k in range(2):
        boson = library.boson_kind[source.event, k]
        some = np.flatnonzero(boson > 0)
        if len(some) == 0:
            continue
        is_w = boson[some] == _W
        is_higgs = boson[some] == _HIGGS
        mean = np.where(is_higgs, np.float32(0.0), np.float32(POLARIZATION_Z))
        positive = rng.random(len(some), dtype=np.float32) < 0.5 * (1.0 + mean)
        sign = np.where(~is_w & positive, np.float32(1.0), np.float32(-1.0))
        first = np.where(is_w, 1 - 2 * k, 2 * rng.integers(0, 2, len(some), dtype=np.int8) - 1)
        for slot, (px, py, pz) in enumerate(_two_body(source.take(some), k, library, rng)):
            use = np.flatnonzero(~is_w) if slot else np.arange(len(some))
            rows, column = some[use], 2 * k + slot
            charge[rows, column] = -first[use] if slot else first[use]
            transverse = np.hypot(px[use], py[use])
            eta[rows, column] = np.arcsinh(pz[use] / np.maximum(transverse, 1e-2))
            phi[rows, column] = np.arctan2(py[use], px[use])
            # Opposite helicities (Z) act alike on the decays of a pair, equal ones (Higgs) not.
            own = np.where(is_higgs[use] & (slot == 1), -sign[use], sign[use])
            soft = np.flatnonzero(kind[rows, column] >= _TAU_ELECTRON)
            transverse[soft] *= leptonic_fraction(own[soft], rng)
            pt[rows, column] = transverse
            helicity[rows, column] = own
    direct = (kind == _ELECTRON) | (kind == _MUON)
    photon = np.where(direct, pt * radiated_share(pt, kind == _MUON, rng), np.float32(0.0))
    # From here on an electron is an electron.
    kind = np.where(kind >= _TAU_ELECTRON, kind - np.int8(_TAU_ELECTRON - _ELECTRON), kind)
    return _Leptons(kind, charge, pt - photon, np.clip(eta, -8.0, 8.0), phi, helicity, photon)


def _two_body(
    source: _Source, k: int, library: Library, rng: np.random.Generator
) -> list[tuple[Floats, Floats, Floats]]:
    """Momenta of the two leptons of boson ``k``, the charged one of a W first."""
    event = source.event
    cosine = library.boson_cosine[event, k]
    sine = np.sqrt(np.maximum(1.0 - cosine**2, 0.0))
    angle = rng.random(len(event), dtype=np.float32) * np.float32(2 * np.pi)
    theta, azimuth = library.boson_axis_theta[event, k], library.boson_axis_phi[event, k]
    ct, st, cp, sp = np.cos(theta), np.sin(theta), np.cos(azimuth), np.sin(azimuth)
    u, v = sine * np.cos(angle), sine * np.sin(angle)
    # Rotate (u, v, cosine) so that its z axis becomes the polarization axis.
    unit = (
        u * ct * cp - v * sp + cosine * st * cp,
        u * ct * sp + v * cp + cosine * st * sp,
        cosine * ct - u * st,
    )
    mass = np.maximum(library.boson_m[event, k], 1e-2)
    pt, y = source.scale * library.boson_pt[event, k], library.boson_y[event, k] + source.boost
    across = library.boson_phi[event, k]
    transverse_mass = np.hypot(mass, pt)
    boson = (pt * np.cos(across), pt * np.sin(across), transverse_mass * np.sinh(y))
    energy = transverse_mass * np.cosh(y)
    half = np.float32(0.5) * mass
    along = half * sum((n * p for n, p in zip(unit, boson, strict=True)), np.float32(0.0))
    out = []
    for sign in (1.0, -1.0):
        # Boost of a massless momentum q of energy m/2: q + p [q.p / (E + m) + m/2] / m.
        factor = (sign * along / (energy + mass) + half) / mass
        x, y_, z = (sign * half * n + factor * p for n, p in zip(unit, boson, strict=True))
        out.append((x, y_, z))
    return out


class _Found(NamedTuple):
    """Leptons as measured, shape (n, 4): which are selected, which are in reach and tracked."""

    pt: Floats
    selected: Booleans
    tracked: Booleans
    visible: Floats


class _Jets(NamedTuple):
    """Measured jets, shape (n, k), and the visible momentum of all but the bosons (n,)."""

    raw: Floats
    eta: Floats
    phi: Floats
    tag: NDArray[np.uint8]


class _Visibles(NamedTuple):
    """Visible momenta of hadronic taus, shape (n, 4); zero where there is none."""

    pt: Floats
    eta: Floats
    phi: Floats


def _detect(
    source: _Source,
    leptons: _Leptons,
    may_tag: Booleans,
    library: Library,
    rng: np.random.Generator,
) -> Floats:
    """Measure, select and tabulate events with decayed bosons."""
    event = source.event
    n = len(event)
    rows = np.arange(n)
    jets, vx, vy = _hadrons(source, library, rng)
    taus, tagged = _taus(leptons, source, library, rng)
    detected = _find_leptons(leptons, jets, source, library, rng)
    vx += (taus.pt * np.cos(taus.phi) + detected.visible * np.cos(leptons.phi)).sum(axis=1)
    vy += (taus.pt * np.sin(taus.phi) + detected.visible * np.sin(leptons.phi)).sum(axis=1)
    selected = detected.selected
    one = (selected.sum(axis=1) == 1) & ((detected.pt * selected).max(axis=1) >= 20.0)

    which, which_tau = selected.argmax(axis=1), tagged.argmax(axis=1)
    lepton = tuple(values[rows, which] for values in (detected.pt, leptons.eta, leptons.phi))
    raw_tau = np.where(taus.pt > 0.0, taus.pt + library.area[event][:, None], np.float32(0.0))
    tau = [values[rows, which_tau] for values in (raw_tau, taus.eta, taus.phi)]
    jets = _with_lost(jets, leptons, detected, (raw_tau, taus, tagged))
    photon = decode(jets.tag).photon
    jets.raw[photon | near(jets.eta, jets.phi, lepton[1], lepton[2], CONE_JET)] = 0.0
    jets.raw[np.abs(jets.eta) > CALORIMETER_ETA] = 0.0
    genuine = tagged.sum(axis=1) == 1
    real = np.flatnonzero(genuine)
    part = jets.raw[real]
    tau[0][real], core = merge_into_tau(
        part, jets.eta[real], jets.phi[real], *(values[real] for values in tau)
    )
    jets.raw[real] = part
    genuine[real] = core
    genuine &= tau[0] >= JET_MINIMUM
    wanted = -leptons.charge[rows, which]
    genuine &= leptons.charge[rows, which_tau] == wanted

    any_charge, right = fake_probability(library, jets.raw, jets.eta, jets.tag, wanted)
    weight = np.where(may_tag, 1.0, 1.0 / _FOLLOW_FAKES)
    fake = ~tagged.any(axis=1)
    chance = np.where(fake, right.sum(axis=1) * weight, 1.0 - any_charge.sum(axis=1))
    keep = one & (fake | genuine) & (rng.random(n, dtype=np.float32) < chance)
    index = np.flatnonzero(fake & keep)
    jet = choose(right[index], rng)
    for values, block in zip(tau, jets[:3], strict=True):
        values[index] = block[index, jet]
    jets.raw[index, jet] = 0.0
    keep &= deltar2(lepton[1], lepton[2], tau[1], tau[2]) > CONE_JET**2
    return table_rows(
        (lepton[0][keep], lepton[1][keep], lepton[2][keep]),
        (tau[0][keep], tau[1][keep], tau[2][keep]),
        (jets.raw[keep], jets.eta[keep], jets.phi[keep]),
        (-vx[keep], -vy[keep]),
        rng,
    )


def _find_leptons(
    leptons: _Leptons, jets: _Jets, source: _Source, library: Library, rng: np.random.Generator
) -> _Found:
    """Measure electrons and muons and select the identified, isolated ones."""
    electron, muon = leptons.kind == _ELECTRON, leptons.kind == _MUON
    shape = leptons.kind.shape
    spread = rng.standard_normal(shape, dtype=np.float32)
    resolution = lepton_pt_resolution(leptons.pt, leptons.eta, muon)
    measured = (leptons.pt * (1.0 + resolution * spread)).astype(np.float32)
    u = rng.random(shape, dtype=np.float32)
    tracked = (electron | muon) & (u < track_efficiency(leptons.pt, leptons.eta, muon))
    selected = (electron | muon) & (u < lepton_efficiency(leptons.pt, leptons.eta, muon))
    selected &= measured > 15.0
    spread = rng.standard_normal(shape, dtype=np.float32)
    limit = isolation_limit(measured, muon) - library.isolation[source.event][:, None]
    limit -= own_photon(leptons.pt, leptons.eta, muon, leptons.photon, spread)
    for k in range(shape[1]):
        # The library's cones have no jet's axis within this distance; of one that is nearer, a good
        # part lies in the isolation cone.
        cone = isolation_from_jets(
            jets.raw, jets.eta, jets.phi, leptons.eta[:, k], leptons.phi[:, k], CONE_JET
        )
        selected[:, k] &= cone < limit[:, k]
    in_reach = np.where(muon, tracked, electron & (np.abs(leptons.eta) < 4.9))
    visible = np.where(in_reach, measured + leptons.photon, np.float32(0.0))
    return _Found(measured, selected, tracked, visible)


def _with_lost(
    jets: _Jets,
    leptons: _Leptons,
    detected: _Found,
    taus: tuple[Floats, _Visibles, Booleans],
) -> _Jets:
    """Append what else leaves energy: untagged taus, and leptons that were not selected."""
    raw_tau, seen, tagged = taus
    hadronic = leptons.kind == _TAU_HAD
    lost = np.where(detected.selected, np.float32(0.0), detected.visible)
    one = detected.tracked.astype(np.int8)
    more = (
        np.where(hadronic, np.where(tagged, np.float32(0.0), raw_tau), lost),
        np.where(hadronic, seen.eta, leptons.eta),
        np.where(hadronic, seen.phi, leptons.phi),
        np.where(hadronic, np.uint8(0), encode(one, one * leptons.charge)),
    )
    columns: list[Any] = list(zip(jets, more, strict=True))
    return _Jets(*(np.concatenate(both, axis=1) for both in columns))


def _hadrons(
    source: _Source, library: Library, rng: np.random.Generator
) -> tuple[_Jets, Floats, Floats]:
    """Jets, and the visible transverse momentum of all that is not from the bosons."""
    event = source.event
    jet_phi = library.jet_phi[event]
    jet_eta = library.jet_eta[event] + source.boost[:, None]
    jet_eta += _JET_ETA * rng.standard_normal(jet_eta.shape, dtype=np.float32)
    truth = library.jet_pt[event] * source.scale[:, None]
    spread = rng.standard_normal(truth.shape, dtype=np.float32)
    # A little more than the resolution, so that the jets of an event are not its fingerprint.
    jet_pt = truth * np.exp(_JET_SCALE * spread - _JET_SCALE**2)
    raw = redraw_response(library, jet_pt, jet_eta, rng)
    cos, sin = np.cos(jet_phi), np.sin(jet_phi)
    vx = library.residual_x[event] + ((raw - truth) * cos).sum(axis=1)
    vy = library.residual_y[event] + ((raw - truth) * sin).sum(axis=1)
    soft_x, soft_y = -(truth * cos).sum(axis=1), -(truth * sin).sum(axis=1)
    for k in range(2):
        size, angle = source.scale * library.boson_pt[event, k], library.boson_phi[event, k]
        x, y = size * np.cos(angle), size * np.sin(angle)
        vx, vy, soft_x, soft_y = vx - x, vy - y, soft_x - x, soft_y - y
    jets = _Jets(raw, jet_eta, jet_phi, library.jet_tag[event])
    return jets, vx - library.soft_loss * soft_x, vy - library.soft_loss * soft_y


def _taus(
    leptons: _Leptons, source: _Source, library: Library, rng: np.random.Generator
) -> tuple[_Visibles, Booleans]:
    """Visible momenta of the hadronic taus, and which are tagged, should they be jets."""
    pt, eta, phi = (np.zeros(leptons.kind.shape, dtype=np.float32) for _ in range(3))
    tagged = np.zeros(leptons.kind.shape, dtype=bool)
    at = np.nonzero((leptons.kind == _TAU_HAD) & (np.abs(leptons.eta) < 4.9))
    event = source.event[at[0]]
    true_eta = leptons.eta[at]
    direction = (true_eta, leptons.phi[at], leptons.helicity[at])
    seen = visible_tau(leptons.pt[at], *direction, library.isolation[event], rng)
    pt[at], eta[at], phi[at] = seen.pt, seen.eta, seen.phi
    tagged[at] = tagged_tau(seen, library.cone_tag[event], rng)
    tagged[at] &= (np.abs(true_eta) < 2.5) & (seen.pt + library.area[event] > 12.0)
    return _Visibles(pt, eta, phi), tagged
