"""The command ``higgsml generate``: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, cast

import click

from HiggsML.cli.options import DIRECTORY
from HiggsML.cli.progress import progress_bar

__all__ = ["generate"]


@click.command()
@click.option(
    "--scenario",
    type=click.Choice(["mini", "official"]),
    default="mini",
    show_default=True,
    help="Expected yields: the official ones (a million events), or backgrounds divided by 200.",
)
@click.option(
    "--events",
    type=click.IntRange(1),
    default=500_000,
    show_default=True,
    help="Simulated events in the file.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=None,
    help="Makes the dataset repeatable, hence public; a competition needs one without.",
)
@click.option("--output", type=DIRECTORY, required=True, help="New dataset directory.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=None,
    help="Processes; changes no byte.  [default: as many as there are processors]",
)
@click.option(
    "--engine",
    type=click.Choice(["fast", "pythia"]),
    default="fast",
    show_default=True,
    help="pythia is the slow reference; run the command again to continue it.",
)
@click.option(
    "--library-half",
    type=click.Choice(["1", "2"]),
    default=None,
    help="Use only this half of the fast engine's library, to test what it gives away.",
)
def generate(
    scenario: Any,
    events: int,
    seed: int | None,
    output: Path,
    workers: int | None,
    engine: Any,
    library_half: str | None,
) -> None:
    """Make a dataset of simulated events in the official layout."""
    with progress_bar("generate") as progress:
        from HiggsML.generator import generate_dataset
        from HiggsML.isolation.budget.budgets import available_processors

        path = generate_dataset(
            output,
            scenario=scenario,
            events=events,
            seed=seed,
            workers=workers or available_processors(),
            engine=engine,
            library_half=None if library_half is None else cast(Literal[1, 2], int(library_half)),
            progress=lambda done, total: progress("generate", done, total),
        )
    click.echo(f"Dataset: {path}")
