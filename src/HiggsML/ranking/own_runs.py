"""A board of one's own runs: those with the same pseudo-experiments are ranked together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from HiggsML.errors import HiggsMLError, ResultsError
from HiggsML.ranking.board import load_answers, rank_answers, unrepeatable
from HiggsML.ranking.pages import REPORT, About, write_pages
from HiggsML.results import REPEATS, Settings
from HiggsML.statistics.measurements import Measurements

__all__ = ["write_own_board"]

_TRUTH = (
    "These are runs of your own, so you may know the truth. Runs are compared where they measured "
    "the same pseudo-experiments: give them the same --seed, dataset and numbers."
)


class _Run(NamedTuple):
    settings: Settings
    answers: Measurements
    minutes: float


def write_own_board(runs: Mapping[str, Path], folder: Path) -> Path:
    """Rank runs and write the pages: a board for each group that measured the same.

    Parameters
    ----------
    runs : mapping of str to Path
        What ``higgsml run --output`` named, by the names to be shown.
    folder : Path
        Where the pages go. The largest group is the first page, others are linked from it.

    Returns
    -------
    Path
        The page to begin with.

    Raises
    ------
    ResultsError
        If no run can be read, or the folder can not be written.
    """
    groups: defaultdict[Any, dict[str, _Run]] = defaultdict(dict)
    failed = {}
    for name, place in runs.items():
        try:
            run = _Run(*load_answers(place / "predictions"))
        except HiggsMLError as error:
            failed[name] = str(error)
            continue
        if reason := unrepeatable(run.settings):
            failed[name] = reason
        else:
            groups[_what_was_measured(run.settings)][name] = run
    if not groups and not failed:
        raise ResultsError("there is no run to put on a board")
    ordered = sorted(groups.values(), key=len, reverse=True) or [{}]
    pages = [folder if not n else folder / str(n + 1) for n in range(len(ordered))]
    for number, (page, group) in enumerate(zip(pages, ordered, strict=True)):
        try:
            page.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResultsError(f"{page} can not be made: {error.strerror}") from error
        others = {}
        for other, (place, members) in enumerate(zip(pages, ordered, strict=True)):
            if other != number:
                up = "../" if number else ""
                names = ", ".join(members)
                inside = place.relative_to(folder) / "index.html"
                others[f"{up}{inside.as_posix()}"] = names
        _write(page, group, runs, failed if not number else {}, others)
    return folder / "index.html"


def _what_was_measured(settings: Settings) -> tuple[object, ...]:
    """Return what is the same for runs with the same pseudo-experiments."""
    mus = tuple(sorted(settings.mus.items()))
    return (
        *(settings.num_pseudo_experiments, mus, tuple(sorted(settings.systematics.items()))),
        settings.details.get("dataset"),
    )


def _write(
    folder: Path,
    group: Mapping[str, _Run],
    runs: Mapping[str, Path],
    failed: Mapping[str, str],
    others: Mapping[str, str],
) -> None:
    settings = [run.settings for run in group.values()]
    repeats = [float(one.details[REPEATS]) for one in settings if REPEATS in one.details]
    ranking = rank_answers(
        {name: run.answers for name, run in group.items()},
        {name: run.minutes for name, run in group.items()},
        failed=failed,
        repeats=min(repeats, default=None),
    )
    about = About(
        settings[0].num_of_sets if settings else 0,
        settings[0].num_pseudo_experiments if settings else 0,
        settings[0].systematics if settings else {},
        {"scenario": settings[0].details.get("dataset", "unknown")} if settings else {},
        _TRUTH,
        {name: runs[name] / REPORT for name in group},
        others,
    )
    write_pages(folder, ranking, about)
