"""The board as a folder of pages: no network, no server, readable on a phone."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from HiggsML.files import whole_file
from HiggsML.ranking.archive import Archive
from HiggsML.ranking.board import Entry, Ranking, as_json, csv_table, markdown, place
from HiggsML.reports.page import write_from_template
from HiggsML.reports.svg import inline_svg
from HiggsML.schema import NUISANCES
from HiggsML.statistics.ranking import Board
from HiggsML.visualization.pyplot_figures import plain_figures
from HiggsML.visualization.ranking import ranking_plot

__all__ = ["REPORT", "About", "statement", "write_board", "write_pages"]

REPORT = Path("scores", "detailed_results.html")
"""Of a run, in its folder."""

_SURE = 0.01
"""A coverage that is less probable by chance is shown in another color."""

_LARGEST_FIGURE = 60
"""Submissions, best first, that the figure has room for."""


@dataclass(frozen=True)
class About:
    """What a board's pages say beside its numbers.

    Attributes
    ----------
    num_of_sets, num_pseudo_experiments : int
        What all rows measured.
    systematics : mapping of str to bool
        Which nuisance parameters vary.
    data : mapping of str to str
        What identifies the dataset.
    truth : str
        Who may know it.
    reports : mapping of str to Path
        Reports of the rows, by name.
    others : mapping of str to str
        Links to other boards, and what they are.
    """

    num_of_sets: int
    num_pseudo_experiments: int
    systematics: Mapping[str, bool]
    data: Mapping[str, str]
    truth: str
    reports: Mapping[str, Path]
    others: Mapping[str, str] = field(default_factory=dict)


_TRUTH = (
    "All submissions measured the same pseudo-experiments. The number that they are drawn from is "
    "in a file that only the organizer can read; with it others can join, and rows be made again. "
    "The answers that are published here contain the true \N{GREEK SMALL LETTER MU}: whoever joins "
    "after they were published may have known it."
)


def write_board(archive: Archive, ranking: Ranking) -> Path:
    """Write the pages and tables of a ranking into its folder, and seal it.

    Returns
    -------
    Path
        The page to begin with.
    """
    settings = archive.settings()
    about = About(
        settings.num_of_sets,
        settings.num_pseudo_experiments,
        settings.systematics,
        settings.data,
        _TRUTH,
        {name: archive.run_folder(name) / REPORT for name in ranking.answers},
    )
    page = write_pages(archive.folder, ranking, about)
    archive.seal()
    return page


@plain_figures()
def write_pages(folder: Path, ranking: Ranking, about: About) -> Path:
    """Write the pages and tables of a board into a folder, and return the page to begin with."""
    for name, text in (
        ("board.csv", csv_table(ranking)),
        ("board.json", as_json(ranking)),
        ("board.md", markdown(ranking)),
    ):
        with whole_file(folder / name) as file:
            file.write(text.encode())
    write_from_template(
        folder / "index.html",
        "ranking.html.j2",
        sortable=True,
        entries=ranking.entries,
        about=about,
        enabled=[name for name in NUISANCES if about.systematics.get(name)],
        statement=statement(ranking),
        figure=_figure(ranking),
        rows=[
            _cells(entry, _link(folder, about.reports.get(entry.name))) for entry in ranking.entries
        ],
        failed=ranking.failed,
        parts=[_parts(entry) for entry in ranking.entries],
    )
    write_from_template(
        folder / "versus.html",
        "versus.html.j2",
        sortable=True,
        tables=[
            _comparison("By the interval score", ranking.by_interval, less_is_better=True),
            _comparison("By the official score", ranking.by_official, less_is_better=False),
        ],
    )
    return folder / "index.html"


def _link(folder: Path, report: Path | None) -> str:
    if report is None or not report.is_file():
        return ""
    return quote(Path(os.path.relpath(report.resolve(), folder.resolve())).as_posix())


def statement(ranking: Ranking) -> str:
    """Return in a sentence or two what the ranking has found."""
    board = ranking.by_interval
    if board is None:
        return "No submission has finished, so there is nothing to rank."
    first = [entry.name for entry in ranking.entries if entry.rank == 1]
    if len(ranking.entries) == 1:
        return f"{first[0]} is the only submission that has finished."
    leader = (
        f"{first[0]} is first."
        if len(first) == 1
        else f"{len(first)} submissions share the first place: {', '.join(first)}."
    )
    sure = (
        f"{leader} Submissions are ranked by the interval score. Two that are equally good are "
        f"separated by chance in at most {100 * board.level:g} of 100 rankings"
    )
    if board.resolution is None:
        return f"{sure}."
    share = 100 * board.resolution / ranking.entries[0].interval_score
    return (
        f"{sure}; between the two best, a difference of {board.resolution:.4f} ({share:.1f} % of "
        "the score) is found in 80 of 100."
    )


def _cell(value: float, text: str, *, off: bool = False, link: str = "") -> dict[str, Any]:
    return {"value": value, "text": text, "off": off, "link": link}


def _cells(entry: Entry, link: str) -> list[dict[str, Any]]:
    low, high = entry.official_range
    coverage = entry.coverage
    return [
        _cell(entry.rank, place(entry)),
        _cell(entry.rank, entry.name, link=link),
        _cell(entry.interval_score, f"{entry.interval_score:.4f} ± {entry.errors.total:.4f}"),
        _cell(entry.quantiles_score, f"{entry.quantiles_score:.2f} ({low:.2f} to {high:.2f})"),
        _cell(coverage.coverage, f"{coverage.coverage:.4f} ± {coverage.error:.4f}"),
        _cell(coverage.p_pooled, _probability(coverage.p_pooled), off=coverage.p_pooled < _SURE),
        _cell(coverage.p_by_set, _probability(coverage.p_by_set), off=coverage.p_by_set < _SURE),
        _cell(entry.metrics["width"], f"{entry.metrics['width']:.4f}"),
        _cell(entry.minutes, f"{entry.minutes:.1f}"),
    ]


def _probability(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-4 else "< 0.0001"


def _parts(entry: Entry) -> list[str]:
    errors = entry.errors
    return [
        entry.name,
        f"{entry.interval_score:.4f}",
        f"{errors.total:.4f}",
        f"{errors.experiments:.4f}",
        f"{errors.drawn_mu:.4f}",
        "" if entry.test_split is None else f"{entry.test_split:.4f}",
        "" if entry.training is None else f"{entry.training:.4f}",
    ]


def _comparison(title: str, board: Board | None, *, less_is_better: bool) -> dict[str, Any]:
    pairs = () if board is None else board.pairs
    rows: list[Sequence[Mapping[str, Any]]] = []
    for number, pair in enumerate(pairs):
        assert board is not None  # noqa: S101 (there are no pairs without one)
        better = ""
        if pair.separated(board.level):
            better = pair.first if (pair.difference < 0) == less_is_better else pair.second
        rows.append(
            [
                _cell(number, pair.first),
                _cell(number, pair.second),
                _cell(pair.difference, f"{pair.difference:+.4f} ± {pair.error:.4f}"),
                _cell(pair.p_value, _probability(pair.p_value)),
                _cell(pair.adjusted, _probability(pair.adjusted)),
                _cell(number, better),
            ]
        )
    text = "There are no two methods to compare."
    if pairs and board is not None:
        text = (
            "Differences on the same pseudo-experiments, with the error of resampled sets and "
            "pseudo-experiments; p-values by Student's t, adjusted by Holm's procedure. A method "
            f"is called better at a family-wise error of {100 * board.level:g} %."
        )
    return {"title": title, "text": text, "pairs": rows}


def _figure(ranking: Ranking) -> Markup | None:
    shown = ranking.entries[:_LARGEST_FIGURE]
    if not shown:
        return None
    figure = ranking_plot(
        [entry.name for entry in shown],
        scores=[entry.interval_score for entry in shown],
        errors=[entry.errors.total for entry in shown],
        coverages=[entry.coverage.coverage for entry in shown],
        coverage_error=shown[0].coverage.error,
        widths=[entry.metrics["width"] for entry in shown],
    )
    with warnings.catch_warnings():
        # Letters that matplotlib's fonts lack: the browser writes the text, with fonts of its own.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        # Names come from the organizer's own folder; matplotlib escapes them.
        svg = inline_svg(figure, name="ranking", description="Scores, coverage and widths")
    return Markup(svg)  # noqa: S704
