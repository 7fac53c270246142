"""The commands ``higgsml run`` and ``higgsml score``: parse, call, print."""

from __future__ import annotations

import os
import pdb
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from HiggsML.cli.console import print_log, say, show_scores
from HiggsML.cli.options import (
    DIRECTORY,
    EXISTING,
    SUBMISSION,
    image_option,
    input_option,
    run_options,
)
from HiggsML.cli.progress import Report, progress_bar
from HiggsML.errors import HiggsMLError, SettingsError
from HiggsML.ingestion.options import IngestionOptions

if TYPE_CHECKING:
    from HiggsML.codabench.container.worker import Worker

__all__ = ["run", "score"]


@click.command()
@click.argument("submission", type=SUBMISSION)
@input_option
@click.option(
    "--output",
    type=DIRECTORY,
    default=None,
    help="Where predictions, scores and the report go.  [default: outputs/NAME, with the "
    "submission's name]",
)
@click.option(
    "--overwrite", is_flag=True, help="Let the results take the place of those of an earlier run."
)
@click.option(
    "--debug",
    is_flag=True,
    help="Run the model in this process, unprotected, with what it prints, breakpoint() and, "
    "after an error, Python's debugger.",
)
@run_options
@click.option(
    "--docker",
    is_flag=True,
    help="Run in containers, as the platform does but stricter: no network, and --memory (8g) is "
    "a container's.",
)
@image_option
@click.option(
    "--as-platform",
    is_flag=True,
    help="With --docker: exactly the restrictions of the platform, and its way with files.",
)
@click.option(
    "--worker",
    type=click.Choice(["2026-03", "2026-06"]),
    default=None,
    help="With --docker: the generation of the platform's worker; the newest by default.",
)
def run(
    submission: Path,
    input_dir: Path,
    output: Path | None,
    overwrite: bool,
    debug: bool,
    docker: bool,
    image: str | None,
    as_platform: bool,
    worker: Worker | None,
    **values: Any,
) -> None:
    """Fit the model in SUBMISSION, have it measure pseudo-experiments, and score its answers.

    SUBMISSION is a directory or zip file with model.py, which defines the class Model.
    """
    output = output or Path("outputs", submission.resolve().name.removesuffix(".zip"))
    predictions, scoring = output / "predictions", output / "scores"
    if not overwrite:
        _refuse_earlier_results(output)
    if debug:
        if values["isolation"] == "require" or values["scheduler"] or values["resume"] or docker:
            raise SettingsError(
                "--debug runs the model in this process: leave out --docker, --scheduler, --resume "
                "and --isolation require"
            )
        values |= {"isolation": "off", "repeatable": "off", "checkpoint": False, "debug": True}
    options = IngestionOptions(input_dir, submission, predictions, **values)
    if docker:
        options.check_in_container()  # before libraries are imported
        with progress_bar() as progress:
            _run_in_docker(options, scoring, image, worker, progress, as_platform=as_platform)
            progress("score", 0, None)
            _record(options, output)
            row = _row(predictions, scoring)
        show_scores(**row)
        return
    if image or as_platform or worker:
        raise SettingsError("--image, --as-platform and --worker need --docker")
    if debug:
        with _debugger(submission):
            _run_here(options, None)
    with progress_bar(None if debug else "read") as progress:
        if not debug:
            _run_here(options, progress)
        progress("score", 0, None)
        record = _record(options, output)
        from HiggsML.score import run_scoring  # with the figures of the report

        run_scoring(predictions, scoring, about=record)
        row = _row(predictions, scoring)
    show_scores(**row)


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
@click.option(
    "--figures",
    type=click.Choice(["pdf", "svg", "png"]),
    default=None,
    help="Save the report's figures, too, beside the scores.",
)
def score(
    predictions: Path,
    output: Path | None,
    reference: Path | None,
    phase_2: bool,
    figures: str | None,
) -> None:
    """Score the result files in the directory PREDICTIONS, or of the run in it, again."""
    with progress_bar("score", brief=True):
        from HiggsML.ingestion.record import load_record
        from HiggsML.results import predictions_of
        from HiggsML.score import run_scoring

        predictions = predictions_of(predictions)
        target = output or predictions.parent / "scores"
        record = load_record(predictions.parent)
        run_scoring(predictions, target, reference=reference, phase_2=phase_2, about=record)
        number = 0 if figures is None else _save_figures(predictions, target / "figures", figures)
        row = _row(predictions, target)
    if number:
        click.echo(f"{number} figures: {target / 'figures'}")
    show_scores(**row)


def _run_here(options: IngestionOptions, progress: Report | None) -> None:
    """Run a submission, and print what there is to notice."""
    # Imported here: whoever mistypes an option waits for no library.
    from HiggsML.ingestion import run_ingestion

    settings = run_ingestion(options, progress)
    for notice in settings.notices:
        say(f"Note: {notice}", "yellow")


def _save_figures(predictions: Path, directory: Path, file_format: str) -> int:
    """Save the figures of a report, and return how many there are."""
    from HiggsML.reports.run_page import save_figures
    from HiggsML.results import load_predictions
    from HiggsML.studies.comparison import load_run

    run = load_run(predictions)
    paths = save_figures(
        directory,
        file_format,
        predictions=load_predictions(predictions, run.settings),
        scores=run.scores,
        settings=run.settings,
        bootstrap=run.resampled,
    )
    return len(paths)


def _record(options: IngestionOptions, output: Path) -> dict[str, str]:
    """Write down what has run."""
    from HiggsML.ingestion.record import write_record

    arguments = ["higgsml", *sys.argv[1:]]
    return write_record(
        output, submission=options.submission, arguments=arguments, seed=options.seed
    )


def _row(predictions: Path, scoring: Path) -> dict[str, Any]:
    """Describe the run for machines; return what :func:`show_scores` prints."""
    from HiggsML.ingestion.record import describe_run, load_record
    from HiggsML.results import read_object
    from HiggsML.studies.comparison import load_run

    output = predictions.parent
    if scoring.parent == output and (record := load_record(output)):
        describe_run(output, record)
    scores = read_object(scoring / "scores.json")
    run = load_run(predictions)
    errors = {
        "quantiles_score": run.score_error,
        "coverage": run.coverage_error,
        "interval": run.width_error,
    }
    return {
        "scores": scores,
        "report": scoring / "detailed_results.html",
        "errors": errors,
        "of_limit": run.of_limit,
    }


@contextmanager
def _debugger(submission: Path) -> Iterator[None]:
    """Start Python's debugger on the participant's line that an error came up from."""
    try:
        yield
    except HiggsMLError:
        raise
    except Exception as error:
        from HiggsML.isolation.inside.participant_traceback import folded_traceback, hint

        folder = submission.resolve()
        frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        own = [n for n, name in enumerate(frames) if name.startswith(f"{folder}{os.sep}")]
        click.echo(folded_traceback(error, error.__traceback__, folder), err=True, nl=False)
        if advice := hint(error):
            click.echo(advice, err=True)
        debugger = pdb.Pdb()
        debugger.reset()
        if own and own[-1] < len(frames) - 1:  # below it are the frames of libraries
            debugger.cmdqueue = [f"up {len(frames) - 1 - own[-1]}"]
        debugger.interaction(None, error.__traceback__)
        sys.exit(1)


def _refuse_earlier_results(output: Path) -> None:
    for name in ("predictions/test_settings.json", "scores/scores.json"):
        if (output / name).exists():
            raise SettingsError(
                f"{output} holds the results of an earlier run: name another place with --output, "
                "or add --overwrite to replace them"
            )


def _run_in_docker(
    options: IngestionOptions,
    scoring: Path,
    image: str | None,
    worker: Worker | None,
    progress: Report,
    *,
    as_platform: bool,
) -> dict[str, float]:
    """Run a submission in containers and return its scores.

    Logs go to standard error; lines that only tell progress move the progress bar.
    """
    from HiggsML.codabench.container import (
        NEWEST,
        Restrictions,
        confined,
        read_progress,
        run_in_docker,
    )

    options, restrictions = confined(options, Restrictions(as_platform=as_platform))

    def log(stage: str, line: str) -> None:
        step = read_progress(line)
        if step is not None:
            progress(*step)
        elif stage != "scoring":  # its table of scores is printed by the caller
            print_log(stage, line)

    return run_in_docker(
        options,
        scoring,
        image=image,
        restrictions=restrictions,
        worker=worker or NEWEST,
        log=log,
    )
