"""Fast engine for one boson that decays to two taus: Z and Higgs.

Each row is assembled from several library events of the same leaf (of similar recoil): the
transverse pattern of boson, jets and soft part from one (a), rapidities and tags from the same or
another (c); the boson's mass comes from the smooth distribution of all of similar pt. Jets are then
moved a little and the boson recoils, so that transverse momentum stays balanced. Boson and taus are
decayed afresh, and the detector acts afresh.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

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
from HiggsML.generator.fast.boson_decays import decay_to_taus, tables_of
from HiggsML.generator.fast.library import Library
from HiggsML.generator.fast.measure import (
    choose,
    fake_probability,
    isolation_from_jets,
    merge_into_tau,
    near,
    redraw_response,
    tagged_tau,
    visible_tau,
)
from HiggsML.generator.fast.tau_decays import (
    BRANCHING_LEPTONIC,
    POLARIZATION_Z,
    leptonic_fraction,
)
from HiggsML.generator.jet_tags import decode, encode
from HiggsML.generator.table import JET_MINIMUM, table_rows

__all__ = ["TRIAL_WEIGHT", "Kernel", "attempt_boson"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]
Booleans = NDArray[np.bool_]

# Share of the trials that look for a jet that fakes the tau, whatever the second tau does.
_FAKE_TRIALS = 0.04
# Probability of such a trial to count, per probability of a jet to be tagged: all other trials have
# a hadronic second tau.
_FAKE_FACTOR = (1.0 - _FAKE_TRIALS) / (_FAKE_TRIALS * (1.0 - BRANCHING_LEPTONIC))
TRIAL_WEIGHT = 2.0 * BRANCHING_LEPTONIC * (1.0 - BRANCHING_LEPTONIC) / (1.0 - _FAKE_TRIALS)
"""Events that a trial stands for, whatever the taus decay into."""

_LEPTON_VETO = 15.0


@dataclass(frozen=True)
class Kernel:
    """Widths of the smoothing: small against the detector's resolution and the spectra's scale.

    ``scale``: common factor of all transverse momenta (logarithm); ``jet_scale`` and ``jet_turn``
    (radians): each of the two leading jets, against the boson; ``boost``: common shift of all
    rapidities; ``jet_eta``: each jet's own shift.
    """

    scale: float = 0.025
    jet_scale: float = 0.03
    jet_turn: float = 0.03
    boost: float = 0.075
    jet_eta: float = 0.075


_DEFAULT = Kernel()


T = TypeVar("T")


def _keep(value: T, mask: Booleans) -> T:
    """Keep the same entries of all arrays of a (nested) named tuple."""
    kept: T = _take(value, np.flatnonzero(mask))
    return kept


def _take(value: Any, index: NDArray[np.intp]) -> Any:
    if isinstance(value, tuple):
        return type(value)(*(_take(part, index) for part in value))
    return value.take(index, axis=0)


class _Patterns(NamedTuple):
    """Trials: library events, and what is done to their transverse momenta.

    ``factor`` and ``turn`` (n, 2) change the two leading jets, ``common`` scales all; ``x`` and
    ``y`` is the boson's momentum [GeV] then. A trial may look for a ``fake`` tau.
    """

    event: Integers
    neighbor: Integers
    common: Floats
    factor: Floats
    turn: Floats
    x: Floats
    y: Floats
    fake: Booleans


class _Direct(NamedTuple):
    """Momenta in the collider's coordinates, pt in GeV."""

    pt: Floats
    eta: Floats
    phi: Floats


class _Taus(NamedTuple):
    """Trials whose boson has decayed: the lepton of one tau, and the other tau."""

    pattern: _Patterns
    boost: Floats
    helicity: Floats
    lepton: _Direct
    muon: Booleans
    other: _Direct


class _Seen(NamedTuple):
    """Trials with what the detector sees of both taus.

    ``room`` is what the lepton's isolation leaves for jets [GeV]; ``tau`` the other tau or lepton
    as a jet (raw), ``tau_met`` what it adds to the visible momentum; ``tag`` what jets know.
    """

    pattern: _Patterns
    boost: Floats
    lepton: _Direct
    room: Floats
    tau: _Direct
    visible: Floats
    tagged: Booleans
    tag: NDArray[np.uint8]


def attempt_boson(
    process: str,
    trials: int,
    rng: np.random.Generator,
    library: Library,
    *,
    kernel: Kernel = _DEFAULT,
) -> Floats:
    """Try ``trials`` events; return the (n, 16) rows of the selected ones, in library order."""
    spin = int(process == "ztautau")
    patterns = _draw(trials, rng, library, kernel)
    taus = _decay_boson(patterns, spin, rng, library, kernel)
    taus, room = _measure_lepton(taus, rng, library)
    seen = _measure_other(taus, room, spin, rng, library)
    return _select(seen, rng, library, kernel)


def _draw(n: int, rng: np.random.Generator, library: Library, kernel: Kernel) -> _Patterns:
    """Draw transverse patterns: two jets are changed and the boson takes the difference."""
    tables = tables_of(library)
    a, c = library.draw(n, rng)
    normal = rng.standard_normal((5, n), dtype=np.float32)
    # Smearing a falling spectrum raises it; a small shift downwards undoes that.
    common, factor = (
        np.exp(np.float32(width) * part - np.float32(1.5 * width**2))
        for width, part in ((kernel.scale, normal[0]), (kernel.jet_scale, normal[1:3]))
    )
    turn = np.float32(kernel.jet_turn) * normal[3:5]
    bx, by = tables.boson_pt[a], np.zeros(n, dtype=np.float32)
    for k in range(2):
        x, y = tables.jet_x[k][a], tables.jet_y[k][a]
        along, across = factor[k] * np.cos(turn[k]) - 1.0, factor[k] * np.sin(turn[k])
        bx -= x * along - y * across
        by -= y * along + x * across
    bx *= common
    by *= common
    fake = rng.random(n, dtype=np.float32) < _FAKE_TRIALS
    return _Patterns(a, c, common, factor.T, turn.T, bx, by, fake)


def _decay_boson(
    patterns: _Patterns, spin: int, rng: np.random.Generator, library: Library, kernel: Kernel
) -> _Taus:
    """Decay bosons and the first tau; keep what can still be selected."""
    tables = tables_of(library)
    pt = np.hypot(patterns.x, patterns.y)
    mass = tables.draw_mass(pt, rng)
    x1, y1, z1, x2 = decay_to_taus(pt, mass, tables.boson_y[patterns.neighbor], spin, rng)
    pt1, pt2 = np.hypot(x1, y1), np.hypot(x2, y1)
    first = np.flatnonzero((pt1 > 19.0) & ((pt2 > 20.0) | patterns.fake))
    positive = 0.5 * (1.0 + POLARIZATION_Z) if spin else 0.5
    up = rng.random(len(first), dtype=np.float32) < positive
    helicity = np.where(up, np.float32(1.0), np.float32(-1.0))
    lepton_pt = pt1[first] * leptonic_fraction(helicity, rng)
    hard = lepton_pt > 19.0
    first, helicity, lepton_pt = first[hard], helicity[hard], lepton_pt[hard]
    pt1, pt2, y1 = pt1[first], pt2[first], y1[first]

    boost = np.float32(kernel.boost) * rng.standard_normal(len(first), dtype=np.float32)
    pattern = _take(patterns, first)
    rapidity = tables.boson_y[pattern.neighbor] + boost
    azimuth = np.arctan2(pattern.y, pattern.x)
    taus = _Taus(
        pattern,
        boost,
        helicity,
        _Direct(
            lepton_pt,
            np.arcsinh(z1[first] / pt1) + rapidity,
            azimuth + np.arctan2(y1, x1[first]),
        ),
        rng.random(len(first), dtype=np.float32) < 0.5,
        _Direct(
            pt2,
            np.arcsinh(-z1[first] / np.maximum(pt2, 1e-3)) + rapidity,
            azimuth + np.arctan2(-y1, x2[first]),
        ),
    )
    central = np.abs(taus.other.eta) < 2.7
    return _keep(taus, (np.abs(taus.lepton.eta) < TRACKER_ETA) & (central | pattern.fake))


def _measure_lepton(
    taus: _Taus, rng: np.random.Generator, library: Library
) -> tuple[_Taus, Floats]:
    """Measure and identify the lepton; also return the room that its isolation leaves."""
    pt, eta, _ = taus.lepton
    spread = rng.standard_normal(len(pt), dtype=np.float32)
    measured = pt * (1.0 + lepton_pt_resolution(pt, eta, taus.muon) * spread)
    measured = measured.astype(np.float32)
    spread = rng.standard_normal(len(pt), dtype=np.float32)
    room = isolation_limit(measured, taus.muon) - library.isolation[taus.pattern.event]
    room -= own_photon(pt, eta, taus.muon, np.zeros_like(pt), spread)
    good = rng.random(len(pt), dtype=np.float32) < lepton_efficiency(pt, eta, taus.muon)
    good &= (measured >= 20.0) & (room > 0.0)
    taus = taus._replace(lepton=taus.lepton._replace(pt=measured))
    return _keep(taus, good), room[good].astype(np.float32)


def _measure_other(
    taus: _Taus, room: Floats, spin: int, rng: np.random.Generator, library: Library
) -> _Seen:
    """Measure the other tau; in trials for a fake it may decay into a lepton, which is lost."""
    event = taus.pattern.event
    n = len(event)
    pt, eta, phi = taus.other
    isolation, cone_tag = library.isolation[event], library.cone_tag[event]
    # Opposite helicities (Z) act alike on the two decays, equal ones (H) oppositely.
    helicity = taus.helicity if spin else -taus.helicity
    tau = visible_tau(pt, eta, phi, helicity, isolation, rng)
    tagged = tagged_tau(tau, cone_tag, rng)
    leptonic = taus.pattern.fake & (rng.random(n, dtype=np.float32) < BRANCHING_LEPTONIC)
    tagged &= ~leptonic & (np.abs(eta) < TRACKER_ETA)
    visible, raw = tau.pt, np.where(tau.pt > 0.0, tau.pt + library.area[event], np.float32(0.0))
    tag = np.zeros(n, dtype=np.uint8)
    keep = np.where(taus.pattern.fake, True, tagged & (raw > 12.0))

    rows = np.flatnonzero(leptonic)
    lepton_pt = pt[rows] * leptonic_fraction(helicity[rows], rng)
    muon = rng.random(len(rows), dtype=np.float32) < 0.5
    tracked = rng.random(len(rows), dtype=np.float32) < track_efficiency(lepton_pt, eta[rows], muon)
    named = tracked & (
        rng.random(len(rows), dtype=np.float32) < np.where(np.abs(eta[rows]) < 1.5, 0.95, 0.85)
    )
    room2 = isolation_limit(lepton_pt, muon) - isolation[rows]
    keep[rows] = ~(named & (lepton_pt > _LEPTON_VETO) & (room2 > 0.0))
    there = np.where(muon, tracked, np.abs(eta[rows]) < 4.9)
    visible[rows] = np.where(there, lepton_pt, 0.0)
    # Identified leptons are no jets; others are, with the one track.
    raw[rows] = np.where(named & (room2 > 0.0), 0.0, visible[rows])
    tag[rows] = encode(tracked.astype(np.int8), tracked.astype(np.int8))
    seen = _Seen(
        taus.pattern,
        taus.boost,
        taus.lepton,
        room,
        _Direct(
            raw.astype(np.float32),
            np.where(leptonic, eta, tau.eta),
            np.where(leptonic, phi, tau.phi),
        ),
        visible,
        tagged,
        tag,
    )
    return _keep(seen, keep)


def _jets(
    seen: _Seen, rng: np.random.Generator, library: Library, kernel: Kernel
) -> tuple[Floats, Floats, Floats, Floats, NDArray[np.uint8]]:
    """Deposited and measured pt, eta, phi and tags of the jets, each (n, 8).

    Momenta and azimuths are those of the event, rapidities and tags of its neighbor.
    """
    pattern = seen.pattern
    a, c = pattern.event, pattern.neighbor
    true = library.jet_pt[a] * pattern.common[:, None]
    true[:, :2] *= pattern.factor
    phi = library.jet_phi[a]
    phi[:, :2] += pattern.turn
    there = library.jet_pt[c] > 0.0
    eta = np.where(there, library.jet_eta[c], library.jet_eta[a])
    eta += np.float32(kernel.jet_eta) * rng.standard_normal(eta.shape, dtype=np.float32)
    eta += seen.boost[:, None]
    tag = np.where(there, library.jet_tag[c], library.jet_tag[a])
    return true, redraw_response(library, true, eta, rng), eta, phi, tag


def _select(seen: _Seen, rng: np.random.Generator, library: Library, kernel: Kernel) -> Floats:
    """Add the jets and the missing momentum, find the tau, select, and tabulate."""
    pattern, lepton, tau = seen.pattern, seen.lepton, seen.tau
    true, raw, eta, phi, tag = _jets(seen, rng, library, kernel)
    vx, vy = _hadrons(library, pattern, (true, phi, raw))
    met_x = -(vx + lepton.pt * np.cos(lepton.phi) + seen.visible * np.cos(tau.phi))
    met_y = -(vy + lepton.pt * np.sin(lepton.phi) + seen.visible * np.sin(tau.phi))
    # What holds an isolated photon, or the lepton, is no jet.
    around = isolation_from_jets(raw, eta, phi, lepton.eta, lepton.phi)
    raw[decode(tag).photon | near(eta, phi, lepton.eta, lepton.phi, CONE_JET)] = 0.0
    raw[np.abs(eta) > CALORIMETER_ETA] = 0.0
    raw_tau, core = merge_into_tau(raw, eta, phi, tau.pt, tau.eta, tau.phi)

    # The other tau, where it is not tagged, is one more jet.
    genuine = seen.tagged & core & (raw_tau >= JET_MINIMUM)
    rest = np.where(genuine, np.float32(0.0), raw_tau)
    raw = np.concatenate([raw, rest[:, None]], axis=1)
    eta = np.concatenate([eta, tau.eta[:, None]], axis=1)
    phi = np.concatenate([phi, tau.phi[:, None]], axis=1)
    tag = np.concatenate([tag, seen.tag[:, None]], axis=1)
    # Both charges of jets are alike here, so that +1 stands for the one the selection asks for.
    wanted = np.ones(len(raw), dtype=np.int8)
    any_charge, right = fake_probability(library, raw, eta, tag, wanted)
    chance = np.where(pattern.fake, _FAKE_FACTOR * right.sum(axis=1), 1.0 - any_charge.sum(axis=1))
    keep = (genuine != pattern.fake) & (around < seen.room)
    keep &= rng.random(len(keep), dtype=np.float32) < chance
    rows = np.flatnonzero(pattern.fake & keep)
    chosen = choose(right[rows], rng)
    columns = [raw_tau, tau.eta.copy(), tau.phi.copy()]
    for values, block in zip(columns, (raw, eta, phi), strict=True):
        values[rows] = block[rows, chosen]
    raw[rows, chosen] = 0.0
    keep &= deltar2(lepton.eta, lepton.phi, columns[1], columns[2]) > CONE_JET**2
    return table_rows(
        tuple(values[keep] for values in lepton),
        tuple(values[keep] for values in columns),
        (raw[keep], eta[keep], phi[keep]),
        (met_x[keep], met_y[keep]),
        rng,
    )


def _hadrons(
    library: Library, pattern: _Patterns, jets: tuple[Floats, Floats, Floats]
) -> tuple[Floats, Floats]:
    """Visible transverse momentum of all that is not from the boson.

    It balances the boson, but for the response to jets, the soft recoil that is missed, and the
    residual, which is given in the frame of the boson.
    """
    true, phi, raw = jets
    turn = np.arctan2(pattern.y, pattern.x)
    cos, sin = np.cos(phi), np.sin(phi)
    change = raw - true
    loss = library.soft_loss
    bx, by = pattern.x, pattern.y
    x = (change * cos).sum(axis=1) - bx + loss * (bx + (true * cos).sum(axis=1))
    y = (change * sin).sum(axis=1) - by + loss * (by + (true * sin).sum(axis=1))
    rx, ry = library.residual_x[pattern.event], library.residual_y[pattern.event]
    cos, sin = np.cos(turn), np.sin(turn)
    x += rx * cos - ry * sin
    y += rx * sin + ry * cos
    return x, y
