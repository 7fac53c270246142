"""How good a run is: its width beside the information limit and the sample submission."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from HiggsML.results import Settings
from HiggsML.schema import NUISANCES
from HiggsML.statistics.numbers import number, percent, with_error
from HiggsML.statistics.official_scores import EPSILON, BootstrapScores, Scores
from HiggsML.statistics.reference import Reference, load_reference, ratio

__all__ = ["Row", "Yardstick", "yardstick"]


class Row(NamedTuple):
    """One line of the comparison, as text."""

    name: str
    width: str
    of_limit: str
    coverage: str
    score: str


class Yardstick(NamedTuple):
    """What a run is compared with.

    ``rows`` are the run, the sample submission if its numbers are known, and the limit;
    ``of_limit`` is the run's width over the limit; ``curve`` the limit against mu.
    """

    rows: list[Row]
    of_limit: tuple[float, float]
    curve: tuple[tuple[float, ...], tuple[float, ...]]


def yardstick(
    settings: Settings, scores: Scores, bootstrap: BootstrapScores | None = None
) -> Yardstick | None:
    """Compare a run with the reference numbers of its dataset and systematics; None without any.

    Parameters
    ----------
    settings : Settings
        What was run; its detail "dataset" names the scenario.
    scores : Scores
        Of the run.
    bootstrap : BootstrapScores, optional
        For the errors of its width, coverage and score.
    """
    reference = load_reference(settings.details.get("dataset", ""), settings.systematics)
    if reference is None:
        return None
    known = not any(settings.systematics.get(name, True) for name in NUISANCES)
    bound = reference.limit_at([one.mu for one in scores.sets], known=known)
    error = bootstrap.std("interval") if bootstrap is not None else 0.0
    of_limit = ratio((scores.interval, error), bound)
    rows = [_own(scores, bootstrap, of_limit), *_sample(reference, bound, known=known)]
    best = -math.log(bound[0] + EPSILON)
    rows.append(
        Row("Information limit", with_error(*bound), "1", "68.27\N{NO-BREAK SPACE}%", number(best))
    )
    widths = tuple(width for width, _ in (reference.known if known else reference.profiled))
    return Yardstick(rows, of_limit, (reference.mu, widths))


def _own(scores: Scores, bootstrap: BootstrapScores | None, of_limit: tuple[float, float]) -> Row:
    if bootstrap is None:
        shown = (number(scores.interval), percent(scores.coverage), number(scores.quantiles_score))
    else:
        shown = (
            with_error(scores.interval, bootstrap.std("interval")),
            _coverage(scores.coverage, bootstrap.std("coverage")),
            with_error(scores.quantiles_score, bootstrap.std("quantiles_score")),
        )
    return Row("This run", shown[0], with_error(*of_limit), *shown[1:])


def _sample(reference: Reference, bound: tuple[float, float], *, known: bool) -> list[Row]:
    """Return the sample submission's line; its numbers hold with all systematics."""
    if known or not reference.sample:
        return []
    of_limit, of_limit_error = reference.sample["ratio"]
    width = of_limit * bound[0]
    error = float(width * np.hypot(of_limit_error / of_limit, bound[1] / bound[0]))
    return [
        Row(
            "Sample submission",
            with_error(width, error),
            with_error(of_limit, of_limit_error),
            _coverage(*reference.sample["coverage"]),
            number(-math.log(width + EPSILON)),
        )
    ]


def _coverage(value: float, error: float) -> str:
    return f"{with_error(100 * value, 100 * error)}\N{NO-BREAK SPACE}%"
