"""Where pseudo-experiments run: in this process, or in local worker processes.

A worker is trusted. It makes the events of a pseudo-experiment, and asks a submission in a sandbox
of its own to measure them. Which worker does what, and when, changes no number.
"""

from __future__ import annotations

import atexit
import multiprocessing
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from HiggsML.datasets import Data
from HiggsML.errors import HiggsMLError, PredictionError, SubmissionError, TimeLimitError
from HiggsML.isolation.budgets import Budgets
from HiggsML.isolation.sandbox import IsolationMode, Sandbox
from HiggsML.pseudo_experiments import (
    EventStore,
    Purpose,
    draw_mu,
    experiment_nuisances,
    seed_sequence,
)

__all__ = ["Draws", "Task", "Worker", "WorkerSettings", "run_here", "run_in_processes"]

Answer = dict[str, float]


class Task(NamedTuple):
    """One pseudo-experiment: which set, and which one in it."""

    set_index: int
    experiment: int


@dataclass(frozen=True)
class Draws:
    """What decides the truth of every pseudo-experiment; never leaves trusted processes."""

    entropy: int
    systematics: Mapping[str, bool]


@dataclass(frozen=True)
class WorkerSettings:
    """All that a worker process needs to set itself up."""

    input_dir: Path
    test_size: float
    submission: Path
    state: bytes
    draws: Draws
    isolation: IsolationMode
    threads: int
    deadline: float | None  # time.time() at which everything must have ended
    budgets: Budgets


class Worker:
    """Makes pseudo-experiments and has a fitted submission measure them.

    Parameters
    ----------
    store : EventStore
        The test events.
    sandbox : Sandbox
        Holds the fitted submission.
    draws : Draws
        Seed and systematics.
    deadline : float, optional
        When everything must have ended, on the clock of :func:`time.time`.
    """

    def __init__(
        self, store: EventStore, sandbox: Sandbox, draws: Draws, deadline: float | None
    ) -> None:
        self._store = store
        self._sandbox = sandbox
        self._draws = draws
        self._deadline = deadline

    def run(self, task: Task) -> Answer:
        """Make one pseudo-experiment and return the submission's answer.

        Raises
        ------
        SubmissionError
            If the submission fails; the message names the pseudo-experiment.
        """
        entropy = self._draws.entropy
        plan = self._store.plan(
            mu=draw_mu(entropy, task.set_index),
            nuisances=experiment_nuisances(entropy, *task, self._draws.systematics),
            seed=seed_sequence(entropy, Purpose.EVENTS, *task),
        )
        self._store.fill(plan, self._sandbox.block(plan.n_events))
        try:
            return self._sandbox.predict(plan.n_events, timeout=seconds_left(self._deadline))
        except (PredictionError, TimeLimitError, SubmissionError) as error:
            where = f"set {task.set_index}, pseudo-experiment {task.experiment}"
            raise type(error)(f"{where}: {error}") from None


def seconds_left(deadline: float | None) -> float | None:
    """Return the seconds until a time, at least none of them; None without a deadline."""
    return None if deadline is None else max(0.0, deadline - time.time())


def run_here(worker: Worker, tasks: Iterable[Task]) -> Iterator[tuple[Task, Answer]]:
    """Run tasks one after the other in this process."""
    for task in tasks:
        yield task, worker.run(task)


def run_in_processes(
    settings: WorkerSettings, tasks: Iterable[Task], n_workers: int
) -> Iterator[tuple[Task, Answer]]:
    """Run tasks in worker processes; results come as they are ready.

    Raises
    ------
    SubmissionError
        The first failure of the submission; the other workers are then stopped.
    """
    # Started afresh: a forked copy would share the parent's threads' locks and open files.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, context, _set_up, (settings,)) as pool:
        todo = iter(tasks)
        running: dict[Future[Answer], Task] = {}
        try:
            while True:
                for task in islice(todo, 2 * n_workers - len(running)):
                    running[pool.submit(_run, task)] = task
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield running.pop(future), future.result()
        except BrokenProcessPool:
            raise SubmissionError(
                "a worker process ended unexpectedly (out of memory, or started from a script "
                "without \"if __name__ == '__main__'\"?): try fewer workers"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_worker: Worker | None = None
_set_up_error: HiggsMLError | None = None


def _set_up(settings: WorkerSettings) -> None:
    """Prepare this worker process; an error is kept for the first task, which can report it."""
    global _worker, _set_up_error
    try:
        sandbox = Sandbox(
            settings.submission,
            isolation=settings.isolation,
            threads=settings.threads,
            budgets=settings.budgets,
        )
        atexit.register(sandbox.close)
        sandbox.restore(settings.state, timeout=seconds_left(settings.deadline))
        store = EventStore.from_data(Data(settings.input_dir, settings.test_size))
        _worker = Worker(store, sandbox, settings.draws, settings.deadline)
    except HiggsMLError as error:
        _set_up_error = error


def _run(task: Task) -> Answer:
    if _set_up_error is not None:
        raise _set_up_error
    assert _worker is not None  # noqa: S101 (the initializer has run)
    return _worker.run(task)
