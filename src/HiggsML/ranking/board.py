"""The rows of a ranking, computed from its archive; a new metric is one function.

Each metric takes a submission's measurements, of shape (sets, pseudo-experiments), and returns a
number. The ranks come from the paired comparison of :mod:`HiggsML.statistics.ranking`.
"""

from __future__ import annotations

import contextlib
import csv
import html
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from HiggsML.errors import HiggsMLError
from HiggsML.ranking.archive import Archive
from HiggsML.results import (
    DURATION_FILE,
    REPEATABLE,
    SETTINGS_FILE,
    Settings,
    json_text,
    load_duration,
    load_predictions,
    load_settings,
)
from HiggsML.statistics.intervals import (
    CoverageTest,
    Intervals,
    coverage_test,
    finite_split_penalty,
)
from HiggsML.statistics.measurements import Measurements
from HiggsML.statistics.official_scores import mae_score, rmse_score
from HiggsML.statistics.ranking import (
    LEVEL,
    Board,
    ErrorParts,
    rank,
)

__all__ = [
    "METRICS",
    "Entry",
    "Ranking",
    "as_json",
    "compute_ranking",
    "csv_table",
    "markdown",
    "place",
]

Array = NDArray[np.float64]


METRICS: Mapping[str, Callable[[Measurements], float]] = {
    "width": lambda a: float(np.mean(a.width)),
    "rmse": lambda a: rmse_score(a.mu, a.mu_hat, a.delta_mu_hat),
    "mae": lambda a: mae_score(a.mu, a.mu_hat, a.delta_mu_hat),
    "bias": lambda a: float(np.mean(a.errors)),
    "rms_error": lambda a: float(np.sqrt(np.mean(a.errors**2))),
    "crossed": lambda a: float(np.mean(a.p16 > a.p84)),
}
"""What the board shows beside coverage and the two scores that rank; means over all answers."""


@dataclass(frozen=True)
class Entry:
    """One row of the board.

    Attributes
    ----------
    name : str
        The submission.
    rank, last_rank : int
        The places that the significant separations by the interval score leave open.
    interval_score, quantiles_score : float
        The proper score that ranks (less is better), and the official one (more is better).
    errors, official_errors : ErrorParts
        Their standard errors, and what of them is due to pseudo-experiments and drawn mu.
    official_range : (float, float)
        The central 68.27 % of the resampled official scores.
    coverage : CoverageTest
        Pooled, and against mu.
    metrics : dict of str to float
        See :data:`METRICS`.
    test_split : float or None
        By how much the finite test split is expected to change the interval score, if its size is
        known.
    training : float or None
        Spread of the interval score when the Model is fitted to other training events, if it was.
    minutes : float
        Duration of fit and predictions.
    """

    name: str
    rank: int
    last_rank: int
    interval_score: float
    quantiles_score: float
    errors: ErrorParts
    official_errors: ErrorParts
    official_range: tuple[float, float]
    coverage: CoverageTest
    metrics: Mapping[str, float]
    test_split: float | None
    training: float | None
    minutes: float


@dataclass(frozen=True)
class Ranking:
    """A board: its rows, best first; what has no place and why; and every two rows compared."""

    entries: tuple[Entry, ...]
    failed: Mapping[str, str]
    by_interval: Board | None
    by_official: Board | None
    settings: Settings | None
    answers: Mapping[str, Measurements]


def compute_ranking(archive: Archive, *, level: float = LEVEL, seed: int = 0) -> Ranking:
    """Compute everything that a board shows from the answers that were kept.

    Parameters
    ----------
    archive : Archive
        A ranking.
    level : float
        Family-wise error of the separations.
    seed : int
        Of the resamplings.
    """
    failed: dict[str, str] = {}
    answers: dict[str, Measurements] = {}
    minutes: dict[str, float] = {}
    settings = None
    for name in archive.names():
        record = archive.record(name)
        if record.status != "finished":
            failed[name] = record.reason
            continue
        try:
            settings, answers[name], minutes[name] = load_answers(
                archive.run_folder(name) / "predictions"
            )
            if reason := unrepeatable(settings):
                failed[name] = reason
                del answers[name]
        except HiggsMLError as error:
            failed[name] = str(error)
    folders = {name: archive.run_folder(name) / "refits" for name in answers}
    ranking = rank_answers(
        answers,
        minutes,
        failed=failed,
        repeats=archive.settings().repeats,
        level=level,
        seed=seed,
        training=lambda name, score: _training_part(folders[name], score),
    )
    return replace(ranking, settings=settings)


def rank_answers(
    answers: Mapping[str, Measurements],
    minutes: Mapping[str, float],
    *,
    failed: Mapping[str, str],
    repeats: float | None,
    level: float = LEVEL,
    seed: int = 0,
    training: Callable[[str, float], float | None] = lambda *_: None,
) -> Ranking:
    """Rank answers to the same pseudo-experiments.

    Parameters
    ----------
    answers : mapping of str to Measurements
        By name; each of shape (n_sets, n_experiments).
    minutes : mapping of str to float
        Durations of the runs.
    failed : mapping of str to str
        What has no place, and why.
    repeats : float or None
        Simulated test events per expected event, if it is known.
    level : float
        Family-wise error of the separations.
    seed : int
        Of the resamplings.
    training : callable
        Returns the training's part of an error from a name and a score, if it is known.
    """
    if not answers:
        return Ranking((), failed, None, None, None, {})
    intervals = {name: Intervals.of(a.mu, a.p16, a.p84) for name, a in answers.items()}
    by_interval = rank(intervals, by="interval_score", level=level, seed=seed)
    by_official = rank(intervals, by="quantiles_score", level=level, seed=seed)
    official = {row.name: row for row in by_official.rows}
    entries = tuple(
        Entry(
            name=row.name,
            rank=row.rank,
            last_rank=row.last_rank,
            interval_score=row.score,
            quantiles_score=official[row.name].score,
            errors=row.errors,
            official_errors=official[row.name].errors,
            official_range=(official[row.name].low, official[row.name].high),
            coverage=coverage_test(intervals[row.name]),
            metrics={name: metric(answers[row.name]) for name, metric in METRICS.items()},
            test_split=_split_part(intervals[row.name], repeats),
            training=training(row.name, row.score),
            minutes=minutes[row.name],
        )
        for row in by_interval.rows
    )
    return Ranking(entries, failed, by_interval, by_official, None, answers)


def load_answers(folder: Path) -> tuple[Settings, Measurements, float]:
    """Return what was run, the answers by set, and the duration in minutes."""
    settings = load_settings(folder / SETTINGS_FILE, with_truth=True)
    answers = Measurements.of(load_predictions(folder, settings), settings.mus)
    return settings, answers.by_set(settings.num_of_sets), load_duration(folder / DURATION_FILE)


def unrepeatable(settings: Settings) -> str | None:
    """Return why a submission whose answers differed when asked again is not ranked."""
    if settings.details.get(REPEATABLE) != "no":
        return None
    return " ".join(("Its answers are not repeatable.", *settings.notices))


def _split_part(intervals: Intervals, repeats: float | None) -> float | None:
    if repeats is None:
        return None
    return finite_split_penalty(float(np.mean(intervals.width)), repeats)


def _training_part(folder: Path, score: float) -> float | None:
    """Return the standard deviation of the scores of a submission that was fitted several times."""
    scores = [score]
    for path in sorted(folder.glob("*")):
        with contextlib.suppress(HiggsMLError):
            _, answers, _ = load_answers(path)
            intervals = Intervals.of(answers.mu, answers.p16, answers.p84)
            scores.append(float(np.mean(intervals.interval_score)))
    return float(np.std(scores, ddof=1)) if len(scores) > 1 else None


def as_json(ranking: Ranking) -> str:
    """Return a board for machines."""

    def board(one: Board | None) -> Any:
        if one is None:
            return None
        return {
            "family_wise_error": one.level,
            "smallest_resolvable_difference": one.resolution,
            "pairs": [pair._asdict() for pair in one.pairs],
        }

    rows = [
        {
            **entry.__dict__,
            "errors": entry.errors._asdict(),
            "official_errors": entry.official_errors._asdict(),
            "coverage": entry.coverage._asdict(),
        }
        for entry in ranking.entries
    ]
    content = {
        "rows": rows,
        "failed": dict(ranking.failed),
        "by_interval_score": board(ranking.by_interval),
        "by_quantiles_score": board(ranking.by_official),
    }
    return json_text(content, indent=1)


def csv_table(ranking: Ranking) -> str:
    """Return a board as CSV: a line for each row, then one for each that has no place."""
    columns = (
        *("rank", "last_rank", "name", "interval_score", "interval_score_error"),
        *("quantiles_score", "quantiles_score_low", "quantiles_score_high"),
        *("coverage", "coverage_error", "p_coverage", "p_coverage_by_set"),
        *(*METRICS, "minutes", "reason"),
    )
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    table.writeheader()
    for entry in ranking.entries:
        table.writerow(
            {
                "rank": entry.rank,
                "last_rank": entry.last_rank,
                "name": entry.name,
                "interval_score": entry.interval_score,
                "interval_score_error": entry.errors.total,
                "quantiles_score": entry.quantiles_score,
                "quantiles_score_low": entry.official_range[0],
                "quantiles_score_high": entry.official_range[1],
                "coverage": entry.coverage.coverage,
                "coverage_error": entry.coverage.error,
                "p_coverage": entry.coverage.p_pooled,
                "p_coverage_by_set": entry.coverage.p_by_set,
                **entry.metrics,
                "minutes": entry.minutes,
            }
        )
    for name, reason in ranking.failed.items():
        table.writerow({"name": name, "reason": reason})
    return text.getvalue()


def markdown(ranking: Ranking) -> str:
    """Return a board as a Markdown table."""
    lines = [
        "| Rank | Submission | Interval score | Official score | Coverage | Mean width | Minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    for entry in ranking.entries:
        lines.append(
            f"| {place(entry)} | {in_markdown(entry.name)} "
            f"| {entry.interval_score:.4f} ± {entry.errors.total:.4f} "
            f"| {entry.quantiles_score:.3f} [{entry.official_range[0]:.3f}, "
            f"{entry.official_range[1]:.3f}] "
            f"| {entry.coverage.coverage:.4f} ± {entry.coverage.error:.4f} "
            f"| {entry.metrics['width']:.4f} | {entry.minutes:.1f} |"
        )
    lines += [
        f"| | {in_markdown(name)} | | | | | {in_markdown(one_line(reason))} |"
        for name, reason in ranking.failed.items()
    ]
    return "\n".join(lines) + "\n"


def one_line(text: str, limit: int = 160) -> str:
    """Return a reason for the cell of a table."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def in_markdown(text: str) -> str:
    """Return text that a table in Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", html.escape(text, quote=False))


def place(entry: Entry) -> str:
    """Return "2", or "2 to 4" where chance may decide."""
    return (
        str(entry.rank) if entry.rank == entry.last_rank else f"{entry.rank} to {entry.last_rank}"
    )
