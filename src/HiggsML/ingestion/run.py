"""The judged form of an ingestion: the submission runs in processes of its own."""

from __future__ import annotations

import logging
import platform
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import cast

import numpy as np

from HiggsML.datasets.identity import data_identity
from HiggsML.datasets.reader import Data
from HiggsML.errors import BudgetError, SettingsError, SubmissionError, TimeLimitError
from HiggsML.ingestion.checkpoint import (
    Checkpoint,
    RunIdentity,
    begin,
    checkpoint_path,
    exposed_to_submission,
)
from HiggsML.ingestion.identity import package_version, software_identity
from HiggsML.ingestion.in_process import InThisProcess
from HiggsML.ingestion.options import IngestionOptions
from HiggsML.ingestion.output import replacement, reserved
from HiggsML.ingestion.repeat import Repeatability, ask_again, chosen
from HiggsML.ingestion.workers import (
    Answer,
    DaskCluster,
    Draws,
    Executor,
    LocalProcesses,
    Task,
    ThisProcess,
    Worker,
    WorkerSettings,
    check_cluster,
    deadline_in,
    seconds_left,
)
from HiggsML.isolation.budget.budgets import available_processors
from HiggsML.isolation.cage.restrict import isolation_level
from HiggsML.isolation.cage.system_paths import opening
from HiggsML.isolation.sandbox import Sandbox, check_system, not_enforced
from HiggsML.pseudo_experiments.seeds import draw_mu, draw_order, model_seed
from HiggsML.pseudo_experiments.store import EventStore
from HiggsML.results import (
    REPEATABLE,
    REPEATS,
    Predictions,
    Settings,
    write_duration,
    write_predictions,
    write_settings,
)
from HiggsML.seal import Recorder, recorded
from HiggsML.submission.model import PREDICTION_KEYS
from HiggsML.submission.value import Submission, open_submission

__all__ = ["run_ingestion"]

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with a stage ("fit", "predict"), and how many of how many steps are done."""

_SHORT_FIT = 30.0  # s
_START_OF_PROCESS = 4.0  # s of predictions, for which another process is worth its start
_SHARE_FOR_SECOND_FIT = 0.1  # of the run

MIN_REPEATS = 20.0
"""Stored test events per expected event below which results are poor; see physics notes in
``pages/data.md``."""


def run_ingestion(options: IngestionOptions, progress: Progress | None = None) -> Settings:
    """Run a submission and write its results; former ones stay unless everything succeeds.

    Returns
    -------
    Settings
        What was run, with the true mus.

    Raises
    ------
    HiggsMLError
        If the data, the options or the submission are at fault; the message names the
        pseudo-experiment and quotes the participant's traceback.

    Examples
    --------
    >>> places = (folder / "dataset", folder / "submission", folder / "new_run" / "predictions")
    >>> options = IngestionOptions(*places, num_of_sets=1, num_pseudo_experiments=2, seed=7)
    >>> sorted(run_ingestion(options).mus)
    [0]
    """
    with (
        recorded(options.output, options.input_dir, tell=options.empty_output) as recorder,
        open_submission(options.submission) as submission,
        ExitStack() as held,
    ):
        run = _prepare(options, submission, progress or (lambda *_: None), held, recorder)
        if run.left:
            with _told_how_far(run):
                _fit(run)
                _measure(run)
        run.repeatability = _ask_again(run)  # nothing of the first pass runs any more
        run.processes.close()
        return _write(run, recorder)


@dataclass
class _Run:
    """A run between its stages."""

    options: IngestionOptions
    report: Progress
    started: float
    deadline: float | None
    submission: Submission
    data: Data
    processes: ExitStack
    """Ends the submission's processes."""
    sandbox: Sandbox
    checkpoint: Checkpoint
    protections: dict[str, str]
    workers: list[Sandbox] = field(default_factory=list)
    """Get the fitted Model, if several are wanted."""
    state: bytes | str = "nothing was fitted"
    """The fitted Model before its first prediction, or why there is none."""
    fit_seconds: float = 0.0
    measured: list[Task] = field(default_factory=list)
    """Pseudo-experiments that this fitted Model has measured: not those before an interruption."""
    spare: Sandbox | None = None
    """A process that has seen no pseudo-experiment, to be asked again."""
    repeatability: Repeatability = Repeatability("off")  # noqa: RUF009 (frozen)

    @property
    def total(self) -> int:
        """Number of pseudo-experiments."""
        return self.options.num_of_sets * self.options.num_pseudo_experiments

    @property
    def left(self) -> int:
        """How many of them have no answer yet."""
        return self.total - len(self.checkpoint.answers)

    @cached_property
    def store(self) -> EventStore:
        """The test events."""
        return EventStore.from_data(self.data)

    def tasks(self) -> Iterator[Task]:
        """Yield the pseudo-experiments that have no answer yet, in random order."""
        options = self.options
        order = draw_order(
            self.checkpoint.seed, options.num_of_sets, options.num_pseudo_experiments
        )
        return (task for task in map(Task._make, order) if task not in self.checkpoint.answers)

    def seconds(self) -> float:
        """Return how long the run has taken, with what was before an interruption."""
        return self.checkpoint.earlier + time.monotonic() - self.started


def _prepare(
    options: IngestionOptions,
    submission: Submission,
    report: Progress,
    held: ExitStack,
    recorder: Recorder,
) -> _Run:
    """Take the output, open the dataset and start the submission's processes."""
    started, deadline = time.monotonic(), deadline_in(options.deadline)
    check_system()
    if problem := not_enforced():
        logger.warning("%s", problem)
    if options.isolation != "off":
        _refuse_overlap(options, submission)
    data = Data(options.input_dir, options.test_size)
    held.enter_context(reserved(options.output, empty=options.empty_output))
    recorder.begin()
    if options.scheduler is not None:
        check_cluster(options.scheduler, data, options.test_size)
    processes = held.enter_context(ExitStack())
    sandbox = processes.enter_context(_sandbox(options, submission))
    run = _Run(
        options=options,
        report=report,
        started=started,
        deadline=deadline,
        submission=submission,
        data=data,
        processes=processes,
        sandbox=sandbox,
        checkpoint=held.enter_context(_checkpoint(options, submission, data, sandbox.report)),
        protections=dict(sandbox.report),
    )
    if run.left:
        run.checkpoint.prepare()
        # The workers' processes import their libraries while the test events are read.
        if options.processes > 1:
            run.workers = processes.enter_context(
                _sandboxes(options, submission, options.processes)
            )
        elif options.repeatable != "off" and options.scheduler is None and not options.debug:
            run.spare = processes.enter_context(_sandbox(options, submission))
    _ = run.store
    return run


def _fit(run: _Run) -> None:
    """Import and fit the Model."""
    run.report("fit", 0, 1)
    began = time.monotonic()
    with _preloaded(run):
        run.sandbox.fit(
            run.data, seed=model_seed(run.checkpoint.seed), timeout=seconds_left(run.deadline)
        )
    run.fit_seconds = time.monotonic() - began
    run.report("fit", 1, 1)
    options = run.options
    if options.repeatable != "off" or options.scheduler is not None or run.workers:
        run.state = run.sandbox.state(timeout=seconds_left(run.deadline))
    run.checkpoint.start()


@contextmanager
def _preloaded(run: _Run) -> Iterator[None]:
    """Have the workers import the submission meanwhile; a failure shows in what comes after."""
    with ThreadPoolExecutor(max(1, len(run.workers))) as pool:
        for worker in run.workers:
            pool.submit(worker.preload, timeout=seconds_left(run.deadline))
        try:
            yield
        except BaseException:
            for worker in run.workers:
                worker.kill()
            raise


def _measure(run: _Run) -> None:
    """Collect an answer to every pseudo-experiment."""
    executor = _executor(run)
    try:
        _collect(run, executor)
    except SubmissionError as error:
        # Files that fit has saved beside model.py come along with the Model; others do not.
        closed = any(name in str(error) for name in ("FileNotFoundError", "PermissionError"))
        lost = closed and isinstance(executor, LocalProcesses)
        if run.measured or not lost:
            raise
        logger.warning(
            "only the process that has fitted the Model finds its files (save them beside "
            "model.py): one worker makes all predictions"
        )
        with _fitted_again(run) as worker:
            _collect(run, ThisProcess(worker))
    for sandbox in (run.sandbox, *run.workers):
        if sandbox is not run.spare and not run.options.debug:
            sandbox.close()


def _collect(run: _Run, executor: Executor) -> None:
    with closing(executor.run(run.tasks())) as results:
        for task, answer in results:
            run.checkpoint.append(task, answer, run.seconds())
            run.measured.append(task)
            run.report("predict", len(run.checkpoint.answers), run.total)
    run.protections |= executor.lacking


@contextmanager
def _fitted_again(run: _Run) -> Iterator[Worker]:
    """Fit the Model once more, in a fresh process."""
    with _sandbox(run.options, run.submission) as sandbox:
        sandbox.fit(
            run.data, seed=model_seed(run.checkpoint.seed), timeout=seconds_left(run.deadline)
        )
        yield from _workers(run, [sandbox])


def _ask_again(run: _Run) -> Repeatability:
    """Ask fresh processes for some answers once more, and compare.

    Raises
    ------
    SubmissionError
        If answers must be the same, and are not, or that can not be found out.
    """
    options = run.options
    if options.repeatable == "off":
        return Repeatability("off")
    tasks = chosen(run.checkpoint.seed, run.measured or run.checkpoint.answers)
    found = ask_again(tasks, run.checkpoint.answers, partial(_asked, run))
    if options.repeatable == "require" and found.state != "yes":
        unknown = "" if found.state == "no" else "answers could not be asked for again: "
        raise SubmissionError(f"{unknown}{found.why}")
    return found


def _asked(run: _Run, tasks: list[Task]) -> list[tuple[Task, Answer]]:
    """Have fresh processes of the fitted Model measure pseudo-experiments."""
    options = run.options
    found: list[tuple[Task, Answer]] = []

    def collect(executor: Executor) -> list[tuple[Task, Answer]]:
        found.clear()
        with closing(executor.run(tasks)) as results:
            for pair in results:
                found.append(pair)
                run.report("repeat", len(found), len(tasks))
        return found

    if isinstance(run.state, bytes):
        try:
            if options.scheduler is not None:
                return collect(_cluster(run, run.state))
            with _fresh(run, len(tasks)) as sandboxes:
                return collect(LocalProcesses(_workers(run, sandboxes), run.state))
        except TimeLimitError:
            raise
        except SubmissionError as error:
            # Say that fit has left a file which only its own process finds.
            run.state = f"asked again, {error}"
    _allow_second_fit(run, run.state)
    with _fitted_again(run) as worker:
        return collect(ThisProcess(worker))


@contextmanager
def _fresh(run: _Run, n_tasks: int) -> Iterator[list[Sandbox]]:
    """Give the spare process if it is still there, and as many others as are worth their start."""
    options, spare, run.spare = run.options, run.spare, None
    seconds = n_tasks * (run.seconds() - run.fit_seconds) / max(1, len(run.measured))
    worthwhile = 1 + int(seconds * options.processes / _START_OF_PROCESS)
    workers = min(options.processes, n_tasks, worthwhile)
    with ExitStack() as stack:
        if spare is not None:
            stack.callback(spare.close)
            spare.go_on()
        others = _sandboxes(options, run.submission, workers - (spare is not None))
        yield [*([] if spare is None else [spare]), *stack.enter_context(others)]


def _allow_second_fit(run: _Run, reason: str) -> None:
    """Refuse to fit again where that takes too long."""
    left = seconds_left(run.deadline)
    if left is not None and left < run.fit_seconds:
        raise TimeLimitError(f"fit would take {run.fit_seconds:.0f} s again; {reason}")
    most = max(_SHORT_FIT, _SHARE_FOR_SECOND_FIT * run.seconds())
    if run.options.repeatable == "report" and run.fit_seconds > most:
        raise TimeLimitError(f"fit takes {run.fit_seconds:.0f} s; {reason}")


def _write(run: _Run, recorder: Recorder) -> Settings:
    """Put the results where the former ones were."""
    options = run.options
    settings = Settings(
        num_of_sets=options.num_of_sets,
        num_pseudo_experiments=options.num_pseudo_experiments,
        systematics=options.enabled,
        mus={i: draw_mu(run.checkpoint.seed, i) for i in range(options.num_of_sets)},
        details=_details(options, run.protections, run.data, run.repeatability)
        | {REPEATS: f"{min(run.store.effective_repeats().values()):.3g}"},
        notices=tuple(_notices(run.store, run.repeatability)),
    )
    with replacement(options.output) as directory:
        write_predictions(directory, _by_set(run.checkpoint.answers, options))
        write_duration(directory, run.seconds(), fit_seconds=run.fit_seconds or None)
        write_settings(directory, settings)  # the truth last
        recorder.seal(directory)
    run.checkpoint.remove()
    return settings


def _checkpoint(
    options: IngestionOptions,
    submission: Submission,
    data: Data,
    protections: Mapping[str, str],
) -> Checkpoint:
    """Return the state of the run: a fresh one, or that of the run that is to be resumed."""
    seed = secrets.randbits(128) if options.seed is None else options.seed
    identity = RunIdentity(
        settings={
            "num_of_sets": options.num_of_sets,
            "num_pseudo_experiments": options.num_pseudo_experiments,
            "systematics": ",".join(n for n, on in options.enabled.items() if on) or "none",
            "seed": options.seed,
            "test_size": options.test_size,
            "isolation": options.isolation,
        },
        data=data_identity(data),
        submission=submission.identity,
        software=software_identity(),
    )
    if not options.checkpoint:
        return Checkpoint(identity, seed)
    path = checkpoint_path(options.output)
    exposed = exposed_to_submission(path, submission.folder, protections)
    if options.seed is None and exposed:  # a seed is no secret: it was on the command line
        message = f"no checkpoint without a seed: it would hold the truth, and {exposed}"
        if options.resume:
            raise SettingsError(message)
        logger.info(message)
        return Checkpoint(identity, seed)
    return begin(path, identity, seed, resume=options.resume)


def _sandbox(options: IngestionOptions, submission: Submission) -> Sandbox:
    """Start the sandbox that fits the Model, with all of the machine for itself."""
    if options.debug:
        return cast(Sandbox, InThisProcess(submission))
    budgets = options.budgets.resolved()
    return Sandbox(submission, isolation=options.isolation, budgets=budgets)


@contextmanager
def _sandboxes(
    options: IngestionOptions, submission: Submission, workers: int
) -> Iterator[list[Sandbox]]:
    """Start sandboxes that share the machine as so many workers do."""
    budgets = options.budgets.resolved(workers=options.processes)
    several = options.processes > 1
    threads = max(1, available_processors() // options.processes) if several else None
    with ExitStack() as stack:

        def start(_: int) -> Sandbox:
            sandbox = Sandbox(
                submission, isolation=options.isolation, threads=threads, budgets=budgets
            )
            return stack.enter_context(sandbox)

        with ThreadPoolExecutor(max(1, workers)) as pool:
            sandboxes = list(pool.map(start, range(workers)))
        yield sandboxes


def _executor(run: _Run) -> Executor:
    """Choose where to run after the fit: in its process, in several others, or on a cluster."""
    here, *others = _workers(run, (run.sandbox, *run.workers))
    if run.options.scheduler is None and not others:
        return ThisProcess(here)
    if isinstance(run.state, str):
        logger.warning(
            "the fitted Model can not be pickled (%s): one worker makes all predictions", run.state
        )
        for worker in others:
            worker.kill()
        return ThisProcess(here)
    if run.spare is None and others and run.options.repeatable != "off" and run.sandbox.is_small():
        run.sandbox.pause()  # it has seen no pseudo-experiment, and must see nothing of the workers
        run.spare = run.sandbox
    else:
        run.sandbox.close()
    return LocalProcesses(others, run.state) if others else _cluster(run, run.state)


def _workers(run: _Run, sandboxes: Iterable[Sandbox]) -> list[Worker]:
    draws = Draws(run.checkpoint.seed, run.options.enabled)
    return [Worker(run.store, sandbox, draws, run.deadline) for sandbox in sandboxes]


def _cluster(run: _Run, state: bytes) -> DaskCluster:
    options = run.options
    assert options.scheduler is not None  # noqa: S101 (the callers have looked)
    # Dask gives each of its threads one task at a time; memory is that of the worker's machine.
    settings = WorkerSettings(
        input_dir=options.input_dir,
        test_size=options.test_size,
        submission=run.submission.folder,
        state=state,
        draws=Draws(run.checkpoint.seed, options.enabled),
        isolation=options.isolation,
        threads=1,
        deadline=run.deadline,
        budgets=options.budgets,
    )
    return DaskCluster(settings, options.scheduler)


@contextmanager
def _told_how_far(run: _Run) -> Iterator[None]:
    """Add to the message of an exceeded budget how far the submission came."""
    try:
        yield
    except BudgetError as error:
        how_far = f"{len(run.checkpoint.answers):,} of {run.total:,} predictions were done"
        if run.options.deadline is not None:
            how_far += f"; the whole run had {run.options.deadline:g} s"
        raise type(error)(f"{error} ({how_far})") from None


def _refuse_overlap(options: IngestionOptions, submission: Submission) -> None:
    """Refuse a dataset, or a place for results, in a directory that the submission may read."""
    folder = submission.folder
    for what, path in (("dataset", options.input_dir), ("output", options.output)):
        if path.resolve().is_relative_to(folder):
            raise SettingsError(
                f"the {what} directory {path} lies inside the submission's, {folder}, all of which "
                "the submission can read: keep them apart"
            )
        if (place := opening(path)) is not None:
            raise SettingsError(
                f"the {what} directory {path} lies in {place}, which is open to every submission "
                "(system, Python, libraries, shared memory): use another directory"
            )


def _by_set(answers: Mapping[Task, Answer], options: IngestionOptions) -> dict[int, Predictions]:
    count = range(options.num_pseudo_experiments)
    return {
        index: Predictions(
            *(np.array([answers[Task(index, j)][key] for j in count]) for key in PREDICTION_KEYS)
        )
        for index in range(options.num_of_sets)
    }


def _details(
    options: IngestionOptions,
    protections: Mapping[str, str],
    data: Data,
    repeatability: Repeatability,
) -> dict[str, str]:
    """Say how the run was made, for the report; nothing here helps to guess the truth."""
    missing = [name for name, state in protections.items() if state != "on"]
    if not protections:
        isolation = "off"
    else:
        isolation = f"partial, without {', '.join(missing)}" if missing else "complete"
    packages = ("numpy", "pandas", "scikit-learn", "pyarrow")
    return {
        "isolation": isolation,
        "isolation level": f"{isolation_level(protections):g}",
        REPEATABLE: repeatability.state,
        "dataset": str(data.metadata.get("scenario", data.path.name)),
        "python": platform.python_version(),
        "HiggsML": package_version("higgsml-uncertainty"),
        **{name: package_version(name) for name in packages},
    }


def _notices(store: EventStore, repeatability: Repeatability) -> list[str]:
    notices = []
    if repeatability.why:
        what = "An answer must not depend on others" if repeatability.state == "no" else "Unknown"
        notices.append(f"{what}: {repeatability.why}.")
    poor = {name: n for name, n in store.effective_repeats().items() if n < MIN_REPEATS}
    if not poor:
        return notices
    listed = ", ".join(f"{name} {number:.2g}" for name, number in poor.items())
    return [
        *notices,
        "The test set is small: it holds fewer than "
        f"{MIN_REPEATS:.0f} simulated events per expected event ({listed}). Pseudo-experiments "
        "repeat the same events, so these scores test the software, not a method.",
    ]
