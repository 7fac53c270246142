"""The library of truth-level events: packing, ordering, reading.

Events are ordered into leaves of similar recoil (a tree of median cuts), so that the fast engine
finds neighbors of an event next to it, and numbers are stored as 16-bit integers.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from HiggsML.errors import DataError, SettingsError
from HiggsML.generator.detector import wrap
from HiggsML.generator.fast.calibration import Calibration, calibrate, shipped_calibration
from HiggsML.generator.jet_tags import decode

__all__ = ["LEAF", "SLOTS", "Library", "load_library", "pack", "response_bin", "unpack"]

Floats = NDArray[np.float32]
Columns = dict[str, NDArray[Any]]

LEAF = 32
"""Events per leaf of similar recoil."""

SLOTS = 256
"""Entries per leaf of the table that turns a random byte into an event, by weight."""

MAXIMUM_JETS = 8
_RESPONSE_PT = np.geomspace(10.0, 300.0, 16)
_RESPONSE_ETA = np.array([0.8, 1.7, 2.5, 3.2])
_RESPONSE_QUANTILES = 129
_LOG_SCALE, _LOG_OFFSET, _ANGLE_SCALE, _GEV_SCALE = 5000.0, 3.0, 6000.0, 100.0
# Share of the draws that take rapidities from a neighbor. A leaf is wide in the momenta of jets,
# which rapidities depend on: were all exchanged, jets would lie 2 to 3 % too far apart.
_EXCHANGED = 0.5
_ANGLES = ("phi", "cosine", "axis_theta", "axis_phi")


@dataclass(frozen=True, eq=False)
class Library:
    """Events of one process; transverse momenta and masses in GeV. Equal only to itself.

    ``boson_*`` have shape (events, 2), ``jet_*`` (events, 8), zero where there is none. For the
    single-boson processes every event is turned so that the boson flies along x. ``residual_x`` and
    ``residual_y`` are what the calorimeter adds to or takes from a perfect balance, apart from the
    response to jets and the share ``soft_loss`` that it misses of the soft recoil. ``response``
    holds quantiles of measured over deposited jet pt in bins of pt and ``abs(eta)``.
    ``kept_share`` is the weight of all events as a share of what Pythia tried, closed decays
    included: what the production's cuts leave of the cross-section. ``leaf_share`` is the
    probability of each leaf, ``slots`` (leaves, 256) are event numbers.
    """

    weight: Floats
    kept_share: float
    residual_x: Floats
    residual_y: Floats
    isolation: Floats
    area: Floats
    cone_tag: NDArray[np.uint8]
    boson_kind: NDArray[np.uint8]
    boson_m: Floats
    boson_pt: Floats
    boson_y: Floats
    boson_phi: Floats
    boson_cosine: Floats
    boson_axis_theta: Floats
    boson_axis_phi: Floats
    jet_pt: Floats
    jet_eta: Floats
    jet_phi: Floats
    jet_tag: NDArray[np.uint8]
    response: Floats
    soft_loss: np.float32
    fakes: np.float32
    leaf_share: NDArray[np.float64]
    slots: NDArray[np.int32]

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.weight)

    @functools.cached_property
    def holds_tau(self) -> NDArray[np.bool_]:
        """Which events have a jet with a tau of a heavy hadron."""
        return np.asarray(decode(self.jet_tag).matched.any(axis=1))

    def draw(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Draw ``n`` events by their weights, and to each itself or another one of its leaf."""
        leaf = np.arange(len(self.slots), dtype=np.int32) * SLOTS
        leaf = np.repeat(leaf, rng.multinomial(n, self.leaf_share))
        byte = rng.integers(0, SLOTS, (2, n), dtype=np.uint8)
        slots = self.slots.ravel()
        exchanged = rng.random(n, dtype=np.float32) < _EXCHANGED
        event = slots[leaf + byte[0]]
        return event, np.where(exchanged, slots[leaf + byte[1]], event)


def response_bin(pt: NDArray[Any], eta: NDArray[Any]) -> NDArray[np.intp]:
    """Row of ``Library.response`` for deposited transverse momenta [GeV]."""
    n_eta = len(_RESPONSE_ETA) + 1
    return np.asarray(
        np.digitize(pt, _RESPONSE_PT) * n_eta + np.digitize(np.abs(eta), _RESPONSE_ETA)
    )


def _response_table(raw: NDArray[Any], true: NDArray[Any], eta: NDArray[Any]) -> Floats:
    """Quantiles of raw / true in each bin; a bin of too few takes its neighbor's."""
    ratio = np.clip(raw / true, 0.3, 2.5)
    which = response_bin(true, eta)
    levels = np.linspace(0.0, 1.0, _RESPONSE_QUANTILES)  # with both ends: tails count
    n_eta = len(_RESPONSE_ETA) + 1
    n = (len(_RESPONSE_PT) + 1) * n_eta
    table = np.tile(np.quantile(ratio, levels), (n, 1))
    for row in range(n):
        inside = ratio[which == row]
        if len(inside) >= 50:
            table[row] = np.quantile(inside, levels)
        elif row >= n_eta:
            table[row] = table[row - n_eta]
    return table.astype(np.float32)


def _coordinates(columns: Columns) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Class (number of jets above 17 GeV, up to 3) and the coordinates that neighbors share."""
    pt = np.log(np.maximum(columns["jet_true_pt"][:, :3], 8.0)) * 1.5
    phi = columns["jet_phi"]
    jets = (columns["jet_true_pt"] > 17.0).sum(axis=1)
    between = np.abs(wrap(phi[:, 0] - phi[:, 1])) * 0.8
    coordinates = np.stack(
        [
            np.log(columns["boson_pt"][:, 0] + 5.0) * 1.5,
            pt[:, 0] * (jets >= 1),
            pt[:, 1] * (jets >= 2),
            between * (jets >= 2),
            pt[:, 2] * 0.5 * (jets >= 3),
        ],
        axis=1,
    )
    return np.minimum(jets, 3), coordinates


def _tree_order(index: NDArray[np.int64], coordinates: NDArray[Any]) -> list[NDArray[np.int64]]:
    """Split at medians of the widest coordinate until every part is one leaf."""
    if len(index) <= LEAF:
        return [index]
    spread = np.ptp(np.quantile(coordinates[index], (0.05, 0.95), axis=0), axis=0)
    order = index[np.argsort(coordinates[index, spread.argmax()], kind="stable")]
    cut = len(order) // 2 // LEAF * LEAF or LEAF
    return _tree_order(order[:cut], coordinates) + _tree_order(order[cut:], coordinates)


def _to_log(values: NDArray[Any]) -> NDArray[np.uint16]:
    scaled = np.rint((np.log(np.maximum(values, 1e-9)) + _LOG_OFFSET) * _LOG_SCALE)
    return np.where(values > 0, np.clip(scaled, 1, 65535), 0).astype(np.uint16)


def _from_log(values: NDArray[np.uint16]) -> Floats:
    out = np.exp(values.astype(np.float32) / _LOG_SCALE - _LOG_OFFSET)
    return np.where(values > 0, out, 0.0).astype(np.float32)


def _to_fixed(values: NDArray[Any], scale: float) -> NDArray[np.int16]:
    return np.clip(np.rint(values * scale), -32767, 32767).astype(np.int16)


def _ordered(columns: Columns, rng: np.random.Generator) -> Columns:
    """Order the events of one half into full leaves; a few that fill no leaf are dropped."""
    kind, coordinates = _coordinates(columns)
    leaves: list[NDArray[np.int64]] = []
    for value in range(4):
        members = rng.permutation(np.flatnonzero(kind == value))
        members = members[len(members) % LEAF :]
        leaves += _tree_order(members, coordinates) if len(members) else []
    order = np.concatenate(leaves)
    return {name: values[order] for name, values in columns.items()}


def pack(halves: list[Columns], *, seed: int, tried: float) -> Columns:
    """Order and compress production columns of two disjoint halves from ``tried`` events in all."""
    rng = np.random.default_rng(seed)
    parts = [_ordered(columns, rng) for columns in halves]
    both = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    raw, true, phi = both["jet_pt"], both["jet_true_pt"], both["jet_phi"]
    use = (true > 8.0) & (raw > 8.0)
    weight = both["weight"]
    size = both["boson_pt"] * (both["boson_kind"] > 0)
    change, kept = np.where(use, raw - true, 0.0), np.where(use, true, 0.0)
    residual, soft = [], []
    for axis, trigonometric in (("x", np.cos), ("y", np.sin)):
        boson = (size * trigonometric(both["boson_phi"])).sum(axis=1)
        jets = trigonometric(phi)
        residual.append(both[f"visible_{axis}"] + boson - (change * jets).sum(axis=1))
        soft.append(-boson - (kept * jets).sum(axis=1))
    # What is neither boson nor jet is seen with a response below one. Its part of the residual
    # belongs to the event's own recoil; only the rest may be exchanged between neighbors.
    typical = weight * (soft[0] ** 2 + soft[1] ** 2 < 40.0**2)
    loss = -np.sum(typical * (residual[0] * soft[0] + residual[1] * soft[1]))
    loss /= np.sum(typical * (soft[0] ** 2 + soft[1] ** 2))
    several = bool((both["boson_kind"][:, 1] > 0).any())
    width = 2 if several else 1
    out: Columns = {
        "sizes": np.array([len(part["weight"]) for part in parts]),
        "tried": np.array(tried),
        "soft_loss": np.array(loss, dtype=np.float32),
        "weight": weight.astype(np.float32),
        "residual_x": _to_fixed(residual[0] + loss * soft[0], _GEV_SCALE),
        "residual_y": _to_fixed(residual[1] + loss * soft[1], _GEV_SCALE),
        "isolation": _to_fixed(both["isolation"], _GEV_SCALE),
        "area": _to_fixed(both["area"], _GEV_SCALE),
        "jet_number": use.sum(axis=1).astype(np.uint8),
        "jet_pt": _to_log(true[use]),
        "jet_eta": _to_fixed(both["jet_eta"][use], _ANGLE_SCALE),
        "jet_phi": _to_fixed(phi[use], _ANGLE_SCALE),
        "jet_tag": both["jet_tag"][use],
        "cone_tag": both["cone_tag"],
        "response": _response_table(raw[use], true[use], both["jet_eta"][use]),
        "boson_kind": both["boson_kind"][:, :width],
        "boson_m": _to_log(both["boson_m"][:, :width]),
        "boson_pt": _to_log(both["boson_pt"][:, :width]),
        "boson_y": _to_fixed(both["boson_y"][:, :width], _ANGLE_SCALE),
    }
    for name in _ANGLES if several else ():
        out[f"boson_{name}"] = _to_fixed(both[f"boson_{name}"], _ANGLE_SCALE)
    return out


def unpack(packed: Columns, *, half: int | None = None) -> Library:
    """Return a library from packed columns: everything, or only half 1 or 2."""
    first, second = (int(size) for size in packed["sizes"])
    rows = {None: slice(0, first + second), 1: slice(0, first), 2: slice(first, first + second)}
    if half not in rows:
        raise SettingsError(f"half of the library must be 1 or 2, not {half!r}")
    row = rows[half]
    number = packed["jet_number"].astype(np.int64)
    jet_row = np.repeat(np.arange(len(number)), number)
    jet_rank = np.arange(len(jet_row)) - np.repeat(np.cumsum(number) - number, number)
    n = row.stop - row.start

    def jets(values: NDArray[Any], kind: Any = np.float32) -> NDArray[Any]:
        block = np.zeros((len(number), MAXIMUM_JETS), dtype=kind)
        block[jet_row, jet_rank] = values
        return block[row]

    def fixed(name: str) -> Floats:
        return (packed[name][row] / _GEV_SCALE).astype(np.float32)

    def boson(name: str) -> Floats:
        block = np.zeros((n, 2), dtype=np.float32)
        if f"boson_{name}" in packed:
            values = packed[f"boson_{name}"][row]
            numbers = _from_log(values) if name in ("m", "pt") else values / _ANGLE_SCALE
            block[:, : values.shape[1]] = numbers
        return block

    kind = np.zeros((n, 2), dtype=np.uint8)
    kind[:, : packed["boson_kind"].shape[1]] = packed["boson_kind"][row]
    weight = packed["weight"][row]
    leaf_share, slots = _sampler(weight)
    return Library(
        weight=weight,
        kept_share=float(packed["weight"].sum(dtype=np.float64) / packed["tried"]),
        residual_x=fixed("residual_x"),
        residual_y=fixed("residual_y"),
        isolation=fixed("isolation"),
        area=fixed("area"),
        cone_tag=packed["cone_tag"][row],
        boson_kind=kind,
        **{f"boson_{name}": boson(name) for name in ("m", "pt", "y", *_ANGLES)},
        jet_pt=jets(_from_log(packed["jet_pt"])),
        jet_eta=jets(packed["jet_eta"] / _ANGLE_SCALE),
        jet_phi=jets(packed["jet_phi"] / _ANGLE_SCALE),
        jet_tag=jets(packed["jet_tag"], np.uint8),
        response=packed["response"],
        soft_loss=np.float32(packed["soft_loss"]),
        fakes=np.float32(1.0),
        leaf_share=leaf_share,
        slots=slots,
    )


def _sampler(weight: Floats) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return the share of each leaf, and per leaf which event each random byte means."""
    blocks = weight.astype(np.float64).reshape(-1, LEAF)
    total = blocks.sum(axis=1)
    upper = np.cumsum(blocks, axis=1) / total[:, None]
    # Systematic sampling with a fixed offset: every event has its share to within 1/256.
    middle = (np.arange(SLOTS) + 0.5) / SLOTS
    member = np.stack([np.searchsorted(edges, middle) for edges in upper])
    slots = np.minimum(member, LEAF - 1) + np.arange(len(blocks))[:, None] * LEAF
    share = total / total.sum()
    return share, slots.astype(np.int32)


@functools.lru_cache(maxsize=12)
def load_library(process: str, half: int | None = None, folder: Path | None = None) -> Library:
    """Read the library of one process: the shipped one, calibrated, or as it is from ``folder``.

    Raises
    ------
    DataError
        If there is no library file for this process.

    """
    where = resources.files("HiggsML.generator.fast") / "data" if folder is None else folder
    source = where / f"{process}.npz"
    if not source.is_file():
        raise DataError(
            f"no event library {source}: install the package whole, or make a library with "
            "python -m HiggsML.generator.pythia.make_library"
        )
    with source.open("rb") as file, np.load(file) as archive:
        packed = {key: archive[key] for key in archive.files}
    library = unpack(packed, half=half)
    if folder is not None:
        return library
    return calibrate(library, shipped_calibration().get(process, Calibration()))
