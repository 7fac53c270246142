"""The command ``higgsml rank``: parse, call, print."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any

import click

from HiggsML.cli.console import output_console, stderr, table
from HiggsML.cli.options import (
    DIRECTORY,
    image_option,
    input_option_looked_at_later,
    needed_dataset,
    run_options,
)
from HiggsML.cli.progress import progress_bar
from HiggsML.errors import ResultsError, SettingsError, SubmissionError
from HiggsML.ingestion.options import IngestionOptions

if TYPE_CHECKING:
    from HiggsML.ranking.rounds import Measure

__all__ = ["rank"]

_FIT_SECONDS = 3600.0
"""Budget of a fit, unless another one or a deadline is given."""


@click.command()
@click.argument("submissions", type=click.Path(exists=True, path_type=Path), required=False)
@input_option_looked_at_later
@click.option(
    "--output",
    "board",
    type=DIRECTORY,
    default=Path("outputs/board"),
    show_default=True,
    help="The ranking's folder: pages, tables and archive. One that exists is gone on with.",
)
@run_options
@click.option(
    "--docker",
    is_flag=True,
    help="Run each in containers instead, one after the other: no network, and --memory (8g) is a "
    "container's. Each makes the pseudo-experiments anew.",
)
@image_option
@click.option("--again", is_flag=True, help="Run those again that have failed.")
@click.option(
    "--refits",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Fit each submission so many times more, on resampled training events, to find the "
    "training's part of its error.",
)
@click.option(
    "--together",
    type=click.IntRange(1),
    default=None,
    help="Submissions that measure at a time what is made once for all of them.  [default: as many "
    "as this machine's memory has room for, --memory or 2g each]",
)
@click.option(
    "--level",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="Family-wise error: how often any two equally good methods may be separated.",
)
@click.option(
    "--rescore",
    type=DIRECTORY,
    metavar="BOARD",
    help="Only compute the board in this folder anew, from the answers that it keeps.",
)
@click.option(
    "--reproduce",
    type=(DIRECTORY, str),
    metavar="BOARD NAME",
    help="Only run one row of a board again, and compare its answers byte for byte.",
)
def rank(
    submissions: Path | None,
    input_dir: Path,
    board: Path,
    docker: bool,
    image: str | None,
    again: bool,
    refits: int,
    together: int | None,
    level: float,
    rescore: Path | None,
    reproduce: tuple[Path, str] | None,
    **values: Any,
) -> None:
    """Rank the SUBMISSIONS (a folder of zips and directories, or a CSV file of names and paths).

    All measure the same pseudo-experiments. The ranking says which differences chance may explain,
    and keeps everything that it takes to make a row again. It may be stopped at any time: the same
    command goes on, and ranks submissions that have joined.
    """
    from HiggsML.isolation.sandbox import check_system
    from HiggsML.ranking.archive import Archive
    from HiggsML.ranking.run import measure_all
    from HiggsML.ranking.submissions import find_submissions

    if image and not docker:
        raise SettingsError("--image needs --docker")
    if sum(way is not None for way in (submissions, rescore, reproduce)) != 1:
        raise click.UsageError(
            "Name the SUBMISSIONS to rank, or --rescore a BOARD, or --reproduce a BOARD's NAME."
        )
    options = IngestionOptions(input_dir, input_dir, board, **values)
    if rescore is None:
        check_system()
        needed_dataset(input_dir)
    if reproduce is not None:
        _reproduce(Archive(reproduce[0]), reproduce[1], options)
        return
    archive = Archive(rescore or board)
    if submissions is None:
        if damage := [one for one in archive.damage() if one.startswith(("runs/", "ranking.json"))]:
            raise ResultsError(f"{archive.folder} is not as it was kept: {'; '.join(damage[:10])}")
    else:
        paths = find_submissions(submissions)
        with progress_bar() as progress:
            count = measure_all(
                archive,
                paths,
                _with_time_to_fit(options),
                again=again,
                refits=refits,
                together=together,
                progress=progress,
                measure=_in_containers(options, image) if docker else None,
            )
        if count.made:
            stderr.print(
                f"{count.made:,} pseudo-experiments were made, and shown {count.shown:,} times."
            )
    _show(archive, level)


def _in_containers(options: IngestionOptions, image: str | None) -> Measure:
    """Return what runs one submission in containers."""
    from HiggsML.codabench.container import (
        ProgramFailedError,
        Restrictions,
        confined,
        read_progress,
        run_in_docker,
    )

    _, restrictions = confined(options, Restrictions())

    def measure(
        mine: IngestionOptions, report: Callable[[str, int, int], None], log: IO[str]
    ) -> None:
        def note(stage: str, line: str) -> None:
            if (step := read_progress(line)) is not None:
                report(*step)
            else:
                print(f"[{stage}] {line}", file=log)

        inside, _ = confined(replace(mine, resume=False), restrictions)
        with TemporaryDirectory(prefix="higgsml-") as scores:
            try:
                run_in_docker(
                    inside, Path(scores), image=image, restrictions=restrictions, log=note
                )
            except ProgramFailedError as error:
                raise SubmissionError(str(error)) from error

    return measure


def _with_time_to_fit(options: IngestionOptions) -> IngestionOptions:
    """Let a ranking end if a fit does not."""
    if options.deadline is not None or options.budgets.fit_seconds is not None:
        return options
    return replace(options, budgets=replace(options.budgets, fit_seconds=_FIT_SECONDS))


def _show(archive: Any, level: float) -> None:
    with progress_bar("board", brief=True):
        from HiggsML.ranking.board import compute_ranking
        from HiggsML.ranking.pages import statement, write_board

        ranking = compute_ranking(archive, level=level)
        page = write_board(archive, ranking)
    console = output_console()
    console.print(_ranking_table(ranking))
    for name, reason in ranking.failed.items():
        console.print(f"{name}: {reason}", markup=False, highlight=False)
    console.print(statement(ranking), markup=False, highlight=False)
    console.print(f"Board: {page}", soft_wrap=True)


def _ranking_table(ranking: Any) -> Any:
    from HiggsML.ranking.board import place

    headings = ("rank", "submission", "interval score", "coverage", "width")
    rows = table("Ranking", *headings, left=("submission",))
    for entry in ranking.entries:
        rows.add_row(
            place(entry),
            entry.name,
            f"{entry.interval_score:.4f} ± {entry.errors.total:.4f}",
            f"{entry.coverage.coverage:.3f} ± {entry.coverage.error:.3f}",
            f"{entry.metrics['width']:.4f}",
        )
    return rows


def _reproduce(archive: Any, name: str, options: IngestionOptions) -> None:
    from HiggsML.ranking.run import reproduce

    if damage := archive.damage():
        stderr.print(f"Note: {'; '.join(damage[:10])}", markup=False, highlight=False)
    with progress_bar() as progress:
        differences = reproduce(archive, name, replace(options, checkpoint=False), progress)
    if differences:
        raise ResultsError(f"{name} was not reproduced: {'; '.join(differences)}")
    output_console().print(f"{name}: all answers are the same, byte for byte.", highlight=False)
