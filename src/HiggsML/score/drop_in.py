"""The reference implementation's interface to scoring."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from HiggsML.errors import ResultsError, SettingsError
from HiggsML.files import folder_path
from HiggsML.reports.run_page import render_report
from HiggsML.results import (
    Predictions,
    Settings,
    as_predictions,
    load_answers,
    load_duration,
    required,
    write_json,
)
from HiggsML.score.run import REPORT_FILE, finite_scores, odd_answers
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

__all__ = ["Scoring"]


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
    score_dir, score_file, html_file : Path or str
        Where scores and report go; may be set by hand.

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
        self.score_dir: Path | str = directory
        self.score_file: Path | str
        self.html_file: Path | str
        self.score_file, self.html_file = directory / "scores.json", directory / REPORT_FILE

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
        place = folder_path(score_dir, "score_dir")
        self._loaded = load_answers(folder_path(prediction_dir, "prediction_dir"))
        self.ingestion_results = list(self._loaded.values())
        self._place_files(place)

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
        Path(self.score_dir).mkdir(parents=True, exist_ok=True)
        if not self._no_html:
            self._write_report()
        write_json(Path(self.score_file), self.scores_dict)

    def write_html(self, content: str) -> None:
        """Add HTML of one's own below the report, now and whenever it is written."""
        self._own_html += content
        Path(self.score_dir).mkdir(parents=True, exist_ok=True)
        with Path(self.html_file).open("a", encoding="utf-8") as file:
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
        Path(self.score_dir).mkdir(parents=True, exist_ok=True)
        path = Path(self.score_dir) / f"set_{set}.png"
        figure.savefig(path, dpi=120, bbox_inches="tight")
        return path

    def _write_report(self) -> None:
        if self.scores is None or self._settings is None:
            raise SettingsError("call compute_scores first")
        Path(self.score_dir).mkdir(parents=True, exist_ok=True)
        render_report(
            Path(self.html_file),
            predictions=self._predictions,
            mus=self._settings.mus,
            scores=self.scores,
            settings=self._settings,
            duration_minutes=self.ingestion_duration,
            bootstrap=bootstrap_scores(self._predictions, self._settings.mus),
            phase_2=self._phase_2,
            details={"name": self.name} if self.name else {},
            notices=odd_answers(self._predictions),
        )
        if self._own_html:
            with Path(self.html_file).open("a", encoding="utf-8") as file:
                file.write(self._own_html)


def _settings_of(
    test_settings: Mapping[str, Any], predictions: Mapping[int, Predictions]
) -> Settings:
    """Return the settings of results that may lack sets, of which a warning tells."""
    truth = required(test_settings, "ground_truth_mus")
    try:
        by_set = truth if isinstance(truth, Mapping) else dict(enumerate(truth))
        mus = {int(index): float(mu) for index, mu in by_set.items()}
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"ground_truth_mus must hold a number for each set, got {truth!r}"
        ) from error
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
