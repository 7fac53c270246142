"""Studies of a method: coverage, bias, pulls and widths where the truth is chosen, not drawn.

A study is a list of :class:`Point`, each a truth with some of its parameters fixed and the rest
drawn from their priors, and a number of pseudo-experiments at each. Seeds depend on the point's
place and the experiment's number alone, so two methods get the same pseudo-experiments (common
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
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from HiggsML.datasets.reader import Data
from HiggsML.errors import ResultsError, SettingsError
from HiggsML.pseudo_experiments.seeds import Purpose, draw_mu, experiment_nuisances, seed_sequence
from HiggsML.pseudo_experiments.store import EventStore
from HiggsML.results import write_json
from HiggsML.schema import MU_RANGE, NUISANCES
from HiggsML.statistics.official_scores import quantiles_score
from HiggsML.statistics.proper_scores import crps_normal, interval_score, quantile_crps
from HiggsML.submission.model import check_prediction, load_model_class, make_model
from HiggsML.submission.value import Submission
from HiggsML.systematics import DEFAULT_SEED, systematics

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

Array = NDArray[np.float64]
_COLUMNS = ("mu", "mu_hat", "delta_mu_hat", "p16", "p84")


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
class Measurements:
    """What a method answered at one point: arrays of shape (n,).

    ``pulls`` has by nuisance parameter (estimate - truth) / (width of the prior), if the model
    reports its estimates under the key "nuisances".

    Examples
    --------
    >>> one = Measurements(*np.array([[1.0], [1.1], [0.2], [0.9], [1.3]]))
    >>> one.covered.tolist(), one.mu_pulls.round(2).tolist()
    ([True], [0.5])
    """

    mu: Array
    mu_hat: Array
    delta_mu_hat: Array
    p16: Array
    p84: Array
    pulls: Mapping[str, Array] = field(default_factory=dict)

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Which intervals contain the truth."""
        inside: NDArray[np.bool_] = (self.p16 <= self.mu) & (self.mu <= self.p84)
        return inside

    @property
    def mu_pulls(self) -> Array:
        """Error of each estimate in units of half of its interval."""
        half = np.maximum(np.abs(self.p84 - self.p16) / 2, 1e-9)
        pulls: Array = (self.mu_hat - self.mu) / half
        return pulls


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
        return _measurements([np.concatenate([getattr(m, c) for m in chosen]) for c in _COLUMNS])


class Summary(NamedTuple):
    """Numbers of one point; errors are standard errors, ``score_low`` .. ``score_high`` 68 %.

    Examples
    --------
    >>> measured = measure(model, store, Point("mu = 1", "mu", 1.0, mu=1.0), experiments=3, seed=1)
    >>> summarize(measured, n_bootstraps=10).n
    3
    """

    n: int
    coverage: float
    coverage_error: float
    bias: float
    bias_error: float
    pull_mean: float
    pull_width: float
    width: float
    interval_score: float
    interval_score_error: float
    crps: float
    quantile_crps: float
    quantiles_score: float
    score_low: float
    score_high: float


class Difference(NamedTuple):
    """Second method minus first: mean over pseudo-experiments, its error and significance.

    ``p_value`` is two-sided: how often two equally good methods would differ by as much.

    Examples
    --------
    >>> measured = measure(model, store, Point("mu = 1", "mu", 1.0, mu=1.0), experiments=3, seed=1)
    >>> paired_differences(measured, measured)[0].mean
    0.0
    """

    quantity: str
    mean: float
    error: float
    significance: float
    p_value: float


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


def fit_submission(directory: Path, data: Data) -> Any:
    """Load, build and fit a submission in this process.

    Raises
    ------
    SubmissionError
        If there is no usable model.py.

    Examples
    --------
    >>> fit_submission(folder / "submission", data).predict({})["mu_hat"]
    1.0
    """

    def get_train_set(**keywords: Any) -> Any:
        data.load_train_set(**{"seed": DEFAULT_SEED, **keywords})
        frame = data.get_train_set()
        data.delete_train_set()
        return frame

    model = make_model(
        load_model_class(Submission.of(directory).model_file), get_train_set, systematics
    )
    model.fit()
    return model


def measure(
    model: Any,
    store: EventStore,
    point: Point,
    *,
    experiments: int,
    seed: int,
    place: int = 0,
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
    seed, place : int
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
        mu = _drawn_mu(seed, place, number) if point.mu is None else point.mu
        truth = {**experiment_nuisances(seed, place, number, enabled), **point.fixed}
        experiment = store.pseudo_experiment(
            mu=mu, nuisances=truth, seed=seed_sequence(seed, Purpose.EVENTS, place, number)
        )
        raw = model.predict(experiment)
        answer = check_prediction(raw)
        rows.append((mu, *(answer[name] for name in _COLUMNS[1:])))
        for name, pull in _nuisance_pulls(raw, truth).items():
            pulls.setdefault(name, []).append(pull)
        step()
    return _measurements(np.array(rows).T, pulls)


def _measurements(
    columns: Iterable[Any], pulls: Mapping[str, Sequence[float]] | None = None
) -> Measurements:
    mu, mu_hat, delta, p16, p84 = (np.asarray(values, dtype=np.float64) for values in columns)
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in (pulls or {}).items()}
    return Measurements(mu, mu_hat, delta, p16, p84, arrays)


def _drawn_mu(seed: int, place: int, number: int) -> float:
    """Draw mu; stratified, so that every part of the range has its share of experiments."""
    low, high = MU_RANGE
    # Multiples of the golden ratio fill an interval evenly, however many of them are taken.
    start = draw_mu(seed, place)
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

    found = tuple(
        measure(
            model,
            store,
            point,
            experiments=experiments,
            seed=seed,
            place=place,
            drawn=drawn,
            step=step,
        )
        for place, point in enumerate(chosen)
    )
    return Study(chosen, found, seed)


def summarize(measured: Measurements, *, n_bootstraps: int = 400, seed: int = 42) -> Summary:
    """Return the numbers of one point.

    The error of the coverage is binomial, by Agresti and Coull's formula (Am. Stat. 52 (1998) 119),
    so that 0 or 100 % are not certain either.

    Examples
    --------
    >>> measured = measure(model, store, Point("mu = 1", "mu", 1.0, mu=1.0), experiments=3, seed=1)
    >>> round(summarize(measured, n_bootstraps=10).width, 2)
    1.0
    """
    n = measured.mu.size
    coverage = float(measured.covered.mean())
    shrunk = (coverage * n + 0.5) / (n + 1)
    pulls, errors = measured.mu_pulls, measured.mu_hat - measured.mu
    intervals = interval_score(measured.mu, measured.p16, measured.p84)
    score = quantiles_score(measured.mu, measured.p16, measured.p84)
    rng = np.random.default_rng(seed)
    samples = (rng.integers(n, size=n) for _ in range(n_bootstraps))
    resampled = [
        quantiles_score(measured.mu[s], measured.p16[s], measured.p84[s]).score for s in samples
    ]
    low, high = np.percentile(resampled, [15.87, 84.13])
    return Summary(
        n=n,
        coverage=coverage,
        coverage_error=math.sqrt(shrunk * (1 - shrunk) / (n + 1)),
        bias=float(errors.mean()),
        bias_error=_standard_error(errors),
        pull_mean=float(pulls.mean()),
        pull_width=float(pulls.std()),
        width=score.interval,
        interval_score=float(intervals.mean()),
        interval_score_error=_standard_error(intervals),
        crps=float(crps_normal(measured.mu, measured.mu_hat, abs(measured.delta_mu_hat)).mean()),
        quantile_crps=float(
            quantile_crps(measured.mu, measured.p16, measured.mu_hat, measured.p84).mean()
        ),
        quantiles_score=score.score,
        score_low=float(low),
        score_high=float(high),
    )


def _standard_error(values: Array) -> float:
    return float(values.std(ddof=1) / math.sqrt(values.size)) if values.size > 1 else math.inf


def paired_differences(first: Measurements, second: Measurements) -> list[Difference]:
    """Compare two methods on the same pseudo-experiments.

    For each quantity the mean of the differences over experiments, its standard error, and their
    ratio, the significance. What both methods owe to the same lucky or unlucky experiment cancels.

    Raises
    ------
    ResultsError
        If the two were not measured at the same truths.

    Examples
    --------
    >>> measured = measure(model, store, Point("mu = 1", "mu", 1.0, mu=1.0), experiments=3, seed=1)
    >>> [one.quantity for one in paired_differences(measured, measured)][:2]
    ['width', 'coverage']
    """
    if first.mu.shape != second.mu.shape or not np.array_equal(first.mu, second.mu):
        raise ResultsError(
            "a paired comparison needs the same pseudo-experiments: the true mu differ; run both "
            "with the same seed, sets and numbers"
        )

    def quantities(m: Measurements) -> dict[str, Array]:
        return {
            "width": np.abs(m.p84 - m.p16),
            "coverage": m.covered.astype(np.float64),
            "absolute error": np.abs(m.mu_hat - m.mu),
            "interval score": interval_score(m.mu, m.p16, m.p84),
            "CRPS": crps_normal(m.mu, m.mu_hat, np.abs(m.delta_mu_hat)),
        }

    one, other = quantities(first), quantities(second)
    found = []
    for name in one:
        change = other[name] - one[name]
        change[np.abs(change) < 1e-12] = 0.0  # rounding is no difference
        mean, error = float(change.mean()), _standard_error(change)
        significance = mean / error if error > 0 else (0.0 if mean == 0 else math.inf)
        p_value = float(2 * ndtr(-abs(significance)))  # precise in the tail
        found.append(Difference(name, mean, error, significance, p_value))
    return found


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
            "measurements": {name: getattr(m, name).tolist() for name in _COLUMNS},
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
            _measurements([one["measurements"][name] for name in _COLUMNS], one["pulls"])
            for one in content["points"]
        )
        return Study(points, measured, int(content["seed"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(f"{path} is not a study: {error!r}; run 'higgsml study' again") from None
