"""The information limit of the challenge: what the best classifier's histograms tell about mu.

Two gradient-boosted ensembles, far larger than what a pseudo-experiment leaves time for, learn from
events of one half of the generator's library. Events of the other half, which they never saw, are
divided by what they say: a classifier that has memorized events gains nothing from it. The counts
that these bins expect, as functions of mu and of the nuisance parameters, go into
:mod:`HiggsML.statistics.fisher_information`.

Any division into bins loses information, so the true limit is at or below the numbers found here.
The finite simulation acts the other way: random differences between bins look like information. Its
effect is proportional to one over the number of events, so that the difference between all events
and two halves of them shows its size, and takes it out (M. H. Quenouille's jackknife, Biometrika 43
(1956) 353).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from HiggsML.datasets.reader import Data
from HiggsML.errors import SettingsError
from HiggsML.generator import expected_events, generate_dataset
from HiggsML.schema import FEATURES, MU_RANGE, NUISANCES, PROCESSES, SIGNAL
from HiggsML.statistics.fisher_information import Information, information_at, mean_width
from HiggsML.systematics import systematics

__all__ = [
    "Bins",
    "ExpectedCounts",
    "Judge",
    "Limit",
    "counts_of_scenario",
    "expected_counts",
    "library_counts",
    "limit",
    "limit_by_mu",
]

Array = NDArray[np.float64]

_ROWS = 200_000  # events that are shifted at once, to save memory
_LEARNING_GROUPS = 8  # each under shifts of its own, so that the trees tolerate them
_TREES: Mapping[str, Any] = {
    "learning_rate": 0.12,
    "max_leaf_nodes": 40,
    "min_samples_leaf": 60,
    "early_stopping": False,
    "random_state": 1,
}
_SHIFTS = {"tes": (0.98, 1.02), "jes": (0.98, 1.02), "soft_met": (2.0, 5.0)}
_PARTS = (2, 24, 4, 2)  # of top score, signal score, pt of the tau, sum of the jets' pt
_MIXTURE = {"htautau": 0.55, "ztautau": 0.3, "ttbar": 0.1, "diboson": 0.05}


# ----------------------------------------------------------------------------------------------
# The classifier
# ----------------------------------------------------------------------------------------------


def _inputs(events: pd.DataFrame) -> NDArray[np.float32]:
    """Return what the trees see, (n, n_variables): no angle but relative to another one."""
    kept = [name for name in FEATURES if not name.endswith("_phi")]
    columns = [events[name].to_numpy(np.float32) for name in kept]
    phi = {part: events[f"PRI_{part}_phi"].to_numpy(np.float32) for part in ("lep", "had", "met")}
    met, had_pt = events["PRI_met"].to_numpy(np.float32), events["PRI_had_pt"].to_numpy(np.float32)
    had_met = np.cos(phi["had"] - phi["met"])
    columns += [had_met, np.cos(phi["lep"] - phi["met"]), np.cos(phi["lep"] - phi["had"])]
    columns.append(np.sqrt(2 * had_pt * met * (1 - had_met)))  # transverse mass of tau and neutrino
    return np.column_stack(columns)


class Judge:
    """Scores events: ln of the odds of signal against background, and of ttbar against the Z boson.

    Parameters
    ----------
    events : DataFrame
        Training events without shifts: ``PRI_`` columns, "weights" and "detailed_labels".
    seed : int
        Of the shifts under which they are learned.
    step : callable
        Called with (classifiers trained, classifiers in all).

    Examples
    --------
    >>> scores = Judge(learned)(others)  # doctest: +SKIP
    """

    def __init__(
        self,
        events: pd.DataFrame,
        *,
        seed: int = 1,
        step: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        step(0, 2)
        shifts = _prior_points(_LEARNING_GROUPS, np.random.default_rng(seed))
        parts = []
        for group, z in enumerate(shifts):
            part = events.iloc[group::_LEARNING_GROUPS]
            parts.append(systematics(part, *_values(z), seed=seed + group))
        learned = pd.concat(parts, ignore_index=True)
        inputs = _inputs(learned)
        names = learned["detailed_labels"].to_numpy()
        weights = learned["weights"].to_numpy(np.float64)
        signal = names == SIGNAL
        top = np.isin(names, ("ttbar", "diboson"))
        self._signal = _trees(150, inputs, signal, weights)
        step(1, 2)
        self._top = _trees(50, inputs[~signal], top[~signal], weights[~signal])
        step(2, 2)

    def __call__(self, events: pd.DataFrame) -> NDArray[np.float32]:
        """Return both scores, shape (2, n)."""
        inputs = _inputs(events)
        scores = [trees.decision_function(inputs) for trees in (self._signal, self._top)]
        return np.stack(scores).astype(np.float32)


def _trees(
    number: int, inputs: NDArray[np.float32], labels: NDArray[np.bool_], weights: Array
) -> Any:
    """Fit an ensemble in which both classes count equally."""
    balanced = weights / np.where(labels, weights[labels].sum(), weights[~labels].sum())
    model = HistGradientBoostingClassifier(max_iter=number, **_TREES)
    return model.fit(inputs, labels, balanced * labels.size / 2)


# ----------------------------------------------------------------------------------------------
# Bins and what they expect
# ----------------------------------------------------------------------------------------------


class Bins:
    """Divides events by one quantity, each part by the next one, and so on, at quantiles.

    Parameters
    ----------
    columns : array of shape (n_columns, n)
        The quantities, in the order in which they divide.
    weights : array of shape (n,)
        The parts of a division have equal sums of them.
    parts : sequence of int
        Into how many parts each quantity divides.

    Examples
    --------
    >>> bins = Bins(np.array([[1.0, 2.0, 3.0, 4.0]]), np.ones(4), parts=[2])
    >>> bins.size, bins(np.array([[0.0, 9.0]])).tolist()
    (2, [0, 1])
    """

    def __init__(self, columns: NDArray[Any], weights: Array, parts: Sequence[int]) -> None:
        values = columns[0]
        order = np.argsort(values, kind="stable")
        sums = np.cumsum(weights[order])
        places = np.searchsorted(sums, np.arange(1, parts[0]) / parts[0] * sums[-1])
        self._edges = np.unique(values[order][places])
        self._inner: list[Bins] = []
        if len(parts) > 1:
            part = np.searchsorted(self._edges, values)
            for number in range(self._edges.size + 1):
                mine = part == number
                if not mine.any():  # an edge below which nothing lies
                    mine[:] = True
                self._inner.append(Bins(columns[1:, mine], weights[mine], parts[1:]))
        sizes = [inner.size for inner in self._inner] or [1] * (self._edges.size + 1)
        self._starts = np.cumsum([0, *sizes[:-1]])
        self.size: int = sum(sizes)

    def __call__(self, columns: NDArray[Any]) -> NDArray[np.intp]:
        """Return each event's bin, below ``size``."""
        part: NDArray[np.intp] = np.searchsorted(self._edges, columns[0])
        if not self._inner:
            return part
        numbers = np.empty_like(part)
        for number, (start, inner) in enumerate(zip(self._starts, self._inner, strict=True)):
            mine = np.flatnonzero(part == number)
            numbers[mine] = start + inner(columns[1:, mine])
        return numbers


@dataclass(frozen=True)
class ExpectedCounts:
    """Expected counts of all bins as functions of mu and of the six nuisance parameters.

    Attributes
    ----------
    nominal : array of shape (4, n_bins)
        By process, in the order of ``PROCESSES``, without shifts.
    changes : array of shape (6, 4, n_bins)
        Coefficients of z and z^2 for tes and jes, and of the width's second and fourth power for
        soft_met (Gaussian noise adds in quadrature).

    Examples
    --------
    >>> counts = ExpectedCounts(np.array([[5.0], [100.0], [10.0], [2.0]]), np.zeros((6, 4, 1)))
    >>> counts(np.array([2.0, 0, 0, 0, 0, 0, 0])).round(1).tolist()
    [119.0]
    """

    nominal: Array
    changes: Array

    def __call__(self, theta: Array) -> Array:
        """Return the counts, shape (n_bins,), for (mu, nuisance parameters in prior widths)."""
        mu, z = theta[0], theta[1:]
        terms = np.concatenate([_powers(n, v) for n, v in zip(_SHIFTS, _values(z), strict=True)])
        nu = self.nominal + np.tensordot(terms, self.changes, 1)
        ttbar, diboson, background = (
            NUISANCES[name].loc + NUISANCES[name].scale * value
            for name, value in zip(
                ("ttbar_scale", "diboson_scale", "bkg_scale"), z[3:], strict=True
            )
        )
        rates = {
            SIGNAL: mu,
            "ztautau": background,
            "ttbar": background * ttbar,
            "diboson": background * max(diboson, 0.0),
        }
        counts: Array = np.array([rates[process] for process in PROCESSES]) @ nu
        return np.maximum(counts, 1e-6)


def _prior_points(number: int, rng: np.random.Generator) -> Array:
    """Draw nuisance parameters, shape (number, 6), in widths of their priors."""
    return rng.normal(size=(number, len(NUISANCES)))


def _values(z: Array) -> tuple[float, float, float]:
    """Return tes, jes and soft_met for parameters in widths of their priors."""
    tes, jes = (
        NUISANCES[n].loc + NUISANCES[n].scale * v
        for n, v in zip(("tes", "jes"), z[:2], strict=True)
    )
    return float(tes), float(jes), float(min(np.exp(z[2]), NUISANCES["soft_met"].high))


def _powers(shift: str, value: float) -> Array:
    prior = NUISANCES[shift]
    x = (value / prior.high) ** 2 if shift == "soft_met" else (value - prior.loc) / prior.scale
    return np.array([x, x * x])


def expected_counts(
    events: pd.DataFrame,
    judge: Callable[[pd.DataFrame], NDArray[np.float32]],
    *,
    parts: Sequence[int] = _PARTS,
    step: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[ExpectedCounts, ExpectedCounts]:
    """Fill histograms from two halves of the events: every other one.

    Parameters
    ----------
    events : DataFrame
        As for :class:`Judge`, but none of those that it has learned.
    judge : callable
        Returns two scores.
    parts : sequence of int
        Into how many parts top score, signal score, pt of the tau and sum of the jets' pt divide.
    step : callable
        Called with (histograms filled, histograms in all).

    Returns
    -------
    first, second : ExpectedCounts
        Each scaled to all expected events; their mean is that of all events.

    Examples
    --------
    >>> def judge(events):
    ...     return np.stack([events["DER_mass_vis"], events["PRI_met"]]).astype(np.float32)
    >>> first, second = expected_counts(events, judge, parts=(2, 1, 1, 1))
    >>> first.nominal.shape
    (4, 2)
    """
    chunks = [events.iloc[start : start + _ROWS] for start in range(0, len(events), _ROWS)]
    jobs = [("", 0.0)] + [(name, value) for name, values in _SHIFTS.items() for value in values]

    def judged(chunk: pd.DataFrame, seed: int, **shift: Any) -> tuple[NDArray[Any], ...]:
        numbered = chunk.assign(half=np.arange(len(chunk)) % 2)
        shifted: pd.DataFrame = systematics(numbered, seed=seed, **shift)
        top_first = judge(shifted)[::-1]
        others = [shifted[name].to_numpy(np.float32) for name in ("PRI_had_pt", "PRI_jet_all_pt")]
        names = shifted["detailed_labels"].to_numpy()
        process = np.select([names == name for name in PROCESSES], range(len(PROCESSES)))
        weights = 2 * shifted["weights"].to_numpy(np.float64)
        return np.stack([*top_first, *others]), process, weights, shifted["half"].to_numpy()

    columns, process, weights, half = (
        np.concatenate(parts_, axis=-1)
        for parts_ in zip(*(judged(c, seed) for seed, c in enumerate(chunks)), strict=True)
    )
    sums = np.bincount(process, weights, minlength=len(PROCESSES))
    if not sums.all():
        raise SettingsError("a process has no events: use more")
    mixture = np.array([_MIXTURE[name] for name in PROCESSES]) / sums
    bins = Bins(columns, weights * mixture[process], parts)
    shape = (2, len(PROCESSES), bins.size)

    def histogram(*selections: NDArray[Any]) -> Array:
        columns, process, weights, half = selections
        flat = (half * len(PROCESSES) + process) * bins.size + bins(columns)
        sums = np.bincount(flat, weights, minlength=int(np.prod(shape)))
        return sums.astype(np.float64).reshape(shape)

    nominal = histogram(columns, process, weights, half)
    step(1, len(jobs))
    shifted: dict[str, list[Array]] = {name: [] for name in _SHIFTS}
    for done, (name, value) in enumerate(jobs[1:], start=2):
        filled = [histogram(*judged(c, seed, **{name: value})) for seed, c in enumerate(chunks)]
        shifted[name].append(np.sum(filled, axis=0) - nominal)
        step(done, len(jobs))
    changes = []
    for name, values in _SHIFTS.items():
        terms = np.array([_powers(name, value) for value in values])
        targets = np.array(shifted[name]).reshape(len(values), -1)
        changes.append(np.linalg.lstsq(terms, targets, rcond=None)[0].reshape(2, *shape))
    change = np.concatenate(changes)
    used = (nominal.sum(axis=1) > 0).all(axis=0)
    first, second = (ExpectedCounts(nominal[k][:, used], change[:, k][..., used]) for k in (0, 1))
    return first, second


def library_counts(
    directory: Path,
    *,
    events: int,
    seed: int,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> tuple[ExpectedCounts, ExpectedCounts]:
    """Generate mini events, learn from one half of the library, and fill histograms from the other.

    The histograms are kept in the directory: the same settings find them again.

    Parameters
    ----------
    directory : Path
        For the two datasets and the histograms.
    events, seed : int
        Rows of each dataset, and root of their randomness.
    progress : callable
        Called with a stage ("generate", "learn", "count"), and how many of how many steps are done.

    Examples
    --------
    >>> halves = library_counts(Path("limit"), events=400_000, seed=1)  # doctest: +SKIP
    """
    kept = directory / f"counts_{events}_{seed}.npz"
    if not kept.exists():
        learned, counted = (
            _half(directory, half, events, seed, partial(progress, "generate")) for half in (1, 2)
        )
        judge = Judge(learned, step=partial(progress, "learn"))
        del learned
        first, second = expected_counts(counted, judge, step=partial(progress, "count"))
        np.savez(
            kept,
            nominal=np.stack([first.nominal, second.nominal]),
            changes=np.stack([first.changes, second.changes]),
        )
    with np.load(kept) as stored:
        nominal, changes = stored["nominal"], stored["changes"]
    return ExpectedCounts(nominal[0], changes[0]), ExpectedCounts(nominal[1], changes[1])


def _half(
    directory: Path,
    half: Literal[1, 2],
    events: int,
    seed: int,
    step: Callable[[int, int], None],
) -> pd.DataFrame:
    """Return training events of one half of the library; tell how many of both there are."""
    folder = directory / f"half{half}_{events}_{seed}"
    if not folder.exists():
        generate_dataset(
            folder,
            events=events,
            seed=2 * seed + half,
            library_half=half,
            progress=lambda done, total: step(done + (half - 1) * total, 2 * total),
        )
    data = Data(folder)
    data.load_train_set()
    frame = data.get_train_set()
    if frame is None:
        raise SettingsError(f"{folder} holds no training events")
    return frame


def counts_of_scenario(
    mini: ExpectedCounts, scenario: Literal["mini", "official"]
) -> ExpectedCounts:
    """Return what a scenario expects: the events are the same, their numbers are not.

    Examples
    --------
    >>> counts = ExpectedCounts(np.array([[5.0], [100.0], [10.0], [2.0]]), np.zeros((6, 4, 1)))
    >>> counts_of_scenario(counts, "mini").nominal.ravel().tolist()
    [5.0, 100.0, 10.0, 2.0]
    """
    new, old = expected_events(scenario), expected_events("mini")
    factors = np.array([[new[process] / old[process]] for process in PROCESSES])
    return ExpectedCounts(mini.nominal * factors, mini.changes * factors)


# ----------------------------------------------------------------------------------------------
# The limit
# ----------------------------------------------------------------------------------------------


REFERENCE_MUS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0)
"""Between them the limit is nearly a straight line."""


@dataclass(frozen=True)
class Limit:
    """Mean widths of 68.27 % intervals found with the best classifier trained, with errors.

    Attributes
    ----------
    known, profiled : tuple of float
        Width and its statistical error: with the nuisance parameters known, and with none known.
    nominal : Information
        At mu = 1 with every nuisance parameter at its prior's center (soft_met at 1 GeV).

    Examples
    --------
    >>> counts = ExpectedCounts(np.array([[5.0], [100.0], [10.0], [2.0]]), np.zeros((6, 4, 1)))
    >>> limit((counts, counts), mus=[1.0], points=2).nominal.mu
    1.0
    """

    known: tuple[float, float]
    profiled: tuple[float, float]
    nominal: Information


def limit(
    halves: tuple[ExpectedCounts, ExpectedCounts],
    *,
    mus: Sequence[float] | None = None,
    points: int = 100,
    seed: int = 1,
) -> Limit:
    """Compute the limit, averaged over true values as a run draws them.

    Parameters
    ----------
    halves : two of ExpectedCounts
        From :func:`expected_counts`.
    mus : sequence of float, optional
        Signal strengths, such as those of a run; drawn from their range by default.
    points : int
        Over how many true values the mean goes.
    seed : int
        Of their draws.

    Examples
    --------
    >>> counts = ExpectedCounts(np.array([[5.0], [100.0], [10.0], [2.0]]), np.zeros((6, 4, 1)))
    >>> found = limit((counts, counts), mus=[1.0], points=2)
    >>> found.known[0] < found.profiled[0]
    True
    """
    rng = np.random.default_rng(seed)
    truths = rng.uniform(*MU_RANGE, points) if mus is None else np.resize(np.array(mus), points)
    z = _prior_points(points, rng)
    names = tuple(NUISANCES)
    first, second = halves
    both = ExpectedCounts(
        (first.nominal + second.nominal) / 2, (first.changes + second.changes) / 2
    )
    whole, *parts = (np.array(mean_width(e, truths, z, names)) for e in (both, first, second))
    values = 2 * whole - np.mean(parts, axis=0)
    # The halves' difference is twice the error of all events; small differences are luck, so the
    # size of the correction counts too.
    errors = np.hypot((parts[0] - parts[1]) / 2, values - whole)
    (known, profiled), (known_error, profiled_error) = values.tolist(), errors.tolist()
    return Limit((known, known_error), (profiled, profiled_error), information_at(both, 1.0, names))


def limit_by_mu(
    halves: tuple[ExpectedCounts, ExpectedCounts],
    mus: Sequence[float] = REFERENCE_MUS,
    *,
    points: int = 40,
    seed: int = 1,
) -> dict[str, list[Any]]:
    """Compute the limit at fixed signal strengths.

    Returns
    -------
    dict
        What :class:`HiggsML.statistics.reference.Reference` holds of it: "mu", "known" and
        "profiled".

    Examples
    --------
    >>> counts = ExpectedCounts(np.array([[5.0], [100.0], [10.0], [2.0]]), np.zeros((6, 4, 1)))
    >>> sorted(limit_by_mu((counts, counts), mus=[1.0], points=2))
    ['known', 'mu', 'profiled']
    """
    limits = [limit(halves, mus=[mu], points=points, seed=seed) for mu in mus]
    return {
        "mu": list(mus),
        "known": [list(one.known) for one in limits],
        "profiled": [list(one.profiled) for one in limits],
    }
