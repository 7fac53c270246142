"""``detailed_results.html``: everything about a run on one self-contained page.

The page needs no network, works without scripts, follows the reader's light or dark setting, and
holds nothing that would tell the next submission about its test data. All text that comes from
outside is escaped; a content security policy keeps even a mistake there from running.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from HiggsML.errors import ResultsError
from HiggsML.reports.page import write_from_template
from HiggsML.reports.svg import inline_svg
from HiggsML.reports.verdict import findings
from HiggsML.reports.yardstick import Yardstick, yardstick
from HiggsML.results import REPEATS, Predictions, Settings
from HiggsML.schema import NUISANCES
from HiggsML.statistics.numbers import number, percent, with_error
from HiggsML.statistics.official_scores import (
    BootstrapScores,
    Scores,
    coverage_band,
)
from HiggsML.visualization.measurement import (
    interval_plot,
    pull_plot,
    visualize_scatter,
    width_and_coverage_plot,
)
from HiggsML.visualization.pyplot_figures import plain_figures
from HiggsML.visualization.scores import bootstrap_plot, coverage_function_plot

__all__ = ["render_report", "save_figures"]

_TEXT_LIMIT = 5_000  # letters of one detail or notice: a log has no place on this page
_MAX_DETAILS, _MAX_NOTICES = 60, 20  # an ingestion of ours writes a dozen, and a few
_OPEN_SETS = 12  # further interval figures are folded
_CENTRAL = (15.865, 84.135)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


@plain_figures()
def render_report(
    path: Path,
    *,
    predictions: Mapping[int, Predictions],
    mus: Mapping[int, float],
    scores: Scores,
    settings: Settings,
    duration_minutes: float | None,
    bootstrap: BootstrapScores | None = None,
    phase_2: BootstrapScores | None = None,
    details: Mapping[str, str] | None = None,
    notices: Sequence[str] = (),
    fit_minutes: float | None = None,
    about: Mapping[str, str] | None = None,
) -> None:
    """Write the page under a temporary name and then rename it: it is whole or absent.

    Parameters
    ----------
    path : Path
        Where to write; the directory must exist.
    predictions, mus : mappings
        Answers of the model and true mu, by set index.
    scores : Scores
        What :func:`HiggsML.statistics.official_scores.compute_scores` says about them.
    settings : Settings
        What was run.
    duration_minutes : float or None
        Duration of the ingestion; None if it is not known.
    bootstrap : BootstrapScores, optional
        Resampled predictions: the uncertainty of the headline numbers.
    phase_2 : BootstrapScores, optional
        Resampled sets, as in the final phase: a section with their distributions.
    details : mapping of str to str, optional
        Versions, isolation, workers and so on, shown as they are. "isolation" is repeated at the
        top of the page.
    notices : sequence of str
        Sentences to show prominently.
    fit_minutes : float, optional
        Duration of fit, which is part of the ingestion's.
    about : mapping of str to str, optional
        "submission", "date", "command" and "seed", for the head of the page.

    Raises
    ------
    ResultsError
        If a set of ``scores`` has no predictions or no true mu.
    """
    indices = [one.set_index for one in scores.sets]
    if absent := [index for index in indices if index not in predictions or index not in mus]:
        raise ResultsError(f"set {absent[0]} has a score but no predictions or no true mu")
    results = {index: predictions[index] for index in indices}
    truth = {index: float(mus[index]) for index in indices}
    shown = {_clean(key): _clean(value) for key, value in _first(details or {}).items()}
    figures = _interval_figures(results, truth, scores)
    beside = yardstick(settings, scores, bootstrap)
    write_from_template(
        path,
        "report.html.j2",
        sortable=True,
        notices=[_clean(text) for text in notices[:_MAX_NOTICES]],
        about={key: _clean(value) for key, value in (about or {}).items()},
        headline=_headline(scores, results, truth, bootstrap, beside)
        + _durations(duration_minutes, fit_minutes, scores.n_predictions)
        + _isolation(shown),
        yardstick=None if beside is None else beside.rows,
        findings=findings(results, truth, scores, repeats=_repeats(settings)),
        figures=_overall_figures(results, truth, scores, bootstrap, beside),
        rows=_table(results, truth, scores),
        open_sets=figures[:_OPEN_SETS],
        folded_sets=figures[_OPEN_SETS:],
        phase_2=None if phase_2 is None else _phase_2(phase_2, scores),
        settings=settings,
        enabled=[name for name in NUISANCES if settings.systematics.get(name)],
        n_predictions=scores.n_predictions,
        details=shown,
    )


def _first(details: Mapping[str, str]) -> dict[str, str]:
    """Return the first details, and how many more there were."""
    kept = dict(islice(details.items(), _MAX_DETAILS))
    left = len(details) - len(kept)
    return {**kept, "further details": f"{left} are not shown"} if left else kept


def _repeats(settings: Settings) -> float | None:
    """Return what a run says of its test split; None if it says nothing that is a number."""
    try:
        value = float(settings.details[REPEATS])
    except (KeyError, ValueError):
        return None
    return value if value > 0 else None


def _clean(text: object) -> str:
    """Return text of bearable length without control and direction-changing characters."""
    plain = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text))
    return plain if len(plain) <= _TEXT_LIMIT else f"{plain[:_TEXT_LIMIT]} ..."


# ----------------------------------------------------------------------------------------------
# Numbers
# ----------------------------------------------------------------------------------------------


def _spread(bootstrap: BootstrapScores | None, name: str) -> tuple[float, float] | None:
    """Central 68 % of the resamplings: their distribution may be skewed by the penalty."""
    if bootstrap is None:
        return None
    low, high = np.percentile(getattr(bootstrap, name), _CENTRAL)
    return float(low), float(high)


def _card(label: str, value: str, remark: str = "", tone: str = "") -> dict[str, str]:
    return {"label": label, "value": value, "remark": remark, "tone": tone}


def _headline(
    scores: Scores,
    results: Mapping[int, Predictions],
    truth: Mapping[int, float],
    bootstrap: BootstrapScores | None,
    beside: Yardstick | None,
) -> list[dict[str, str]]:
    """Return the cards of the scores."""

    def chance(name: str) -> str:
        spread = _spread(bootstrap, name)
        if spread is None:
            return ""
        return f"68 % of resamplings: {number(spread[0])} to {number(spread[1])}"

    low, high = coverage_band(scores.n_predictions)
    fits = low <= scores.coverage <= high
    expected = f"expected: {percent(low)} to {percent(high)}"
    width = f"{with_error(*beside.of_limit)} of the information limit" if beside else ""
    off = np.concatenate([results[index].mu_hat - mu for index, mu in truth.items()])
    root, mean = float(np.sqrt(np.mean(off**2))), float(np.mean(np.abs(off)))
    return [
        _card("Quantiles score", number(scores.quantiles_score), chance("quantiles_score"), "main"),
        _card("Coverage", percent(scores.coverage), expected, "good" if fits else "bad"),
        _card("Interval width", number(scores.interval), width or chance("interval")),
        _card(
            "Error of \N{GREEK SMALL LETTER MU}",
            number(root),
            f"root mean square; mean absolute: {number(mean)}",
        ),
        _card(
            "Challenge's RMSE",
            number(scores.rmse),
            f"its MAE: {number(scores.mae)}; both add how wrong delta_mu_hat is",
        ),
    ]


def _durations(
    minutes: float | None, fit_minutes: float | None, n_predictions: int
) -> list[dict[str, str]]:
    """Return the card of the durations."""
    if minutes is None:
        return [_card("Duration", "unknown", "not recorded")]
    if fit_minutes is None:
        each = f"{number(60 * minutes / n_predictions)} s per pseudo-experiment"
    else:
        each = (
            f"fit: {_time(fit_minutes)}; the rest: {_time((minutes - fit_minutes) / n_predictions)}"
            " per pseudo-experiment"
        )
    return [_card("Duration", _time(minutes), each)]


def _isolation(details: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the card of the isolation, if the run tells of it."""
    texts = [text for key, text in details.items() if key.lower() == "isolation"]
    return [_card("Isolation", text[:80], tone="text") for text in texts[:1]]


def _time(minutes: float) -> str:
    return f"{minutes:.1f} min" if minutes >= 2 else f"{max(60 * minutes, 0):.3g} s"


def _table(
    results: Mapping[int, Predictions], truth: Mapping[int, float], scores: Scores
) -> list[dict[str, Any]]:
    """Return the rows of the per-set table: (number to sort by, text) for each column."""
    rows = []
    for one in scores.sets:
        result = results[one.set_index]
        low, high = coverage_band(result.p16.size)
        off = result.mu_hat - truth[one.set_index]
        mean, root = float(np.mean(result.mu_hat)), float(np.sqrt(np.mean(off**2)))
        numbers = (one.mu, mean, mean - one.mu, root, one.interval, one.rmse, one.mae)
        cells = [(value, number(value)) for value in numbers]
        cells.insert(4, (one.coverage, percent(one.coverage)))
        cells.append((one.quantiles_score, number(one.quantiles_score)))
        rows.append({"set": one.set_index, "cells": cells, "fits": low <= one.coverage <= high})
    return rows


# ----------------------------------------------------------------------------------------------
# Figures
# ----------------------------------------------------------------------------------------------


def _svg(figure: Any, name: str, description: str) -> Markup:
    # Drawn by this package from numbers alone: no text from outside is in a figure.
    return Markup(inline_svg(figure, name=name, description=description))  # noqa: S704


def _drawn(
    results: Mapping[int, Predictions],
    truth: Mapping[int, float],
    scores: Scores,
    bootstrap: BootstrapScores | None,
    beside: Yardstick | None,
) -> tuple[tuple[Figure, str, str], ...]:
    """Return the figures of all sets, each with a name and a caption."""
    spread = _spread(bootstrap, "coverage")
    function = coverage_function_plot(scores.coverage, scores.n_predictions, spread=spread)
    chance = " The bar is what chance does to the coverage." if spread else ""
    return (
        (
            function,
            "coverage function",
            "What the coverage costs: outside the band, the width is multiplied by this factor "
            f"before the score is taken.{chance}",
        ),
        (
            pull_plot(results, truth),
            "pulls",
            "Pulls of all predictions. Honest uncertainties give mean 0 and spread 1.",
        ),
        (
            visualize_scatter(results, truth),
            "predicted against true mu",
            "Predicted against true μ, one column per set, and the difference below.",
        ),
        (
            width_and_coverage_plot(results, truth, limit=beside and beside.curve),
            "coverage and width against mu",
            "Coverage of each set, with the band of two standard deviations around "
            "68.27\N{NO-BREAK SPACE}%, and the width of its intervals"
            + (", with the information limit." if beside else "."),
        ),
    )


def _overall_figures(*what: Any) -> list[dict[str, Any]]:
    return [
        {"svg": _svg(figure, f"overall-{name}", f"Figure: {name}"), "caption": caption}
        for figure, name, caption in _drawn(*what)
    ]


@plain_figures()
def save_figures(
    directory: Path,
    file_format: str,
    *,
    predictions: Mapping[int, Predictions],
    scores: Scores,
    settings: Settings,
    bootstrap: BootstrapScores | None = None,
) -> list[Path]:
    """Write the figures of all sets, and the intervals of each, to files for a paper or a talk.

    Parameters
    ----------
    directory : Path
        It is made if need be.
    file_format : str
        "pdf", "svg" or "png".
    predictions, scores, settings, bootstrap
        As for :func:`render_report`; the settings hold the true mus.

    Returns
    -------
    list of Path
        The files.
    """
    beside = yardstick(settings, scores, bootstrap)
    drawn = _drawn(predictions, settings.mus, scores, bootstrap, beside)
    named = [(name.replace(" ", "_"), figure) for figure, name, _ in drawn]
    for index, result in predictions.items():
        mu = settings.mus[index]
        figure = interval_plot(result.p16, result.p84, mu, result.mu_hat)
        named.append((f"intervals_set_{index}", figure))
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in named:
        path = directory / f"{name}.{file_format}"
        figure.savefig(path)
        paths.append(path)
    return paths


def _interval_figures(
    results: Mapping[int, Predictions], truth: Mapping[int, float], scores: Scores
) -> list[dict[str, Any]]:
    figures = []
    axes = None
    for one in scores.sets:
        index = one.set_index
        result = results[index]
        figure = interval_plot(result.p16, result.p84, truth[index], result.mu_hat, ax=axes)
        figures.append(
            {
                "title": f"Set {index}: μ = {number(one.mu)}, coverage {percent(one.coverage)}",
                "svg": _svg(figure, f"set-{index}", f"Figure: intervals of set {index}"),
            }
        )
        # Axes with their ticks are most of the cost of a figure: the next set uses them again.
        axes = figure.axes[0]
        for line in list(axes.lines):
            line.remove()
    return figures


def _phase_2(bootstrap: BootstrapScores, scores: Scores) -> dict[str, Any]:
    observed = scores.as_dict()
    names = ("quantiles_score", "coverage", "interval")
    figures = [
        _svg(
            bootstrap_plot(bootstrap, observed=observed, names=(name,)),
            f"phase-2-{name}",
            f"Figure: distribution of the {name.replace('_', ' ')} over resamplings",
        )
        for name in names
    ]
    mean, std = bootstrap.mean("quantiles_score"), bootstrap.std("quantiles_score")
    return {
        "figures": figures,
        "score": f"{number(mean)} ± {number(std)}",
        "n_resamplings": bootstrap.quantiles_score.size,
        "n_predictions": bootstrap.n_predictions,
    }
