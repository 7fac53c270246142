"""The ``higgsml`` command: parse, call, print."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from HiggsML import __version__, cli_bundle
from HiggsML.cli_doctor import doctor
from HiggsML.cli_explore import explore_command, four_lepton_command
from HiggsML.cli_information import information
from HiggsML.cli_options import DIRECTORY, EXISTING, input_option, nuisance_names
from HiggsML.cli_study import compare, study
from HiggsML.errors import HiggsMLError, SettingsError
from HiggsML.generator import generate_dataset
from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.isolation.budgets import BUDGET_FLAGS, Budgets, parse_amount
from HiggsML.schema import NUISANCES
from HiggsML.score import run_scoring

__all__ = ["fail_cleanly", "main", "progress_bar", "show_scores"]

logger = logging.getLogger(__name__)

_errors = Console(stderr=True)


def main() -> None:
    """Run the command; an error of ours is one message and exit code 1, never a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    with fail_cleanly():
        _cli()


@contextmanager
def fail_cleanly() -> Iterator[None]:
    """Print a named error and exit with code 1."""
    try:
        yield
    except HiggsMLError as error:
        # Not wrapped: file names and the participant's own lines stay in one piece in a log.
        _errors.print(
            f"Error: {error}", style="bold red", markup=False, highlight=False, soft_wrap=True
        )
        sys.exit(1)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show the progress of named stages: bars on a terminal, a few lines of the log elsewhere."""
    names = {"fit": "Fitting the model", "predict": "Pseudo-experiments", "generate": "Events"}
    columns = (
        TextColumn("{task.description:20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_errors, disable=not _errors.is_terminal) as progress:
        bars: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(names.get(stage, stage), total=total)
            progress.update(bars[stage], completed=done)
            # Whoever reads the log of a container shows progress from these lines.
            if not _errors.is_terminal and (done == total or done % max(1, total // 20) == 0):
                logger.info("%s: %d of %d", stage, done, total)

        yield report


def show_scores(scores: Mapping[str, float], report: Path) -> None:
    """Print the leaderboard row and where the report is."""
    table = Table(title="Leaderboard row", title_justify="left")
    for name in scores:
        table.add_column(name.replace("_", " "), justify="right")
    table.add_row(*(f"{value:.4f}" for value in scores.values()))
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(table)
    console.print(f"Report: {report}", soft_wrap=True, highlight=False)


def _systematics(context: click.Context, parameter: click.Parameter, value: str) -> dict[str, bool]:
    """Turn ``all``, ``none`` or a comma-separated list of nuisance parameters into a dict."""
    wanted = nuisance_names(value, "systematics")
    return {name: name in wanted for name in NUISANCES}


def _budgets(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a submission's budgets."""
    for flag, (name, metavar, text) in reversed(BUDGET_FLAGS.items()):
        option = click.option(
            flag,
            name,
            type=parse_amount,
            metavar=metavar,
            help=f"Budget of the submission: {text}.",
        )
        command = option(command)
    return command


_submission = click.Path(exists=True, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="higgsml")
def _cli() -> None:
    """The HiggsML Uncertainty Challenge: measure the Higgs signal strength with honest intervals.

    \b
    higgsml run sample_submission        fit, measure, score and report a submission
    higgsml generate --output my_data    make a dataset
    """  # noqa: D301 (click's mark for a paragraph that is not to be wrapped)


@_cli.command()
@click.argument("submission", type=_submission)
@input_option
@click.option(
    "--output",
    type=DIRECTORY,
    default=Path("outputs"),
    show_default=True,
    help="Where predictions, scores and the report go.",
)
@click.option(
    "--sets",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Number of sets; each has one true mu.",
)
@click.option(
    "--pseudo-experiments",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Pseudo-experiments per set.",
)
@click.option(
    "--systematics",
    metavar="all|none|NAME,...",
    callback=_systematics,
    default="all",
    show_default=True,
    help="Which nuisance parameters vary: " + ", ".join(NUISANCES) + ".",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=None,
    help="Makes a run repeatable; without it every run draws a new truth.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes that make pseudo-experiments; changes no number.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    default=None,
    help="Make pseudo-experiments on the Dask cluster with this scheduler; changes no number.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with an interrupted run of the same command; the model is fitted again.",
)
@click.option(
    "--deadline",
    type=click.FloatRange(0, min_open=True),
    default=None,
    metavar="SECONDS",
    help="Time for fit and predictions together (after --resume: for the rest of them).",
)
@click.option(
    "--isolation",
    type=click.Choice(["require", "prefer", "off"]),
    default="prefer",
    show_default=True,
    help="What to do when a protection against the submission's code is not available here.",
)
@click.option(
    "--docker",
    is_flag=True,
    help="Run in containers, as the platform does but stricter: no network, and --memory (8g) is "
    "a container's.",
)
@click.option("--image", default=None, help="Image for --docker; the competition's by default.")
@click.option(
    "--as-platform", is_flag=True, help="With --docker: exactly the restrictions of the platform."
)
@_budgets
def run(
    submission: Path,
    input_dir: Path,
    output: Path,
    sets: int,
    pseudo_experiments: int,
    systematics: dict[str, bool],
    docker: bool,
    image: str | None,
    as_platform: bool,
    **options: Any,
) -> None:
    """Fit the model in SUBMISSION, have it measure pseudo-experiments, and score its answers.

    SUBMISSION is a directory or zip file with model.py, which defines the class Model.
    """
    predictions, scoring = output / "predictions", output / "scores"
    budgets = {name: options.pop(name) for name, _, _ in BUDGET_FLAGS.values()}
    common: dict[str, Any] = {
        "submission": submission,
        "input_dir": input_dir,
        "systematics": systematics,
        "budgets": Budgets.from_flags(budgets),
    }
    if docker:
        for name in ("scheduler", "resume"):
            if options.pop(name):
                raise SettingsError(f"--{name} and --docker can not be combined")
        with progress_bar() as progress:
            scores = cli_bundle.run_in_docker(
                output=output,
                sets=sets,
                pseudo_experiments=pseudo_experiments,
                image=image,
                as_platform=as_platform,
                progress=progress,
                **common,
                **options,
            )
        show_scores(scores, scoring / "detailed_results.html")
        return
    if image or as_platform:
        raise SettingsError("--image and --as-platform need --docker")
    with progress_bar() as progress:
        settings = run_ingestion(
            IngestionOptions(
                output=predictions,
                num_of_sets=sets,
                num_pseudo_experiments=pseudo_experiments,
                **common,
                **options,
            ),
            progress,
        )
    for notice in settings.notices:
        _errors.print(
            f"Note: {notice}", style="yellow", markup=False, highlight=False, soft_wrap=True
        )
    show_scores(run_scoring(predictions, scoring), scoring / "detailed_results.html")


@_cli.command()
@click.argument("predictions", type=EXISTING)
@click.option(
    "--output",
    type=DIRECTORY,
    default=None,
    help="Where scores and report go; beside PREDICTIONS by default.",
)
@click.option(
    "--reference",
    type=EXISTING,
    default=None,
    help="Directory with settings.json: what a complete result must contain.",
)
@click.option("--phase-2", is_flag=True, help="Add the final phase's bootstrap over sets.")
def score(predictions: Path, output: Path | None, reference: Path | None, phase_2: bool) -> None:
    """Score the result files in the directory PREDICTIONS again."""
    target = output or predictions.parent / "scores"
    scores = run_scoring(predictions, target, reference=reference, phase_2=phase_2)
    show_scores(scores, target / "detailed_results.html")


@_cli.command()
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
    default=1,
    show_default=True,
    help="Processes; changes no byte.",
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
    workers: int,
    engine: Any,
    library_half: str | None,
) -> None:
    """Make a dataset of simulated events in the official layout."""
    with progress_bar() as progress:
        path = generate_dataset(
            output,
            scenario=scenario,
            events=events,
            seed=seed,
            workers=workers,
            engine=engine,
            library_half=None if library_half is None else cast(Literal[1, 2], int(library_half)),
            progress=lambda done, total: progress("generate", done, total),
        )
    click.echo(f"Dataset: {path}")


for _command in (
    *(cli_bundle.bundle, cli_bundle.dry_run, cli_bundle.submission),
    *(compare, doctor, explore_command, four_lepton_command, information, study),
):
    _cli.add_command(_command)
