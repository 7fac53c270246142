"""Pythia 8 processes, and its event records as flat NumPy arrays."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from HiggsML.errors import SettingsError
from HiggsML.generator.detector import is_inside

__all__ = [
    "Particles",
    "charge_sign",
    "descendants",
    "flatten",
    "prompt",
    "pythia",
    "pythia_seed",
    "require_pythia",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_COMMON = ("Print:quiet = on", "Beams:eCM = 13000.", "Random:setSeed = on")
# The official top quarks are those of Pythia before 8.308: their cross-sections (470.4 pb for g g)
# are reached with its mass alone; radiation in their decays then had another recoil, too.
_TOP = ("6:m0 = 171.", "TimeShower:recoilStrategyRF = 1")
# What Top:all meant then; now it has a gluon and a photon, too (0.8 % of the top quarks).
_TOP_PROCESSES = (
    *("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "Top:ffbar2ttbar(s:gmZ) = on"),
    *("Top:qq2tq(t:W) = on", "Top:ffbar2tqbar(s:W) = on", "Top:gmgm2ttbar = on"),
)
# WeakSingleBoson:all switches W production on whatever is said afterwards; hence the one process.
_SWITCHES = {
    "htautau": ("HiggsSM:all = on", "25:onMode = off", "25:onIfMatch = 15 -15", *_TOP),
    # The part of htautau with a W, a Z or top quarks: a library of its own, for their leptons.
    "htautau_associated": (
        "HiggsSM:ffbar2HZ = on",
        "HiggsSM:ffbar2HW = on",
        "HiggsSM:gg2Httbar = on",
        "HiggsSM:qqbar2Httbar = on",
        "25:onMode = off",
        "25:onIfMatch = 15 -15",
        *_TOP,
    ),
    "ztautau": (
        "WeakSingleBoson:ffbar2gmZ = on",
        "WeakZ0:gmZmode = 2",
        "23:onMode = off",
        "23:onIfMatch = 15 -15",
    ),
    "ttbar": (*_TOP_PROCESSES, *_TOP),
    "diboson": ("WeakDoubleBoson:all = on", "WeakZ0:gmZmode = 0"),
}


def require_pythia() -> None:
    """Raise :class:`SettingsError` if a package of the extra ``[pythia]`` is missing."""
    for name in ("pythia8mc", "fastjet", "awkward"):
        if find_spec(name) is None:
            raise SettingsError(
                f'engine "pythia" needs the package {name}: '
                'pip install "higgsml-uncertainty[pythia]"'
            )


def pythia_seed(sequence: np.random.SeedSequence) -> int:
    """Turn a seed of NumPy into one that Pythia takes, 1 .. 900,000,000."""
    return int(sequence.generate_state(1)[0]) % 900_000_000 + 1


def pythia(process: str, *, seed: int, extra: tuple[str, ...] = (), hook: Any = None) -> Any:
    """Return an initialized Pythia 8 for one of the processes.

    Parameters
    ----------
    process : {"htautau", "htautau_associated", "ztautau", "ttbar", "diboson"}
    seed : int
        Seed of Pythia's own random numbers, 1 .. 900,000,000.
    extra : tuple of str
        Further settings, read last.
    hook : pythia8mc.UserHooks, optional

    Raises
    ------
    SettingsError
        If ``pythia8mc`` is not installed, the process is unknown, or a setting is refused.

    """
    require_pythia()
    import pythia8mc

    if process not in _SWITCHES:
        raise SettingsError(f"unknown process {process!r}; known: {', '.join(_SWITCHES)}")
    machine = pythia8mc.Pythia("", False)
    for line in (*_COMMON, f"Random:seed = {seed}", *_SWITCHES[process], *extra):
        if not machine.readString(line):
            raise SettingsError(f"Pythia refuses the setting {line!r}")
    if hook is not None:
        machine.setUserHooksPtr(hook)
    if not machine.init():
        raise SettingsError(f"Pythia could not be initialized for {process}")
    return machine


@dataclass(frozen=True)
class Particles:
    """All particles of a batch of events, flat.

    ``event`` tells the event of each particle, ``start`` the index of each event's first particle;
    ``mother`` is an index into the flat arrays. ``momentum`` has the rows px, py, pz, E in GeV.
    ``inside`` tells which are made inside the calorimeter.
    """

    event: Integers
    start: Integers
    pdg: Integers
    status: Integers
    mother: Integers
    momentum: Floats
    inside: NDArray[np.bool_]

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.start)


def flatten(batch: Any) -> Particles:
    """Turn what ``Pythia.nextBatch`` returns into flat arrays."""
    import awkward as ak

    particles = batch.prt
    counts = ak.to_numpy(ak.num(particles.id, axis=1)).astype(np.int64)
    start = np.concatenate(([0], np.cumsum(counts)[:-1])).astype(np.int64)
    event = np.repeat(np.arange(len(counts)), counts)

    def column(values: Any, kind: type = np.float64) -> Any:
        return np.asarray(ak.to_numpy(ak.flatten(values)), dtype=kind)

    p, vertex = particles.p, particles.vProd
    return Particles(
        event=event,
        start=start,
        pdg=column(particles.id, np.int64),
        status=column(particles.status, np.int64),
        mother=start[event] + column(particles.mother1, np.int64),
        momentum=np.stack([column(p.px), column(p.py), column(p.pz), column(p.e)]),
        # Without a vertex it is made where the protons meet.
        inside=is_inside(
            np.stack(
                [column(ak.fill_none(axis, 0.0)) for axis in (vertex.px, vertex.py, vertex.pz)]
            )
        ),
    )


def prompt(particles: Particles, index: Integers) -> tuple[NDArray[np.bool_], Integers]:
    """Tell which leptons come from a W, Z or H, directly or through copies of themselves.

    Returns a mask and the flat index of the boson (or of the last ancestor reached).
    """
    kind = np.abs(particles.pdg[index])
    at = particles.mother[index]
    for _ in range(30):
        same = np.abs(particles.pdg[at]) == kind
        if not same.any():
            break
        at = np.where(same, particles.mother[at], at)
    return np.isin(np.abs(particles.pdg[at]), (22, 23, 24, 25)), at


def descendants(particles: Particles, index: Integers) -> NDArray[np.bool_]:
    """Tell which particles come from some others, those included."""
    of_them = np.zeros(len(particles.pdg), dtype=bool)
    of_them[index] = True
    found = 0
    while found < (found := int(of_them.sum())):
        of_them |= of_them[particles.mother]
    return of_them


def charge_sign(pdg: Integers) -> Floats:
    """Sign of the charge of stable particles, 0 for neutral ones."""
    a = np.abs(pdg)
    positive, negative = np.isin(a, (211, 321, 2212, 3222)), np.isin(a, (11, 13, 3112, 3312, 3334))
    return np.asarray(np.sign(pdg) * (1.0 * positive - 1.0 * negative), dtype=np.float64)
