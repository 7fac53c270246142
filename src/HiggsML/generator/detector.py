"""Hadronic activity, detector response and selection: from hard events to the primary columns.

The response is parametric. The jet scale and the thresholds are those of the official dataset: an
object is kept when its raw transverse momentum exceeds 20 GeV, and stored multiplied by the scale,
which is why stored taus start near 23 GeV and stored jets near 22.5 GeV.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from HiggsML.generator.decays import BoolArray, FloatArray, Momenta, wrap_angle
from HiggsML.schema import MISSING, PRI_COLUMNS

__all__ = ["HardEvents", "Jets", "Response", "hadronic_activity", "preselect", "reconstruct"]

LEPTON_PT_MIN = 20.0
LEPTON_ETA_MAX = {"electron": 2.5, "muon": 2.7}
RAW_PT_MIN = 20.0
TAU_ETA_MAX = 2.5
JET_ETA_MAX = 4.9
OVERLAP = 0.5
BARREL_ETA = 1.5
LARGEST_STORED_PHI = 3.141  # the largest three-decimal number below pi

# Loose enough that the resolution brings nothing below it over the thresholds of the selection.
_PRESELECT_LEPTON_PT = 18.0
_PRESELECT_TAU_PT = 8.0

_CENTRAL_PT = 200.0  # pt [GeV] at which the spread of the jets in eta is down by sqrt(2)

_SPLIT_SLOTS = 2
_EXTRA_SLOTS = 5


class Jets(NamedTuple):
    """Jets of every event, shape (events, slots); an empty slot has ``pt`` 0."""

    pt: FloatArray
    eta: FloatArray
    phi: FloatArray

    @classmethod
    def of(cls, *jets: Momenta) -> Jets:
        """Collect one massless jet per slot."""
        return cls(
            np.stack([jet.pt for jet in jets], axis=1),
            np.stack([jet.rapidity for jet in jets], axis=1),
            np.stack([jet.phi for jet in jets], axis=1),
        )

    def beside(self, other: Jets) -> Jets:
        """Give the jets of both, event by event."""
        return Jets(*(np.concatenate(pair, axis=1) for pair in zip(self, other, strict=True)))

    def harder_more_central(self) -> Jets:
        """Narrow the spread in eta with growing pt, as the falling parton densities do."""
        return self._replace(eta=self.eta / np.sqrt(1 + self.pt / _CENTRAL_PT))

    @property
    def transverse(self) -> FloatArray:
        """The x and y components [GeV], shape (events, slots, 2)."""
        return np.stack([self.pt * np.cos(self.phi), self.pt * np.sin(self.phi)], axis=2)


class HardEvents(NamedTuple):
    """Events before the detector: one lepton, one visible tau, neutrinos, jets and a recoil.

    ``invisible`` and ``recoil`` are transverse vectors [GeV] of shape (events, 2): the sum of the
    neutrinos, and what initial-state radiation has to carry. ``rapidity`` is that of the system.
    """

    lepton: Momenta
    tau: Momenta
    multi_prong: BoolArray
    invisible: FloatArray
    jets: Jets
    recoil: FloatArray
    rapidity: FloatArray

    def take(self, rows: BoolArray | NDArray[np.intp]) -> HardEvents:
        """Select events by a mask or by indices."""
        return HardEvents(
            Momenta(*(column[rows] for column in self.lepton)),
            Momenta(*(column[rows] for column in self.tau)),
            self.multi_prong[rows],
            self.invisible[rows],
            Jets(*(column[rows] for column in self.jets)),
            self.recoil[rows],
            self.rapidity[rows],
        )


@dataclass(frozen=True, kw_only=True)
class Response:
    """Numbers of the parametric activity and response of one process.

    Parameters
    ----------
    tau_offset, tau_noise
        Raw tau pt = visible pt + offset + noise x sqrt(visible pt) x N(0, 1) [GeV, sqrt(GeV)].
    isolation
        Lepton efficiency = plateau x (1 - exp(-0.3 pt / isolation)) [GeV].
    soft, soft_growth
        Width per axis of the recoil not in jets: soft x sqrt(1 + pt / soft_growth) [GeV].
    extra_base, extra_slope, extra_power, extra_max
        Mean number of extra jets: base + slope x (recoil / 30 GeV) ^ power, at most ``extra_max``.
    extra_index, extra_eta_width
        Extra jets have pt = 15 GeV x u^(-1 / (index - 1)) with u uniform, and this width in eta.
    extra_balance
        Share of the transverse momentum of the extra jets that the main jet balances.
    main_follow, main_eta_width
        Main jet eta = follow x rapidity of the system + width x N(0, 1).
    split_share, split_phi_width, split_power
        The main jet splits with chance share x (1 - exp(-recoil / 60 GeV)), into fractions
        z = 1/2 + u^power / 2 and 1 - z, with this opening in azimuth [rad].
    jet_response, jet_noise
        Raw jet pt over pt, and its relative width sqrt(noise^2 / pt + 0.05^2).
    met_noise
        Width per axis of the missing momentum: sqrt(noise^2 + 0.09 sum of jet pt) [GeV].
    tau_in_met, jet_in_met
        Shares of the mismeasurement of the tau and of the jets that enter the missing momentum.
    """

    tau_offset: float
    tau_noise: float
    isolation: float
    soft: float
    soft_growth: float
    extra_base: float
    extra_slope: float
    extra_power: float
    extra_max: float
    extra_index: float
    extra_eta_width: float
    extra_balance: float
    main_follow: float
    main_eta_width: float
    split_share: float
    split_phi_width: float
    split_power: float
    jet_response: float
    jet_noise: float
    met_noise: float
    tau_in_met: float
    jet_in_met: float


def preselect(events: HardEvents) -> HardEvents:
    """Drop early what can not pass the selection, before the costlier steps."""
    keep = (
        (events.lepton.pt > _PRESELECT_LEPTON_PT)
        & (np.abs(events.lepton.rapidity) < max(LEPTON_ETA_MAX.values()))
        & (events.tau.pt > _PRESELECT_TAU_PT)
        & (np.abs(events.tau.rapidity) < TAU_ETA_MAX)
    )
    return events.take(keep)


def hadronic_activity(
    rng: np.random.Generator, events: HardEvents, response: Response
) -> HardEvents:
    """Add the jets of initial-state radiation: a main jet, which may split, and extra ones."""
    n = events.rapidity.size
    size = np.hypot(*events.recoil.T)
    mean = response.extra_base + response.extra_slope * (size / 30) ** response.extra_power
    count = rng.poisson(np.minimum(mean, response.extra_max))
    slots = (n, _EXTRA_SLOTS)
    # 1 - u is never zero, so the power law stays finite; no extra jet outgrows the beam energy.
    pt = 15 * (1 - rng.random(slots)) ** (-1 / (response.extra_index - 1))
    pt = np.where(np.arange(_EXTRA_SLOTS) < count[:, None], np.minimum(pt, 1000.0), 0.0)
    extra = Jets(
        pt,
        rng.normal(0, response.extra_eta_width, slots),
        rng.uniform(-np.pi, np.pi, slots),
    )

    soft = response.soft * np.sqrt(1 + size / response.soft_growth)
    main = (
        events.recoil
        - response.extra_balance * extra.transverse.sum(axis=1)
        + soft[:, None] * rng.normal(size=(n, 2))
    )
    main_pt, main_phi = np.hypot(*main.T), np.arctan2(main[:, 1], main[:, 0])
    splits = rng.random(n) < response.split_share * (1 - np.exp(-main_pt / 60))
    z = np.where(splits, 0.5 + rng.random(n) ** response.split_power / 2, 1.0)
    opening = np.where(splits, rng.normal(0, response.split_phi_width, n), 0.0)
    # The two parts share the opening so that their sum keeps roughly the direction of the whole.
    phi = np.stack([main_phi + (1 - z) * opening, main_phi - z * opening], axis=1)
    eta = (
        response.main_follow * events.rapidity[:, None]
        + rng.normal(size=(n, _SPLIT_SLOTS)) * response.main_eta_width
    )
    split = Jets(np.stack([main_pt * z, main_pt * (1 - z)], axis=1), eta, wrap_angle(phi))
    radiated = split.beside(extra).harder_more_central()
    return events._replace(jets=events.jets.beside(radiated))


def _stored_scale(raw_pt: FloatArray, eta: FloatArray) -> FloatArray:
    """Jet energy scale of the official detector card, for taus and jets."""
    return np.sqrt((3 - 0.2 * np.abs(eta)) ** 2 / raw_pt + 1)


def _near(jets: Jets, particle: Momenta) -> BoolArray:
    d_eta = jets.eta - particle.rapidity[:, None]
    d_phi = wrap_angle(jets.phi - particle.phi[:, None])
    near: BoolArray = d_eta**2 + d_phi**2 < OVERLAP**2
    return near


def _measure_jets(
    rng: np.random.Generator, events: HardEvents, response: Response
) -> tuple[Jets, FloatArray]:
    """Raw jets that pass the cuts, hardest first, and the transverse mismeasurement of all."""
    jets = events.jets
    occupied = jets.pt > 0
    width = np.sqrt(response.jet_noise**2 / np.maximum(jets.pt, 1.0) + 0.05**2)
    smear = np.maximum(response.jet_response * (1 + width * rng.normal(size=jets.pt.shape)), 0.0)
    raw = jets.pt * smear
    change = jets._replace(pt=raw - jets.pt).transverse.sum(axis=1)
    kept = (
        occupied
        & (raw > RAW_PT_MIN)
        & (np.abs(jets.eta) < JET_ETA_MAX)
        & ~_near(jets, events.lepton)
        & ~_near(jets, events.tau)
    )
    raw = np.where(kept, raw, 0.0)
    stored = raw * _stored_scale(np.maximum(raw, RAW_PT_MIN), jets.eta)
    order = np.argsort(-stored, axis=1, kind="stable")
    measured = (np.take_along_axis(column, order, axis=1) for column in (stored, *jets[1:]))
    return Jets(*measured), change


def reconstruct(
    rng: np.random.Generator, events: HardEvents, response: Response
) -> NDArray[np.float32]:
    """Measure and select events.

    Parameters
    ----------
    rng
        Source of the measurement errors.
    events
        Events with all their jets.
    response
        Numbers of the process.

    Returns
    -------
    The selected events as float32 of shape (selected, 16), columns as ``schema.PRI_COLUMNS``,
    rounded to three decimals.
    """
    n = events.rapidity.size
    visible = events.tau.pt
    raw_tau = (
        visible + response.tau_offset + response.tau_noise * np.sqrt(visible) * rng.normal(size=n)
    )
    lepton_pt = events.lepton.pt * (1 + 0.015 * rng.normal(size=n))
    lepton_eta = np.abs(events.lepton.rapidity)
    is_muon = rng.random(n) < 0.5
    efficiency = np.where(lepton_eta < BARREL_ETA, 0.92, 0.80)
    efficiency *= 1 - np.exp(-0.3 * lepton_pt / response.isolation)
    efficiency *= np.where(events.multi_prong, 0.6 / 0.7, 1.0)
    selected = (
        (lepton_pt >= LEPTON_PT_MIN)
        & (lepton_eta < np.where(is_muon, LEPTON_ETA_MAX["muon"], LEPTON_ETA_MAX["electron"]))
        & (raw_tau > RAW_PT_MIN)
        & (np.abs(events.tau.rapidity) < TAU_ETA_MAX)
        & (rng.random(n) < efficiency)
        & ~_near(Jets.of(events.tau), events.lepton)[:, 0]
    )
    events, raw_tau, lepton_pt = events.take(selected), raw_tau[selected], lepton_pt[selected]

    n = raw_tau.size
    jets, jet_change = _measure_jets(rng, events, response)
    tau_change = events.tau._replace(pt=raw_tau - events.tau.pt).transverse
    met_width = np.sqrt(response.met_noise**2 + 0.09 * events.jets.pt.sum(axis=1))
    met = (
        events.invisible
        - response.tau_in_met * tau_change
        - response.jet_in_met * jet_change
        + met_width[:, None] * rng.normal(size=(n, 2))
    )

    jet_pt = jets.pt.round(3)
    present = jet_pt[:, :2] > 0
    columns = {
        "PRI_lep_pt": lepton_pt,
        "PRI_lep_eta": events.lepton.rapidity,
        "PRI_lep_phi": events.lepton.phi,
        "PRI_had_pt": raw_tau * _stored_scale(raw_tau, events.tau.rapidity),
        "PRI_had_eta": events.tau.rapidity,
        "PRI_had_phi": events.tau.phi,
        "PRI_n_jets": (jet_pt > 0).sum(axis=1).astype(np.float64),
        "PRI_jet_all_pt": jet_pt.sum(axis=1),
        "PRI_met": np.hypot(*met.T),
        "PRI_met_phi": np.arctan2(met[:, 1], met[:, 0]),
    }
    for slot, name in enumerate(("leading", "subleading")):
        there = present[:, slot]
        columns[f"PRI_jet_{name}_pt"] = np.where(there, jet_pt[:, slot], MISSING)
        columns[f"PRI_jet_{name}_eta"] = np.where(there, jets.eta[:, slot], MISSING)
        columns[f"PRI_jet_{name}_phi"] = np.where(there, jets.phi[:, slot], MISSING)
    # Rounding could lift an azimuth just above pi; the missing value of a jet stays as it is.
    for name, column in columns.items():
        if name.endswith("_phi"):
            inside = np.clip(column, -LARGEST_STORED_PHI, LARGEST_STORED_PHI)
            columns[name] = np.where(column == MISSING, column, inside)
    rows = np.stack([columns[name] for name in PRI_COLUMNS], axis=1)
    return rows.round(3).astype(np.float32)
