"""``higgsml explore`` and ``higgsml four-lepton``: parse, call, print."""

from __future__ import annotations

import itertools
from pathlib import Path

import click

from HiggsML.cli.console import say_unprotected
from HiggsML.cli.options import ANY_PATH, DIRECTORY, EXISTING, input_option
from HiggsML.cli.progress import progress_bar

__all__ = ["explore_command", "four_lepton_command"]


@click.command("explore")
@input_option
@click.option(
    "--output",
    type=ANY_PATH,
    default=Path("outputs/explore.html"),
    show_default=True,
    help="One page if it ends in .html, else a folder with one file per plot.",
)
@click.option(
    "--submission",
    type=EXISTING,
    default=None,
    help="Adds the ROC curve of its Model.score(features). Its code runs here without isolation: "
    "use it for your own.",
)
@click.option(
    "--columns", metavar="NAME,...", default=None, help="Features to draw; all 28 by default."
)
@click.option(
    "--max-events",
    type=click.IntRange(1),
    default=100_000,
    show_default=True,
    help="Events to draw at most.",
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Choice of the events.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["png", "svg", "pdf"]),
    default="png",
    show_default=True,
    help="Of the files in a folder.",
)
def explore_command(
    input_dir: Path,
    output: Path,
    submission: Path | None,
    columns: str | None,
    max_events: int,
    seed: int,
    file_format: str,
) -> None:
    """Draw the standard plots of a dataset.

    Features by process, correlations, the shift by each systematic, the best single cuts and, for
    a submission that exposes it, its classifier.
    """
    if submission is not None:
        say_unprotected(submission)
    names = None if columns is None else [name.strip() for name in columns.split(",")]
    with progress_bar("draw") as progress:
        from HiggsML.datasets.reader import Data
        from HiggsML.reports.dataset_page import explore, most_plots, write_folder, write_page

        data = Data(input_dir)
        plots = explore(
            data, submission=submission, columns=names, max_events=max_events, seed=seed
        )
        done, total = itertools.count(1), most_plots(names, submission)

        def step(_: object) -> None:
            progress("draw", next(done), total)

        if output.suffix.lower() in (".html", ".htm"):
            title = f"Dataset {input_dir.resolve().name}"
            said = f"Page: {write_page(plots, output, title=title, data=data, progress=step)}"
        else:
            files = write_folder(plots, output, file_format=file_format, progress=step)
            said = f"{len(files)} plots: {output}"
    click.echo(said)


@click.command("four-lepton")
@click.option(
    "--output",
    type=DIRECTORY,
    required=True,
    help="New directory for llll.csv and ggH125_ZZ4lep.csv.",
)
@click.option(
    "--events", type=click.IntRange(1), default=20_000, show_default=True, help="Rows per file."
)
@click.option("--seed", type=click.IntRange(0), default=None, help="Makes the files repeatable.")
def four_lepton_command(output: Path, events: int, seed: int | None) -> None:
    """Make CSV files for the four-lepton exercise, with the columns of the ATLAS open data."""
    with progress_bar("generate", brief=True) as progress:
        from HiggsML.four_lepton.events import write_four_lepton

        paths = write_four_lepton(
            output,
            events=events,
            seed=seed,
            progress=lambda done, total: progress("generate", done, total),
        )
    for path in paths:
        click.echo(f"Sample: {path}")
