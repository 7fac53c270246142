"""Several runs side by side: official scores with their uncertainties, and paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from HiggsML.errors import ResultsError
from HiggsML.reports.yardstick import Yardstick, yardstick
from HiggsML.results import (
    DURATION_FILE,
    SETTINGS_FILE,
    Settings,
    load_duration,
    load_predictions,
    load_settings,
    predictions_of,
)
from HiggsML.statistics.measurements import Measurements
from HiggsML.statistics.numbers import with_error
from HiggsML.statistics.official_scores import (
    BootstrapScores,
    Scores,
    bootstrap_scores,
    compute_scores,
)
from HiggsML.statistics.summary import Difference, Summary, paired_differences, summarize

__all__ = ["ComparedRun", "compare_runs", "load_run", "markdown_table"]


@dataclass(frozen=True)
class ComparedRun:
    """One run: its name, its scores, and the standard deviations of the bootstrap.

    Examples
    --------
    >>> load_run(folder / "run").cells()[2]
    '1.0000 ± 0.0000'
    """

    name: str
    quantiles_score: float
    score_error: float
    coverage: float
    coverage_error: float
    width: float
    width_error: float
    summary: Summary
    minutes: float
    measurements: Measurements
    settings: Settings
    scores: Scores
    resampled: BootstrapScores

    @property
    def of_limit(self) -> str | None:
        """Width over the information limit, with its error; None without reference numbers."""
        beside = self.beside
        return None if beside is None else with_error(*beside.of_limit)

    @property
    def beside(self) -> Yardstick | None:
        """Return what the run is compared with, if there are reference numbers for it."""
        return yardstick(self.settings, self.scores, self.resampled)

    def cells(self) -> tuple[str, ...]:
        """Return score, coverage, width, interval score and minutes as text."""
        s = self.summary
        return (
            f"{self.quantiles_score:.3f} ± {self.score_error:.3f}",
            f"{self.coverage:.3f} ± {self.coverage_error:.3f}",
            f"{self.width:.4f} ± {self.width_error:.4f}",
            f"{s.interval_score:.4f} ± {s.interval_score_error:.4f}",
            f"{self.minutes:.1f}",
        )


def load_run(directory: Path) -> ComparedRun:
    """Read the predictions of a run and score them.

    Parameters
    ----------
    directory : Path
        What ``higgsml run --output`` named, or the directory of predictions in it.

    Raises
    ------
    ResultsError
        If there are no complete predictions.

    Examples
    --------
    >>> load_run(folder / "run").name
    'run'
    """
    predictions_dir = predictions_of(directory)
    settings = load_settings(predictions_dir / SETTINGS_FILE, with_truth=True)
    predictions = load_predictions(predictions_dir, settings)
    scores = compute_scores(predictions, settings.mus)
    resampled = bootstrap_scores(predictions, settings.mus)
    measured = Measurements.of(predictions, settings.mus)
    return ComparedRun(
        name=directory.resolve().name,
        quantiles_score=scores.quantiles_score,
        score_error=resampled.std("quantiles_score"),
        coverage=scores.coverage,
        coverage_error=resampled.std("coverage"),
        width=scores.interval,
        width_error=resampled.std("interval"),
        summary=summarize(measured, n_bootstraps=1),
        minutes=load_duration(predictions_dir / DURATION_FILE),
        measurements=measured,
        settings=settings,
        scores=scores,
        resampled=resampled,
    )


def compare_runs(
    directories: Sequence[Path],
) -> tuple[list[ComparedRun], dict[str, list[Difference]]]:
    """Read runs; compare each with the first where both had the same pseudo-experiments.

    Returns
    -------
    runs : list of ComparedRun
        In the order given.
    differences : dict of str to list of Difference
        By the name of the run; absent for those with other true values.

    Examples
    --------
    >>> runs, differences = compare_runs([folder / "run"])
    >>> [run.name for run in runs], differences
    (['run'], {})
    """
    if not directories:
        raise ResultsError("there is no run to compare: name output directories of 'higgsml run'")
    runs = [load_run(directory) for directory in directories]
    first = runs[0]
    return runs, {
        run.name: paired_differences(first.measurements, run.measurements)
        for run in runs[1:]
        # The same true values come from the same seed: the pseudo-experiments are then the same.
        if run.settings.mus == first.settings.mus and not run.settings.same_run_as(first.settings)
    }


def markdown_table(runs: Sequence[ComparedRun]) -> str:
    """Return a table of runs for a README.

    Examples
    --------
    >>> print(markdown_table([load_run(folder / "run")]).splitlines()[0])
    | Method | Quantiles score | Coverage | Mean width | Interval score | Minutes |
    """
    lines = [
        "| Method | Quantiles score | Coverage | Mean width | Interval score | Minutes |",
        "|---|---|---|---|---|---|",
    ]
    lines += [f"| {run.name} | " + " | ".join(run.cells()) + " |" for run in runs]
    return "\n".join(lines)
