"""A round of a ranking: submissions that measure together what is made once for all of them."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, NamedTuple

from HiggsML.datasets.reader import Data
from HiggsML.errors import CheckpointError, HiggsMLError, SubmissionError
from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.ingestion.checkpoint import checkpoint_path
from HiggsML.ingestion.repeatability import chosen
from HiggsML.ingestion.workers import Draws, Participant, SharedExperiments, Surroundings, Task
from HiggsML.isolation.budget.budgets import available_processors
from HiggsML.machine import machine_memory
from HiggsML.pseudo_experiments.seeds import draw_order
from HiggsML.pseudo_experiments.store import EventStore

__all__ = [
    "Count",
    "Ended",
    "Job",
    "Measure",
    "on_its_own",
    "one_by_one",
    "run_round",
    "size_of_round",
]

logger = logging.getLogger(__name__)

_MEMORY = 2 << 30
"""Bytes that a submission is thought to need where no budget says it."""

_SHARE_OF_MACHINE = 0.8

Report = Callable[[str, str, int, int], None]
"""Called with a submission's name, a stage, and how many of how many steps are done."""


Ended = Callable[[str, SubmissionError | None], None]
"""Called when a submission has ended, with its failure if there is one."""

Measure = Callable[[IngestionOptions, Callable[[str, int, int], None], IO[str]], object]
"""Runs one submission where nothing is shared: gets options, progress and log."""


@dataclass(frozen=True)
class Job:
    """A submission to run: its options name the opened folder, the output and the entropy."""

    name: str
    options: IngestionOptions
    log: Path


class Count(NamedTuple):
    """How many pseudo-experiments were made, and how often one was shown to a submission."""

    made: int = 0
    shown: int = 0

    def __add__(self, other: object) -> Count:
        if not isinstance(other, Count):
            return NotImplemented
        return Count(self.made + other.made, self.shown + other.shown)


def size_of_round(options: IngestionOptions) -> int:
    """Return how many submissions fit into this machine's memory at a time."""
    each = options.budgets.memory_bytes or _MEMORY
    return max(1, int(_SHARE_OF_MACHINE * machine_memory() / each))


def run_round(jobs: Sequence[Job], report: Report, ended: Ended) -> Count:
    """Run submissions together; every pseudo-experiment is made once and shown to all.

    Parameters
    ----------
    jobs : sequence of Job
        All with the same dataset, numbers and seed.
    report : callable
        Told how far each is; from several threads.
    ended : callable
        Told, one at a time and in this thread, that a submission has ended. One that fails costs
        the others nothing.

    Raises
    ------
    HiggsMLError
        If something other than a submission is at fault; all are stopped.
    """
    options = jobs[0].options
    workers = options.workers or available_processors()
    shared = _shared(options, workers)
    each = replace(
        options.budgets,
        memory_bytes=options.budgets.memory_bytes
        or int(_SHARE_OF_MACHINE * machine_memory() / len(jobs)),
    )
    with ThreadPoolExecutor(len(jobs)) as pool, contextlib.ExitStack() as logs:
        running: dict[Future[None], str] = {}
        taking_part = []
        for job in jobs:
            log = logs.enter_context(_opened(job.log))
            mine = replace(job.options, workers=max(1, workers // len(jobs)), budgets=each)
            participant = shared.join(job.name, deadline=options.deadline, log=log)
            taking_part.append((replace(job, options=mine), participant, log))
        for job, participant, log in taking_part:
            running[pool.submit(_run, job, participant, log, report)] = job.name
        try:
            for future in as_completed(running):
                _tell(future, running[future], ended)
        except BaseException:
            shared.stop()
            raise
    return Count(shared.made, shared.shown)


def one_by_one(jobs: Sequence[Job], measure: Measure, report: Report, ended: Ended) -> Count:
    """Run submissions one after the other; each makes its pseudo-experiments anew."""
    count = Count()
    for job in jobs:
        future: Future[None] = Future()
        with _opened(job.log) as log, _logged(job.name, log):

            def tell(stage: str, done: int, total: int, name: str = job.name) -> None:
                report(name, stage, done, total)

            try:
                measure(job.options, tell, log)
                total = job.options.num_of_sets * job.options.num_pseudo_experiments
                count += Count(total, total)
                future.set_result(None)
            except SubmissionError as error:
                print(error, file=log)
                future.set_exception(error)
        _tell(future, job.name, ended)
    return count


def on_its_own(
    options: IngestionOptions, report: Callable[[str, int, int], None], log: IO[str]
) -> None:
    """Run one submission that shares nothing, on a cluster say."""
    run_ingestion(options, report, surroundings=Surroundings(options.deadline, log))


def _shared(options: IngestionOptions, workers: int) -> SharedExperiments:
    assert options.seed is not None  # noqa: S101 (the ranking's entropy)
    numbers = options.num_of_sets, options.num_pseudo_experiments
    order = [Task._make(task) for task in draw_order(options.seed, *numbers)]
    return SharedExperiments(
        EventStore.from_data(Data(options.input_dir, options.test_size)),
        Draws(options.seed, options.enabled),
        order=order,
        again=chosen(options.seed, order) if options.repeatable != "off" else (),
        workers=workers,
    )


def _run(job: Job, participant: Participant, log: IO[str], report: Report) -> None:
    """Run one submission of a round, in a thread of its own."""

    def tell(stage: str, done: int, total: int) -> None:
        report(job.name, stage, done, total)

    def run(options: IngestionOptions) -> None:
        run_ingestion(options, tell, surroundings=participant)

    with contextlib.ExitStack() as stack:
        stack.callback(participant.leave)
        stack.enter_context(_logged(job.name, log))
        try:
            try:
                run(job.options)
            except CheckpointError as error:
                logger.warning("%s starts over: %s", job.name, error)
                checkpoint_path(job.options.output).unlink(missing_ok=True)
                run(replace(job.options, resume=False))
        except HiggsMLError as error:
            print(error, file=log)
            raise


def _tell(future: Future[None], name: str, ended: Ended) -> None:
    error = future.exception()
    if error is not None and not isinstance(error, SubmissionError):
        raise error
    ended(name, error)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    """Open the log of a run: what was there before an interruption stays."""
    with path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1) as log:
        yield log


@contextlib.contextmanager
def _logged(name: str, log: IO[str]) -> Iterator[None]:
    """Copy what this thread logs into the log of a run, and name the run in it."""
    thread = threading.get_ident()

    def mine(record: logging.LogRecord) -> bool:
        return record.thread == thread

    handler = logging.StreamHandler(log)
    handler.addFilter(mine)
    ours = logging.getLogger("HiggsML")
    ours.addHandler(handler)
    try:
        yield
    finally:
        ours.removeHandler(handler)
