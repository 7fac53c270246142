"""Dry run for organizers: the whole way of a bundle through the platform, on this machine.

Validate, build, unpack as the platform does, run every solution in every phase in containers, and
hold what scoring wrote against the leaderboard. What a machine can not answer is left as a list of
questions.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from HiggsML.codabench import Finding, build_bundle, errors_of, validate_path
from HiggsML.codabench.bundle.unpack import (
    Column,
    Competition,
    Phase,
    Program,
    Solution,
    Task,
    unpack,
)
from HiggsML.codabench.container import (
    WORKERS,
    PlatformRun,
    Restrictions,
    connect,
    ensure_image,
    run_on_platform,
)
from HiggsML.codabench.container.worker import Worker
from HiggsML.errors import BundleError, ContainerError, HiggsMLError

__all__ = ["DryRun", "DryRunOptions", "Step", "check_scores", "dry_run"]

_SCORE_LIMIT = 1e10
_QUICK = {"--num-of-sets": "2", "--num-pseudo-experiments": "3"}
_QUICK_SETTINGS = {"num_of_sets": 2, "num_pseudo_experiments": 3}
_REMOTE_PARTS = re.compile(
    r"""<(?:script|img|iframe|source)[^>]+src=(?!["']?data:)|<link[^>]+href=(?!["']?data:)"""
)


@dataclass(frozen=True)
class DryRunOptions:
    """What to do.

    Attributes
    ----------
    source : Path
        The checkout.
    output : Path
        Gets the zip and, per phase and solution, predictions and scores.
    input_data : Path, optional
        The competition's dataset.
    competition : bool
        Refuse a public dataset.
    quick : bool
        2 sets of 3 pseudo-experiments instead of the full number.
    docker : bool
        Run the solutions; without it the dry run ends after unpacking.
    base_image, network : str, optional
        For building the image, if it is not there.
    """

    source: Path
    output: Path
    input_data: Path | None = None
    competition: bool = False
    quick: bool = False
    docker: bool = True
    base_image: str | None = None
    network: str | None = None


@dataclass(frozen=True)
class Step:
    """One part of the dry run: whether it went well (None: skipped), and what came out."""

    name: str
    ok: bool | None
    detail: str
    seconds: float = 0.0


@dataclass
class DryRun:
    """All steps, and the questions that remain.

    Attributes
    ----------
    steps : list of Step
        In the order in which they were done; the last one is the one that failed, if any did.
    findings : list of Finding
        Of the validation.
    questions : list of str
        For the organizer.
    """

    steps: list[Step] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether no step failed."""
        return all(step.ok is not False for step in self.steps)


def dry_run(
    options: DryRunOptions,
    *,
    on_start: Callable[[str], None] = lambda _: None,
    on_step: Callable[[Step], None] = lambda _: None,
    log: Callable[[str, str], None] = lambda *_: None,
) -> DryRun:
    """Do all steps until one fails.

    Parameters
    ----------
    options : DryRunOptions
        What to do.
    on_start : callable
        Gets the name of every step when it begins.
    on_step : callable
        Gets every step when it is done.
    log : callable
        Gets where a line comes from ("image", "ingestion", "scoring") and the line.
    """
    result = DryRun()
    recorder = _Recorder(result, on_start, on_step)
    competition: Competition | None = None
    with tempfile.TemporaryDirectory(
        prefix="higgsml-dry-run-", ignore_cleanup_errors=True
    ) as temporary:
        try:
            Path(temporary).chmod(0o755)
            bundle = _build(options, result, recorder)
            with recorder.step("unpack as the platform does") as detail:
                competition = unpack(bundle, Path(temporary))
                if options.quick:
                    competition = _quick(competition)
                detail.append(_summary(competition))
            if options.docker:
                with ExitStack() as stack:
                    _run_all(competition, options, recorder, log, stack)
            else:
                recorder.skip("run the solutions", "containers were not asked for")
        except _StepFailedError:
            pass
    result.questions = _questions(result, competition, options)
    return result


def check_scores(path: Path, columns: tuple[Column, ...]) -> dict[str, float]:
    """Return the scores in a file if the platform would take them and fill the leaderboard.

    Raises
    ------
    BundleError
        If it would not.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path.name} can not be read: {error}") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path.name} must hold one object")
    for key, value in content.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise BundleError(
                f"{path.name}: {key} is {value!r}, and the platform takes numbers only"
            )
        if not math.isfinite(value) or abs(value) >= _SCORE_LIMIT:
            raise BundleError(f"{path.name}: {key} is {value}, which the platform can not store")
    absent = [column.key for column in columns if not column.computed and column.key not in content]
    if absent:
        raise BundleError(
            f"{path.name} has no {', '.join(absent)}, for which the leaderboard has a column"
        )
    return content


class _StepFailedError(Exception):
    pass


class _Recorder:
    def __init__(
        self, result: DryRun, on_start: Callable[[str], None], on_step: Callable[[Step], None]
    ) -> None:
        self._result = result
        self._on_start = on_start
        self._on_step = on_step

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Time a step; what is put into the list is its detail."""
        detail: list[str] = []
        self._on_start(name)
        started = time.monotonic()
        try:
            yield detail
        except HiggsMLError as error:
            self._add(Step(name, False, str(error), time.monotonic() - started))
            raise _StepFailedError from error
        self._add(Step(name, True, "; ".join(detail), time.monotonic() - started))

    def skip(self, name: str, why: str) -> None:
        self._add(Step(name, None, why))

    def _add(self, step: Step) -> None:
        self._result.steps.append(step)
        self._on_step(step)


def _build(options: DryRunOptions, result: DryRun, recorder: _Recorder) -> Path:
    path = options.output / "bundle.zip"
    with recorder.step("validate and build") as detail:
        built = build_bundle(
            options.source,
            path,
            input_data=options.input_data,
            competition=options.competition,
        )
        result.findings = built.findings
        if errors := errors_of(built.findings):
            raise BundleError(f"{len(errors)} errors, the first: {errors[0]}")
        warned = len(built.findings)
        detail.append(f"{path}: {built.files} files, {built.size / 1e6:.1f} MB, {warned} warnings")
    with recorder.step("validate the zip"):
        if errors := errors_of(validate_path(path, competition=options.competition)):
            raise BundleError(f"the zip differs from what was checked: {errors[0]}")
    return path


def _run_all(
    competition: Competition,
    options: DryRunOptions,
    recorder: _Recorder,
    log: Callable[[str, str], None],
    stack: ExitStack,
) -> None:
    with recorder.step("find the engine and the image") as detail:
        client = stack.enter_context(closing(connect()))
        ensure_image(
            client,
            competition.image,
            context=options.source,
            base_image=options.base_image,
            network=options.network,
            log=lambda line: log("image", line),
        )
        size = client.images.get(competition.image).attrs.get("Size", 0)
        detail.append(f"{competition.image}, {size / 1e6:.0f} MB")
    runs = [
        (phase, competition.tasks[index], number, solution, worker)
        for phase in competition.phases
        for index in phase.tasks
        for number, solution in enumerate(competition.solutions)
        if index in solution.tasks
        for worker in WORKERS
    ]
    if not runs:
        recorder.skip("run the solutions", "the bundle has no solution for any phase's task")
    for phase, task, number, solution, worker in runs:
        name = f"phase {phase.name}, task {task.index}, solution {number}, worker of {worker}"
        with recorder.step(name) as detail:
            folder = f"{phase.name}-task{task.index}-solution{number}-worker{worker}"
            target = options.output / folder.lower().replace(" ", "-")
            run = _planned(competition, phase, task, solution, worker)
            detail.append(_run(client, competition, run, target, log))


def _planned(
    competition: Competition, phase: Phase, task: Task, solution: Solution, worker: Worker
) -> PlatformRun:
    if task.ingestion is None or task.input_data is None:
        raise ContainerError(f"task {task.index} has no ingestion program or no input data")
    return PlatformRun(
        image=competition.image,
        ingestion_program=task.ingestion.directory,
        ingestion_command=task.ingestion.command,
        scoring_program=task.scoring.directory,
        scoring_command=task.scoring.command,
        submission=solution.directory,
        input_data=task.input_data,
        reference_data=task.reference_data,
        worker=worker,
        time_limit=phase.time_limit,
        restrictions=Restrictions(as_platform=True),
    )


def _run(
    client: Any,
    competition: Competition,
    run: PlatformRun,
    target: Path,
    log: Callable[[str, str], None],
) -> str:
    result = run_on_platform(
        client, run, predictions=target / "predictions", scores=target / "scores", log=log
    )
    scores = check_scores(target / "scores" / "scores.json", competition.columns)
    if competition.settings.get("enable_detailed_results"):
        _check_report(target / "scores" / "detailed_results.html")
    row = ", ".join(
        f"{column.title} {scores[column.key]:.4g}"
        for column in competition.columns
        if column.key in scores
    )
    return (
        f"{row} (ingestion {result.ingestion.seconds:.0f} s, scoring "
        f"{result.scoring.seconds:.0f} s, of {run.time_limit:g} s each)"
    )


def _check_report(path: Path) -> None:
    if not path.is_file():
        raise BundleError(f"scoring wrote no {path.name}, which detailed results need")
    if remote := _REMOTE_PARTS.search(path.read_text(encoding="utf-8")):
        raise BundleError(
            f"{path.name} loads {remote[0]}... from elsewhere; the platform shows this file alone"
        )


def _quick(competition: Competition) -> Competition:
    """Return the competition with a few pseudo-experiments, in commands and settings alike."""
    for task in competition.tasks.values():
        path = task.reference_data / "settings.json" if task.reference_data is not None else None
        if path is not None and path.is_file():
            content = json.loads(path.read_text(encoding="utf-8")) | _QUICK_SETTINGS
            path.write_text(json.dumps(content), encoding="utf-8")

    def shortened(program: Program | None) -> Program | None:
        if program is None:
            return None
        words = list(program.command)
        for flag, value in _QUICK.items():
            if flag in words:
                words[words.index(flag) + 1] = value
        return replace(program, command=tuple(words))

    tasks = {
        index: replace(task, ingestion=shortened(task.ingestion))
        for index, task in competition.tasks.items()
    }
    return replace(competition, tasks=tasks)


def _summary(competition: Competition) -> str:
    return (
        f"{len(competition.phases)} phases, {len(competition.tasks)} tasks, "
        f"{len(competition.solutions)} solutions, {len(competition.columns)} columns"
    )


def _questions(
    result: DryRun, competition: Competition | None, options: DryRunOptions
) -> list[str]:
    """Return what only an organizer can answer, with the values that it is about."""
    if competition is None:
        return []
    questions = [
        f"Is the image {competition.image} where the platform's workers can pull it? "
        "(docker push, then docker pull on another machine)",
        *(
            f"Phase {phase.name}: {phase.start} to {phase.end or 'no end'} UTC, is that right?"
            for phase in competition.phases
        ),
    ]
    public = {f.rule for f in result.findings} & {"dataset-seed", "public-dataset"}
    if public:
        questions.append(
            "The dataset is public: who will make the private one? (`higgsml generate` without "
            "--seed, `higgsml bundle build --competition --input DIR`)"
        )
    settings = competition.settings
    if settings.get("registration_auto_approve"):
        questions.append("Anyone may join (registration_auto_approve): is that wanted?")
    if not settings.get("contact_email"):
        questions.append("No contact_email: whom do participants ask?")
    if not settings.get("queue"):
        questions.append(
            "Runs go to the default queue, which others share: are its machines as fast as this "
            "one, with two processors for two workers? (a run here took as long as said above)"
        )
    questions += [
        "Does the worker's kernel grant all protections? (after the first upload, look at the "
        "hidden column Isolation of the sample submission's score)",
        "Has the worker's operator switched the network off for submissions?",
        "Have the terms been read by whoever answers for them?",
    ]
    if options.quick:
        questions.append("This was the quick form: does the full one pass, and in what time?")
    return questions
