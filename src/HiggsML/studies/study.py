"""Studies of a method: coverage, bias, pulls and widths where the truth is chosen, not drawn.

A study is a list of :class:`Point`, each a truth with some of its parameters fixed and the rest
drawn from their priors, and a number of pseudo-experiments at each. Seeds depend on the point's
index and the experiment's number alone, so two methods get the same pseudo-experiments (common
random numbers): :func:`paired_differences` then sees much smaller differences than two
independent studies would.

A submission that is studied runs in this process, unlike one that is judged: study only code that
you trust.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from HiggsML.datasets.reader import Data, TrainSet
from HiggsML.errors import ResultsError, SettingsError
from HiggsML.pseudo_experiments.seeds import Purpose, draw_mu, experiment_nuisances, seed_sequence
from HiggsML.pseudo_experiments.store import EventStore
from HiggsML.results import write_json
from HiggsML.schema import MU_RANGE, NUISANCES
from HiggsML.statistics.measurements import COLUMNS, Measurements
from HiggsML.statistics.summary import Difference, Summary, paired_differences, summarize
from HiggsML.submission.model import check_prediction, load_model_class, make_model
from HiggsML.submission.value import Submission
from HiggsML.systematics import systematics

__all__ = [
    "Difference",
    "Measurements",
    "Point",
    "Study",
    "Summary",
    "fit_submission",
    "grid",
    "load_study",
    "measure",
    "paired_differences",
    "run_study",
    "save_study",
    "summarize",
]


@dataclass(frozen=True)
class Point:
    """A truth to study.

    Attributes
    ----------
    name : str
        Such as "mu = 1" or "tes = -2 sigma".
    axis : str
        What the point is a value of: "mu", a nuisance parameter, or "drawn".
    value : float
        mu, or the nuisance parameter in widths of its prior (of its logarithm for ``soft_met``).
    mu : float, optional
        Signal strength; drawn for each experiment from its range if absent.
    fixed : mapping of str to float
        Values of nuisance parameters that are not drawn.

    Examples
    --------
    >>> Point("tes = +1 sigma", "tes", 1.0, fixed={"tes": 1.01}).mu is None
    True
    """

    name: str
    axis: str
    value: float
    mu: float | None = None
    fixed: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """Points and what was measured there.

    Examples
    --------
    >>> study = run_study(model, store, grid([1.0, 2.0], nuisances=[]), experiments=2, seed=1)
    >>> study.pooled("mu").mu.tolist()
    [1.0, 1.0, 2.0, 2.0]
    """

    points: tuple[Point, ...]
    measurements: tuple[Measurements, ...]
    seed: int

    def pooled(self, axis: str) -> Measurements:
        """Return the measurements at all points of an axis together."""
        chosen = [m for p, m in zip(self.points, self.measurements, strict=True) if p.axis == axis]
        if not chosen:
            raise SettingsError(f"the study has no points of {axis!r}")
        return Measurements.joined(chosen)


def grid(
    mus: Sequence[float] = (0.1, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0),
    *,
    nuisances: Sequence[str] = tuple(NUISANCES),
    sigmas: Sequence[float] = (-2, -1, 0, 1, 2),
) -> list[Point]:
    """Return the usual points: everything drawn; each mu; each nuisance parameter at each value.

    Raises
    ------
    SettingsError
        If a nuisance parameter is unknown.

    Examples
    --------
    >>> [point.name for point in grid([1.0], nuisances=["tes"], sigmas=[-1, 1])]
    ['all drawn', 'mu = 1', 'tes = -1 sigma', 'tes = +1 sigma']
    """
    unknown = sorted(set(nuisances) - set(NUISANCES))
    if unknown:
        raise SettingsError(f"unknown nuisances {unknown}; known are {', '.join(NUISANCES)}")
    points = [Point("all drawn", "drawn", 0.0)]
    points += [Point(f"mu = {mu:g}", "mu", float(mu), mu=float(mu)) for mu in mus]
    for name in nuisances:
        for z in sigmas:
            fixed = {name: nuisance_value(name, float(z))}
            points.append(Point(f"{name} = {z:+g} sigma", name, float(z), fixed=fixed))
    return points


def nuisance_value(name: str, z: float) -> float:
    """Return the value of a nuisance parameter ``z`` prior widths from its prior's center."""
    prior = NUISANCES[name]
    value = prior.loc + prior.scale * z
    value = math.exp(value) if prior.prior == "lognormal" else value
    return min(max(value, prior.low), prior.high)


def fit_submission(
    directory: Path, data: Data, *, imported: Callable[[], None] = lambda: None
) -> Any:
    """Load, build and fit a submission in this process.

    Parameters
    ----------
    directory : Path
        Its folder.
    data : Data
        Serves the training events.
    imported : callable
        Called between import and fit.

    Raises
    ------
    SubmissionError
        If there is no usable model.py.

    Examples
    --------
    >>> fit_submission(folder / "submission", data).predict({})["mu_hat"]
    1.0
    """
    loaded = load_model_class(Submission.of(directory).model_file)
    imported()
    model = make_model(loaded, TrainSet(data), systematics)
    model.fit()
    return model


def measure(
    model: Any,
    store: EventStore,
    point: Point,
    *,
    experiments: int,
    seed: int,
    index: int = 0,
    drawn: Mapping[str, bool] | None = None,
    step: Callable[[], None] = lambda: None,
) -> Measurements:
    """Have a fitted model measure pseudo-experiments at one point.

    Parameters
    ----------
    model : Model
        Fitted.
    store : EventStore
        Test events.
    point : Point
        The truth.
    experiments : int
        How many.
    seed, index : int
        Root of all randomness, and the branch of this point.
    drawn : mapping of str to bool, optional
        Which nuisance parameters vary where the point does not fix them; all by default.
    step : callable
        Called after every pseudo-experiment.

    Examples
    --------
    >>> measured = measure(model, store, Point("mu = 1", "mu", 1.0, mu=1.0), experiments=3, seed=1)
    >>> measured.mu_hat.tolist()
    [1.0, 1.0, 1.0]
    """
    if experiments < 1:
        raise SettingsError(f"a point needs at least one pseudo-experiment, got {experiments}")
    enabled = dict.fromkeys(NUISANCES, True) if drawn is None else drawn
    rows: list[tuple[float, ...]] = []
    pulls: dict[str, list[float]] = {}
    for number in range(experiments):
        mu = _drawn_mu(seed, index, number) if point.mu is None else point.mu
        truth = {**experiment_nuisances(seed, index, number, enabled), **point.fixed}
        experiment = store.pseudo_experiment(
            mu=mu, nuisances=truth, seed=seed_sequence(seed, Purpose.EVENTS, index, number)
        )
        raw = model.predict(experiment)
        rows.append((mu, *check_prediction(raw)))
        for name, pull in _nuisance_pulls(raw, truth).items():
            pulls.setdefault(name, []).append(pull)
        step()
    return _measurements(np.array(rows).T, pulls)


def _measurements(
    columns: Iterable[ArrayLike], pulls: Mapping[str, Sequence[float]]
) -> Measurements:
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in pulls.items()}
    mu, mu_hat, delta, p16, p84 = (np.asarray(values, dtype=np.float64) for values in columns)
    return Measurements(mu, mu_hat, delta, p16, p84, arrays)


def _drawn_mu(seed: int, index: int, number: int) -> float:
    """Draw mu; stratified, so that every part of the range has its share of experiments."""
    low, high = MU_RANGE
    # Multiples of the golden ratio fill an interval evenly, however many of them are taken.
    start = draw_mu(seed, index)
    return low + ((start - low) / (high - low) + number * 0.618033988749895) % 1 * (high - low)


def _nuisance_pulls(answer: Mapping[str, Any], truth: Mapping[str, Any]) -> dict[str, float]:
    """Return (estimate - truth) in prior widths for what a model reports beside its answer.

    A reported value is a number, or a pair of a number and its error, in prior widths from the
    prior's center; the names may be shortened to the first word ("ttbar", "background").
    """
    reported = answer.get("nuisances")
    if not isinstance(reported, Mapping):
        return {}
    names = {name: name for name in NUISANCES}
    names |= {name.removesuffix("_scale"): name for name in NUISANCES} | {"background": "bkg_scale"}
    pulls = {}
    for short, value in reported.items():
        name = names.get(str(short))
        if name is None:
            continue
        prior, true = NUISANCES[name], truth[name]
        if true is None or (name == "soft_met" and true <= 0):
            continue  # not varied: there is no truth in units of the prior
        true = math.log(true) if prior.prior == "lognormal" else true
        estimate = float(value[0] if isinstance(value, Sequence) else value)
        pulls[name] = estimate - (true - prior.loc) / prior.scale
    return pulls


def run_study(
    model: Any,
    store: EventStore,
    points: Iterable[Point],
    *,
    experiments: int,
    seed: int,
    drawn: Mapping[str, bool] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Study:
    """Measure at every point; see :func:`measure`.

    Returns
    -------
    Study
        The same for the same model, store, points, number and seed.

    Examples
    --------
    >>> study = run_study(model, store, grid([1.0], nuisances=[]), experiments=2, seed=1)
    >>> len(study.points), study.measurements[0].mu_hat.size
    (2, 2)
    """
    chosen = tuple(points)
    total, done = len(chosen) * experiments, 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    measurements = tuple(
        measure(
            model,
            store,
            point,
            experiments=experiments,
            seed=seed,
            index=index,
            drawn=drawn,
            step=step,
        )
        for index, point in enumerate(chosen)
    )
    return Study(chosen, measurements, seed)


def save_study(study: Study, path: Path) -> None:
    """Write a study as JSON.

    Examples
    --------
    >>> study = run_study(model, store, grid([1.0], nuisances=[]), experiments=2, seed=1)
    >>> save_study(study, folder / "study.json")
    """
    points = [
        {
            "point": asdict(point),
            "measurements": {name: getattr(m, name).tolist() for name in COLUMNS},
            "pulls": {name: values.tolist() for name, values in m.pulls.items()},
            "summary": summarize(m)._asdict(),
        }
        for point, m in zip(study.points, study.measurements, strict=True)
    ]
    write_json(path, {"seed": study.seed, "points": points})


def load_study(path: Path) -> Study:
    """Read what :func:`save_study` wrote.

    Raises
    ------
    ResultsError
        If the file can not be read as a study.

    Examples
    --------
    >>> study = run_study(model, store, grid([1.0], nuisances=[]), experiments=2, seed=1)
    >>> save_study(study, folder / "study.json")
    >>> load_study(folder / "study.json").seed
    1
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        points = tuple(Point(**one["point"]) for one in content["points"])
        measured = tuple(
            _measurements([one["measurements"][name] for name in COLUMNS], one["pulls"])
            for one in content["points"]
        )
        return Study(points, measured, int(content["seed"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(f"{path} is not a study: {error!r}; run 'higgsml study' again") from None
