"""The commands ``higgsml run`` and ``higgsml score``: parse, call, print."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from HiggsML.cli.console import print_log, progress_bar, show_scores, stderr
from HiggsML.cli.options import DIRECTORY, EXISTING, input_option, nuisance_names
from HiggsML.codabench.container import DockerOptions, Restrictions, read_progress, run_locally
from HiggsML.errors import SettingsError
from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.isolation.budget.budgets import BUDGET_FLAGS, Budgets, parse_amount
from HiggsML.schema import NUISANCES
from HiggsML.score import run_scoring

__all__ = ["run", "score"]


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


@click.command()
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
        "num_of_sets": sets,
        "num_pseudo_experiments": pseudo_experiments,
        "systematics": systematics,
        "budgets": Budgets.from_flags(budgets),
    }
    if docker:
        for name in ("scheduler", "resume"):
            if options.pop(name):
                raise SettingsError(f"--{name} and --docker can not be combined")
        restrictions = Restrictions(as_platform=as_platform)
        wanted = DockerOptions(
            output=output, image=image, restrictions=restrictions, **common, **options
        )
        with progress_bar() as progress:
            scores = _run_in_docker(wanted, progress)
        show_scores(scores, scoring / "detailed_results.html")
        return
    if image or as_platform:
        raise SettingsError("--image and --as-platform need --docker")
    with progress_bar() as progress:
        settings = run_ingestion(
            IngestionOptions(output=predictions, **common, **options), progress
        )
    for notice in settings.notices:
        stderr.print(
            f"Note: {notice}", style="yellow", markup=False, highlight=False, soft_wrap=True
        )
    show_scores(run_scoring(predictions, scoring), scoring / "detailed_results.html")


@click.command()
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


def _run_in_docker(
    options: DockerOptions, progress: Callable[[str, int, int], None]
) -> dict[str, float]:
    """Run a submission in containers and return its scores.

    Logs go to standard error; lines that only tell progress go to ``progress``.
    """
    memory = options.budgets.memory_bytes
    if memory is not None and not options.restrictions.as_platform:
        # The container's limit, a share of which is then the submission's.
        options = replace(
            options,
            restrictions=replace(options.restrictions, memory=f"{int(memory)}b"),
            budgets=replace(options.budgets, memory_bytes=None),
        )

    def log(stage: str, line: str) -> None:
        step = read_progress(line)
        if step is not None:
            progress(*step)
        elif stage != "scoring":  # its table of scores is printed by the caller
            print_log(stage, line)

    return run_locally(options, log=log)
