"""The judged form of scoring: check results, compute, write scores and the report."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from HiggsML.errors import ResultsError
from HiggsML.reports.run_page import render_report
from HiggsML.results import (
    DURATION_FILE,
    REPEATABLE,
    SETTINGS_FILE,
    Predictions,
    Settings,
    load_duration,
    load_fit_duration,
    load_predictions,
    load_settings,
    write_json,
)
from HiggsML.score.planted import check_platform_metadata, copied_names, refuse_planted
from HiggsML.seal import check_record, load_key
from HiggsML.statistics.official_scores import bootstrap_scores, compute_scores

__all__ = ["REPORT_FILE", "SCORE_KEYS", "finite_scores", "odd_answers", "run_scoring"]

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
REPORT_FILE = "detailed_results.html"


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
    for name in ("scores.json", REPORT_FILE):
        (output / name).unlink(missing_ok=True)
    signed = check_record(prediction, load_key(reference))
    if submission is not None:
        refuse_planted(prediction, submission, signed=signed)
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
        output / REPORT_FILE,
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
        notices=(*run.notices, *odd_answers(predictions)),
    )
    write_json(output / "scores.json", entries)
    return entries


def odd_answers(predictions: Mapping[int, Predictions]) -> list[str]:
    """Return a sentence for each way in which answers are valid, but hardly meant."""
    results = predictions.values()
    total = sum(result.p16.size for result in results)
    odd = (
        (
            sum(result.n_swapped for result in results),
            "intervals have p16 above p84: each counts with its width |p84 - p16|, and as one that "
            "misses the true mu.",
        ),
        (
            sum(result.n_outside for result in results),
            "estimates mu_hat lie outside of their own interval: RMSE and MAE judge mu_hat, "
            "coverage and width the interval.",
        ),
        (
            sum(result.n_negative for result in results),
            "uncertainties delta_mu_hat are negative, which MAE punishes: it is half the width of "
            "the interval.",
        ),
    )
    notices = [f"{count:,} of {total:,} {what}" for count, what in odd if count]
    for notice in notices:
        logger.warning(notice)
    return notices


def _isolation(run: Settings, path: Path) -> float:
    level = run.details.get("isolation level", "0")
    if level not in ("0", "0.5", "1"):
        raise ResultsError(f"{path}: the isolation level must be 0, 0.5 or 1, not {level[:40]!r}")
    return float(level)


def _repeatable(run: Settings, path: Path) -> float:
    state = run.details.get(REPEATABLE, "off")
    if state not in _REPEATABLE:
        raise ResultsError(f"{path}: repeatable must be one of {', '.join(_REPEATABLE)}")
    return _REPEATABLE[state]


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
