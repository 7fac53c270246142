"""The command ``higgsml runs``: parse, call, print."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from HiggsML.cli.console import output_console, say, table
from HiggsML.cli.options import DIRECTORY, FILE
from HiggsML.cli.progress import progress_bar
from HiggsML.errors import ResultsError

if TYPE_CHECKING:
    from rich.table import Table

    from HiggsML.studies.comparison import ComparedRun

__all__ = ["runs"]

_AMONG_RUNS = Path("DIRECTORY/board")
"""Stands for the folder of ``--board`` without one, which depends on another argument."""


@click.command()
@click.argument("directory", type=DIRECTORY, default=Path("outputs"))
@click.option("--page", type=FILE, default=None, help="Write the list as a web page, too.")
@click.option(
    "--board",
    type=DIRECTORY,
    is_flag=False,
    flag_value=_AMONG_RUNS,
    default=None,
    help="Write a board of them into this folder (default: board, among the runs), too: ranks "
    "with ties, coverage tests, and method against method, for those that measured the same "
    "pseudo-experiments (the same --seed).",
)
def runs(directory: Path, page: Path | None, board: Path | None) -> None:
    """List the runs below DIRECTORY with their scores and uncertainties, the best first.

    DIRECTORY is "outputs" by default.
    """
    loaded: dict[str, ComparedRun] = {}
    if not directory.is_dir():
        raise ResultsError(
            f"there is no folder {str(directory)!r} here: 'higgsml run SUBMISSION' makes a run in "
            "'outputs'"
        )
    with progress_bar("runs", brief=True) as progress:
        from HiggsML.studies.comparison import load_run

        paths = sorted(directory.rglob("predictions/test_settings.json"))
        for done, path in enumerate(paths):
            progress("runs", done, len(paths))
            folder = path.parents[1]
            try:
                loaded[str(folder.relative_to(directory))] = load_run(folder)
            except ResultsError as error:
                say(f"Note: {error}", "yellow")
    if not loaded:
        raise ResultsError(f"{directory} holds no run: 'higgsml run SUBMISSION' makes one")
    best_first = sorted(loaded.items(), key=lambda item: -item[1].quantiles_score)
    output_console().print(_runs_table(str(directory), best_first))
    if page is not None:
        from HiggsML.reports.page import write_from_template

        reports = {name: directory / name / "scores" / "detailed_results.html" for name in loaded}
        rows = [
            (reports[name].resolve().as_uri(), name, *run.cells(), _size(run))
            for name, run in best_first
        ]
        write_from_template(page, "runs.html.j2", rows=rows)
        click.echo(f"Page: {page}")
    if board is not None:
        from HiggsML.ranking.own_runs import write_own_board

        places = {name: directory / name for name in loaded}
        folder = directory / "board" if board == _AMONG_RUNS else board
        click.echo(f"Board: {write_own_board(places, folder)}")


def _runs_table(directory: str, runs: Iterable[tuple[str, ComparedRun]]) -> Table:
    rows = table(f"Runs in {directory}", "run", "score", "coverage", "width", "size")
    for name, run in runs:
        rows.add_row(name, *run.cells()[:3], _size(run))
    return rows


def _size(run: ComparedRun) -> str:
    return f"{run.settings.num_of_sets} x {run.settings.num_pseudo_experiments}"
