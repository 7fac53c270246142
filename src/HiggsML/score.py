"""Scoring of a directory of results: validate, compute, write scores and the report.

The formulas are in :mod:`HiggsML.statistics.official_scores`. :func:`run_scoring` is the judged
form; the class :class:`Scoring` keeps the interface of the reference implementation.
"""

from __future__ import annotations

import filecmp
import logging
import stat
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import ArrayLike

from HiggsML.errors import ResultsError, SettingsError
from HiggsML.reports.run_page import render_report
from HiggsML.results import (
    DURATION_FILE,
    METADATA_FILE,
    REPEATABLE,
    SETTINGS_FILE,
    Predictions,
    Settings,
    as_predictions,
    load_answers,
    load_duration,
    load_fit_duration,
    load_predictions,
    load_settings,
    names_at_the_top,
    reserved_names,
    write_json,
)
from HiggsML.seal import check_record, load_key
from HiggsML.statistics.official_scores import (
    EPSILON,
    BootstrapScores,
    Scores,
    bootstrap_scores,
    compute_scores,
    quantiles_score,
    resampled_scores,
)
from HiggsML.timer import Timer
from HiggsML.visualization import interval_plot

__all__ = ["SCORE_KEYS", "Scoring", "run_scoring"]

logger = logging.getLogger(__name__)

SCORE_KEYS = (
    *("rmse", "mae", "interval", "coverage", "quantiles_score"),
    *("ingestion_duration", "isolation", "repeatable"),
)
"""Keys of ``scores.json``; the leaderboard's columns name them.

``isolation`` tells organizers how well the submission was locked in: 1 if every protection held,
0.5 if the essential ones did, 0 else. ``repeatable`` tells whether answers that were asked for
again were the same: 1 if so, 0 if not, 0.5 if nobody knows.
"""

_REPEATABLE = {"yes": 1.0, "not checked": 0.5, "off": 0.5, "no": 0.0}
_SCORE_LIMIT = 1e10  # the platform refuses numbers of this size
_MAX_METADATA = 1 << 16  # bytes
_REPORT_FILE = "detailed_results.html"


def run_scoring(
    prediction: Path,
    output: Path,
    *,
    reference: Path | None = None,
    submission: Path | None = None,
    phase_2: bool = False,
    about: Mapping[str, str] | None = None,
) -> dict[str, float]:
    """Score a directory that an ingestion has filled.

    Parameters
    ----------
    prediction : Path
        Directory with result files, duration and ``test_settings.json``.
    output : Path
        Where ``scores.json`` and ``detailed_results.html`` go.
    reference : Path, optional
        Directory with ``settings.json``, which says what a complete result contains, and with the
        key of the results' record, if there is one.
    submission : Path, optional
        The submission, where scoring sees it: its files are ignored among the results.
    phase_2 : bool
        Add the final phase's bootstrap over sets to the report, even if the reference's settings do
        not ask for it.
    about : mapping of str to str, optional
        What the report's head tells of the run: "submission", "date", "command" and "seed".

    Returns
    -------
    dict of str to float
        What is in ``scores.json``: :data:`SCORE_KEYS`.

    Raises
    ------
    IngestionFailedError
        If the ingestion says that it did not finish.
    ResultsError
        If anything is missing, broken or inconsistent; no score is written then.

    Examples
    --------
    >>> scores = run_scoring(folder / "run" / "predictions", folder / "scores")
    >>> sorted(path.name for path in (folder / "scores").iterdir())
    ['detailed_results.html', 'scores.json']
    """
    try:
        return _run_scoring(prediction, output, reference, submission, phase_2, about)
    except OSError as error:
        raise ResultsError(
            f"{error.filename or output}: {error.strerror or error}; no score is written (make "
            "room where the disk is full)"
        ) from error


def _run_scoring(
    prediction: Path,
    output: Path,
    reference: Path | None,
    submission: Path | None,
    phase_2: bool,
    about: Mapping[str, str] | None,
) -> dict[str, float]:
    for name in ("scores.json", _REPORT_FILE):
        (output / name).unlink(missing_ok=True)
    signed = check_record(prediction, load_key(reference))
    if submission is not None:
        _refuse_planted(prediction, submission, signed=signed)
    check_platform_metadata(prediction)
    run = load_settings(prediction / SETTINGS_FILE, with_truth=True)
    if reference is not None:
        wanted = load_settings(reference / "settings.json", with_truth=False)
        if differences := wanted.same_run_as(run):
            raise ResultsError(
                f"{prediction / SETTINGS_FILE} does not fit {reference / 'settings.json'}: "
                + "; ".join(differences)
            )
        phase_2 = phase_2 or wanted.final_phase
    ignored = [] if submission is None else copied_names(prediction, submission)
    predictions = load_predictions(prediction, run, ignored=ignored)
    minutes = load_duration(prediction / DURATION_FILE)
    scores = compute_scores(predictions, run.mus)
    entries = finite_scores(
        {
            **scores.as_dict(),
            "ingestion_duration": minutes,
            "isolation": _isolation(run, prediction / SETTINGS_FILE),
            "repeatable": _repeatable(run, prediction / SETTINGS_FILE),
        }
    )
    output.mkdir(parents=True, exist_ok=True)
    render_report(
        output / _REPORT_FILE,
        predictions=predictions,
        mus=run.mus,
        scores=scores,
        settings=run,
        duration_minutes=minutes,
        fit_minutes=load_fit_duration(prediction / DURATION_FILE),
        about=about,
        bootstrap=bootstrap_scores(predictions, run.mus),
        phase_2=bootstrap_scores(predictions, run.mus, unit="set") if phase_2 else None,
        details=run.details,
        notices=(*run.notices, *swapped_notice(predictions)),
    )
    write_json(output / "scores.json", entries)
    return entries


def swapped_notice(predictions: Mapping[int, Predictions]) -> list[str]:
    """Return a sentence, in a list, if some intervals have p16 above p84; else an empty list."""
    count = sum(result.n_swapped for result in predictions.values())
    if not count:
        return []
    total = sum(result.p16.size for result in predictions.values())
    notice = (
        f"{count:,} of {total:,} intervals have p16 above p84: each counts with its width "
        "|p84 - p16|, and as one that misses the true mu."
    )
    logger.warning(notice)
    return [notice]


def copied_names(prediction: Path, submission: Path) -> list[str]:
    """Return the entries among the results that are files or folders of the submission.

    They have the same path and the same bytes there; of a folder, all that is in it has.
    """
    return [path.name for path in prediction.iterdir() if _is_copy(path, submission / path.name)]


def _is_copy(path: Path, original: Path) -> bool:
    try:
        kinds = {stat.S_IFMT(one.lstat().st_mode) for one in (path, original)}
        if kinds == {stat.S_IFDIR}:
            return all(_is_copy(inner, original / inner.name) for inner in path.iterdir())
        return kinds == {stat.S_IFREG} and filecmp.cmp(path, original, shallow=False)
    except (OSError, RecursionError):  # a submission may be nested deep
        return False


def _refuse_planted(prediction: Path, submission: Path, *, signed: bool) -> None:
    """Refuse a submission that brings something called like a result.

    Some workers keep genuine results in the submission's folder: there they are what the ingestion
    has signed, byte by byte.
    """
    for name in reserved_names(names_at_the_top(submission)):
        if not (signed and _is_copy(submission / name, prediction / name)):
            raise ResultsError(
                f"the submission brings {name!a}, which is called like a file between ingestion "
                "and scoring: submit it without"
            )


def _isolation(run: Settings, path: Path) -> float:
    level = run.details.get("isolation level", "0")
    if level not in ("0", "0.5", "1"):
        raise ResultsError(f"{path}: the isolation level must be 0, 0.5 or 1, not {level[:40]!r}")
    return float(level)


class _OneOfEachKey(yaml.SafeLoader):
    """Refuses a mapping with a key twice: which value counts would be the reader's choice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        if len(set(map(str, names))) < len(names):
            raise yaml.YAMLError("a key stands there twice")
        return super().construct_mapping(node, deep)


def _repeatable(run: Settings, path: Path) -> float:
    state = run.details.get(REPEATABLE, "off")
    if state not in _REPEATABLE:
        raise ResultsError(f"{path}: repeatable must be one of {', '.join(_REPEATABLE)}")
    return _REPEATABLE[state]


def check_platform_metadata(prediction: Path) -> None:
    """Refuse results of a run that failed, or in which the submission ran a command of its own.

    The platform leaves a YAML file named ``metadata`` among the results; elsewhere there is none.

    Raises
    ------
    ResultsError
        If the file says that the results can not be trusted, or can not be read.
    """
    path = prediction / METADATA_FILE
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode):
        raise ResultsError(f"{path} is not a regular file: the results are refused")
    if status.st_size > _MAX_METADATA:
        raise ResultsError(f"{path} has {status.st_size} bytes: the platform's has a few lines")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _OneOfEachKey)  # noqa: S506 (safe)
    except Exception as error:  # safe_load raises whatever its conversions raise
        raise ResultsError(f"{path} is not valid YAML ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise ResultsError(f"{path} must hold keys and values")
    for key in ("exitCode", "ingestionExitCode"):
        if not isinstance(content.get(key), (int, type(None))):  # also: nothing huge is shown
            found = type(content[key]).__name__
            raise ResultsError(f"{path}: {key} must be a whole number, not of type {found}")
    if content.get("exitCode") is not None:
        raise ResultsError(
            f"{path}: the submission brought a command of its own (exitCode is "
            f"{content['exitCode']!r}); submit model.py without a metadata file"
        )
    code = content.get("ingestionExitCode")
    if code != 0 or isinstance(code, bool):
        raise ResultsError(
            f"{path}: the ingestion failed or was stopped (ingestionExitCode is {code!r}); its log "
            "says why"
        )


def finite_scores(scores: Mapping[str, float]) -> dict[str, float]:
    """Return scores as plain floats, all of which the platform accepts.

    Raises
    ------
    ResultsError
        If one is not finite or its magnitude is 1e10 or more.
    """
    entries = {name: float(value) for name, value in scores.items()}
    for name, value in entries.items():
        if not abs(value) < _SCORE_LIMIT:  # False for NaN too
            raise ResultsError(f"the score {name} is {value}, which can not be ranked")
    return entries


class Scoring(Timer):
    """The reference implementation's interface, step by step.

    It is for work at home: what lies beside the results, and sets that are missing, do not matter.

    Parameters
    ----------
    name : str
        A name for the results, in the report.

    Attributes
    ----------
    ingestion_results : list of dict
        Results in the order of their sets, as the files hold them; may be set by hand.
    ingestion_duration : float
        Minutes.
    scores_dict : dict of str to float
        After :meth:`compute_scores`.
    bootstraped_scores : dict of str to list
        After :meth:`compute_bootstraped_scores`.
    score_dir, score_file, html_file : Path
        Where scores and report go.

    Examples
    --------
    >>> scoring = Scoring()
    >>> scoring.load_ingestion_results(folder / "run" / "predictions")
    >>> scoring.compute_scores({"ground_truth_mus": mus})
    >>> sorted(scoring.scores_dict)[:3]
    ['coverage', 'ingestion_duration', 'interval']
    """

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self.name = name
        self.ingestion_results: list[dict[str, Any]] | None = None
        self.ingestion_duration: float | None = None
        self.scores_dict: dict[str, float | None] = {}
        self.bootstraped_scores: dict[str, list[float]] = {}
        self.scores: Scores | None = None
        self._loaded: dict[int, dict[str, Any]] = {}
        self._own_html = ""
        self._predictions: dict[int, Predictions] = {}
        self._settings: Settings | None = None
        self._phase_2: BootstrapScores | None = None
        self._no_html = False
        self._place_files(Path())

    def _place_files(self, directory: Path) -> None:
        self.score_dir = directory
        self.score_file, self.html_file = directory / "scores.json", directory / _REPORT_FILE

    def load_ingestion_duration(self, ingestion_duration_file: str | Path) -> None:
        """Read the ingestion's duration [minutes]; 0, with a warning, if there is none."""
        try:
            self.ingestion_duration = load_duration(Path(ingestion_duration_file))
        except ResultsError as error:
            warnings.warn(f"{error}; the duration is taken to be 0", stacklevel=2)
            self.ingestion_duration = 0.0

    def load_ingestion_results(
        self, prediction_dir: str | Path = "./", score_dir: str | Path = "./"
    ) -> None:
        """Read the results of every set; other files are ignored.

        Parameters
        ----------
        prediction_dir, score_dir : str or Path
            Where the results are, and where scores and report go.
        """
        self._loaded = load_answers(Path(prediction_dir))
        self.ingestion_results = list(self._loaded.values())
        self._place_files(Path(score_dir))

    def compute_scores(self, test_settings: Mapping[str, Any], no_html: bool = False) -> None:
        """Check the results and compute all scores.

        Parameters
        ----------
        test_settings : mapping
            ``ground_truth_mus`` by set index; ``num_of_sets``, ``num_pseudo_experiments`` and
            ``systematics``, if they are there, are for warnings and the report.
        no_html : bool
            Whether :meth:`write_scores` leaves the report out.

        Raises
        ------
        ResultsError
            If results are missing, incomplete or not finite, or the true mu of a set is.
        """
        if self.ingestion_results is None:
            raise SettingsError("call load_ingestion_results first, or set ingestion_results")
        loaded = self.ingestion_results == list(self._loaded.values())
        numbers = list(self._loaded) if loaded else range(len(self.ingestion_results))
        by_set = dict(zip(numbers, self.ingestion_results, strict=True))
        self._predictions = {index: as_predictions(one, index) for index, one in by_set.items()}
        self._settings = _settings_of(test_settings, self._predictions)
        self.scores = compute_scores(self._predictions, self._settings.mus)
        self.scores_dict = {
            **finite_scores(self.scores.as_dict()),
            "ingestion_duration": self.ingestion_duration,
        }
        self._no_html = no_html

    def compute_bootstraped_scores(
        self,
        eps: float = EPSILON,
        n_bootstraps: int = 10,
        sample_size: int = 50,
        random_seed: int = 42,
    ) -> None:
        """Resample sets, as the challenge's final phase does; same seed, same numbers as there."""
        if self.scores is None:
            raise SettingsError("call compute_scores first")
        sets = self.scores.sets
        draws = (np.random.RandomState(random_seed + i) for i in range(n_bootstraps))
        self._phase_2 = resampled_scores(
            np.array([one.interval for one in sets]),
            np.array([one.coverage for one in sets]),
            np.array([self._predictions[one.set_index].p16.size for one in sets]),
            (draw.choice(len(sets), size=sample_size, replace=True) for draw in draws),
            eps=eps,
        )
        self.bootstraped_scores = {
            name: getattr(self._phase_2, name).tolist()
            for name in ("interval", "coverage", "quantiles_score")
        }

    def plot_bootstraped_scores(self) -> None:
        """Put the bootstrap's distributions on the report (rewritten as a whole)."""
        if self._phase_2 is None:
            raise SettingsError("call compute_bootstraped_scores first")
        self._write_report()

    def RMSE_score(self, mu: Any, mu_hat: Any, delta_mu_hat: Any) -> float:  # noqa: N802
        """Root of mean squared error plus mean squared deviation of the claimed uncertainty."""
        squared = (np.asarray(mu_hat) - mu) ** 2
        deviation = (squared - np.square(delta_mu_hat)) ** 2
        return float(np.sqrt(np.mean(squared) + np.mean(deviation)))

    def MAE_score(self, mu: Any, mu_hat: Any, delta_mu_hat: Any) -> float:  # noqa: N802
        """Mean absolute error plus mean deviation of the claimed uncertainty."""
        distance = np.abs(np.asarray(mu_hat) - mu)
        return float(np.mean(distance) + np.mean(np.abs(distance - delta_mu_hat)))

    def Quantiles_Score(  # noqa: N802
        self, mu: Any, p16: Any, p84: Any, eps: float = EPSILON
    ) -> tuple[float, float, float]:
        """Return mean interval, coverage and quantiles score."""
        return quantiles_score(mu, p16, p84, eps)

    def write_scores(self) -> None:
        """Write ``scores.json`` and the report."""
        if self.scores is None:
            raise SettingsError("call compute_scores first")
        self.score_dir.mkdir(parents=True, exist_ok=True)
        if not self._no_html:
            self._write_report()
        write_json(self.score_file, self.scores_dict)

    def write_html(self, content: str) -> None:
        """Add HTML of one's own below the report, now and whenever it is written."""
        self._own_html += content
        self.score_dir.mkdir(parents=True, exist_ok=True)
        with self.html_file.open("a", encoding="utf-8") as file:
            file.write(content)

    def save_figure(
        self,
        mu: ArrayLike,
        p16s: ArrayLike,
        p84s: ArrayLike,
        set: int = 0,
        true_mu: ArrayLike | None = None,
        result_text: str | None = None,
    ) -> Path:
        """Draw the intervals of one set to ``set_{set}.png`` in the score directory.

        Parameters
        ----------
        mu : float or array of float
            The estimate, or the estimates, whose mean is named in the title; drawn as a line if the
            true value is unknown.
        p16s, p84s : array of shape (n,)
            Interval ends.
        set : int
            Number of the set, for title and file name.
        true_mu : float, optional
            Drawn as a line.
        result_text : str, optional
            Text below the plot.
        """
        mean = float(np.asarray(mu, dtype=np.float64).mean())
        line = mean if true_mu is None else float(np.asarray(true_mu, dtype=np.float64).mean())
        title = f"Set {set}: mean estimate {mean:.3f}"
        figure = interval_plot(np.asarray(p16s), np.asarray(p84s), line, title=title)
        if result_text:
            figure.text(0.5, -0.02, result_text, ha="center", va="top")
        self.score_dir.mkdir(parents=True, exist_ok=True)
        path = self.score_dir / f"set_{set}.png"
        figure.savefig(path, dpi=120, bbox_inches="tight")
        return path

    def _write_report(self) -> None:
        if self.scores is None or self._settings is None:
            raise SettingsError("call compute_scores first")
        self.score_dir.mkdir(parents=True, exist_ok=True)
        render_report(
            self.html_file,
            predictions=self._predictions,
            mus=self._settings.mus,
            scores=self.scores,
            settings=self._settings,
            duration_minutes=self.ingestion_duration,
            bootstrap=bootstrap_scores(self._predictions, self._settings.mus),
            phase_2=self._phase_2,
            details={"name": self.name} if self.name else {},
            notices=swapped_notice(self._predictions),
        )
        if self._own_html:
            with self.html_file.open("a", encoding="utf-8") as file:
                file.write(self._own_html)


def _settings_of(
    test_settings: Mapping[str, Any], predictions: Mapping[int, Predictions]
) -> Settings:
    """Return the settings of results that may lack sets, of which a warning tells."""
    truth = test_settings["ground_truth_mus"]
    by_set = truth if isinstance(truth, Mapping) else dict(enumerate(truth))
    mus = {int(index): float(mu) for index, mu in by_set.items()}
    absent = sorted(set(range(int(test_settings.get("num_of_sets", 0)))) - set(predictions))
    if absent:
        warnings.warn(
            f"there are no results of {len(absent)} sets, the first of which is {absent[0]}: the "
            "scores are those of the others",
            stacklevel=3,
        )
    most = max((result.p16.size for result in predictions.values()), default=0)
    return Settings(
        len(predictions),
        int(test_settings.get("num_pseudo_experiments", most)),
        dict(test_settings.get("systematics", {})),
        mus,
    )
