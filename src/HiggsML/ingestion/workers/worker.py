"""What every executor has in common: tasks, settings, and the worker that runs one task.

A worker is trusted. It makes the events of a pseudo-experiment, and asks a submission in a sandbox
of its own to measure them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple, Protocol

from HiggsML.errors import PredictionError, SubmissionError, TimeLimitError
from HiggsML.isolation.budget.budgets import Budgets
from HiggsML.isolation.cage.restrict import IsolationMode
from HiggsML.isolation.sandbox import Sandbox
from HiggsML.isolation.wire.shared_memory import SharedBlock
from HiggsML.pseudo_experiments.event_loop import Plan
from HiggsML.pseudo_experiments.seeds import (
    Purpose,
    draw_mu,
    experiment_nuisances,
    model_seed,
    seed_sequence,
)
from HiggsML.pseudo_experiments.store import EventStore
from HiggsML.results import Answer
from HiggsML.submission.value import Submission

__all__ = [
    "Answers",
    "Draws",
    "Executor",
    "Task",
    "Worker",
    "WorkerSettings",
    "deadline_in",
    "seconds_left",
]


class Task(NamedTuple):
    """One pseudo-experiment: which set, and which one in it."""

    set_index: int
    experiment: int


Answers = Generator[tuple[Task, Answer], None, None]


class Executor(Protocol):
    """Something that runs pseudo-experiments.

    Attributes
    ----------
    lacking : dict of str to str
        Protections that a worker elsewhere could not give the submission, and why; known in the
        end.
    """

    lacking: dict[str, str]

    def run(self, tasks: Iterable[Task]) -> Answers:
        """Yield each task with its answer, in any order.

        The first failure of the submission is raised, and what has not started never does. Closing
        the generator early ends everything that was started.
        """
        ...


@dataclass(frozen=True)
class Draws:
    """What decides the truth of every pseudo-experiment; never leaves trusted processes."""

    seed: int
    enabled: Mapping[str, bool]

    def plan(self, store: EventStore, task: Task) -> Plan:
        """Draw the number of events of a pseudo-experiment."""
        return store.plan(
            mu=draw_mu(self.seed, task.set_index),
            nuisances=experiment_nuisances(self.seed, *task, self.enabled),
            seed=seed_sequence(self.seed, Purpose.EVENTS, *task),
        )


@dataclass(frozen=True)
class WorkerSettings:
    """All that a worker on another machine needs to set itself up.

    Attributes
    ----------
    input_dir, test_size
        The dataset, as for :class:`HiggsML.datasets.reader.Data`.
    submission : Submission
        On the client's machine.
    state : bytes
        The fitted Model, see :meth:`HiggsML.isolation.sandbox.Sandbox.state`.
    draws : Draws
        Seed and systematics.
    isolation : {"require", "prefer", "off"}
        See :class:`HiggsML.isolation.sandbox.Sandbox`.
    threads : int
        Threads of the submission's numerical libraries.
    deadline : float or None
        When everything must have ended, on the clock of :func:`time.monotonic`.
    budgets : Budgets
        What the submission may use.
    """

    input_dir: Path
    test_size: float
    submission: Submission
    state: bytes
    draws: Draws
    isolation: IsolationMode
    threads: int
    deadline: float | None
    budgets: Budgets


class Worker:
    """Makes pseudo-experiments and has a fitted submission measure them.

    Parameters
    ----------
    store : EventStore
        The test events.
    sandbox : Sandbox
        Holds the submission; the caller closes it.
    draws : Draws
        Seed and systematics.
    deadline : float, optional
        When everything must have ended, on the clock of :func:`time.monotonic`.
    threads : int
        How many make a pseudo-experiment.
    """

    def __init__(
        self,
        store: EventStore,
        sandbox: Sandbox,
        draws: Draws,
        deadline: float | None,
        threads: int = 1,
    ) -> None:
        self._store = store
        self._threads = threads
        self._sandbox = sandbox
        self.draws = draws
        self.deadline = deadline

    def restore(self, state: bytes) -> None:
        """Hand a Model that was fitted elsewhere to the submission's process."""
        self._sandbox.restore(state, timeout=self.left())

    def left(self) -> float | None:
        """Return the seconds until everything must have ended; None without a deadline."""
        return seconds_left(self.deadline)

    def run_all(self, tasks: Iterable[Task]) -> Answers:
        """Yield each task with the submission's answer, in order.

        The next pseudo-experiment is made while one is measured.

        Raises
        ------
        SubmissionError
            If the submission fails; the message names the pseudo-experiment.
        """
        todo, blocks = iter(tasks), cycle((0, 1))
        ahead: deque[tuple[Task, int, Future[int]]] = deque()

        with ThreadPoolExecutor(1) as maker:

            def make_next() -> None:
                for task in islice(todo, 1):
                    block = next(blocks)
                    ahead.append((task, block, maker.submit(self._make, task, block)))

            make_next()
            while ahead:
                task, block, made = ahead.popleft()
                n_events = made.result()
                make_next()
                yield task, self._measure(task, block, n_events)

    def run(self, task: Task) -> Answer:
        """Make one pseudo-experiment and return the submission's answer.

        Raises
        ------
        SubmissionError
            If the submission fails; the message names the pseudo-experiment.
        """
        return self._measure(task, 0, self._make(task, 0))

    def _make(self, task: Task, block: int) -> int:
        """Put the events of a pseudo-experiment into a block, and return their number."""
        plan = self.draws.plan(self._store, task)
        features = self._sandbox.block(plan.n_events, block)
        self._store.fill(plan, features, threads=self._threads)
        return plan.n_events

    def _measure(self, task: Task, block: int | SharedBlock, n_events: int) -> Answer:
        try:
            return self._sandbox.predict(
                n_events,
                block,
                seed=model_seed(self.draws.seed, *task),
                timeout=self.left(),
            )
        except (PredictionError, TimeLimitError, SubmissionError) as error:
            where = f"set {task.set_index}, pseudo-experiment {task.experiment}"
            raise type(error)(f"{where}: {error}") from None

    def lacking(self) -> dict[str, str]:
        """Return the protections that the submission runs without, and why."""
        return {name: state for name, state in self._sandbox.report.items() if state != "on"}

    def kill(self) -> None:
        """End the submission's process, even while another thread uses it."""
        self._sandbox.kill()


def deadline_in(seconds: float | None) -> float | None:
    """Return the time, on the clock of :func:`time.monotonic`, at which ``seconds`` have passed."""
    return None if seconds is None else time.monotonic() + seconds


def seconds_left(deadline: float | None) -> float | None:
    """Return the seconds until a time, at least none of them; None without a deadline."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())
