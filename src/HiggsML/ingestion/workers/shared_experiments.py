"""Pseudo-experiments that several runs measure at the same time: each is made once, shown to all.

All runs draw from one seed, so they measure the same pseudo-experiments in the same order. Whoever
comes to one first makes it, in memory that is written once and is final before anybody sees it. It
is kept until all have gone past it. Nobody gets further ahead of the slowest than a few, so that
little is kept; and so many runs work at a time as there are processors.

Waiting for others never costs a run its time: only its own turns count. One that takes far longer
than the others is left behind: they go on, and it makes its pseudo-experiments itself. So what
is shown to whom depends on the clock; what is in a pseudo-experiment does not.
"""

from __future__ import annotations

import contextlib
import logging
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from HiggsML.datasets.reader import Data
from HiggsML.errors import HiggsMLError
from HiggsML.ingestion.workers.surroundings import Surroundings
from HiggsML.ingestion.workers.worker import Answers, Draws, Task, Worker, seconds_left
from HiggsML.isolation.sandbox import Sandbox
from HiggsML.isolation.wire.shared_memory import SharedBlock
from HiggsML.pseudo_experiments.store import EventStore
from HiggsML.results import Answer

__all__ = ["Participant", "SharedExperiments"]

logger = logging.getLogger(__name__)

_AHEAD = 4
"""Pseudo-experiments by which one may be ahead of the slowest, for each that works at a time."""

_FIT_PATIENCE = 600.0  # s
_FIRST_PATIENCE = 120.0  # s, while no prediction has ended
_LEAST_PATIENCE, _TIMES_TYPICAL = 30.0, 20
"""A prediction holds the others up for so many seconds, and so many times the typical one."""

_LOOK = 0.5  # s between two looks at whoever holds up the others


@dataclass(eq=False)
class _Seat:
    """A thread of a run: where it is, and since when it works."""

    position: int
    fits: bool = False
    since: float | None = None
    lent: bool = False
    """Whether somebody else has got its turn meanwhile."""


@dataclass(eq=False)
class _Shown:
    """A pseudo-experiment; ``block`` is None while it is made."""

    block: SharedBlock | None = None
    n_events: int = 0
    users: int = 0
    over: bool = False
    """Whether nobody will ask for it any more."""

    def close(self) -> None:
        if self.over and not self.users and self.block is not None:
            self.block.close()
            self.block = None


class SharedExperiments:
    """The pseudo-experiments of a round of runs.

    Parameters
    ----------
    store : EventStore
        The test events.
    draws : Draws
        Seed and systematics.
    order : sequence of Task
        All pseudo-experiments, in the order in which every run measures them.
    again : sequence of Task
        Those that are asked again then, in their order.
    workers : int
        How many may work at a time.

    Attributes
    ----------
    made, shown : int
        How many pseudo-experiments were made, and how often one was shown.
    """

    def __init__(
        self,
        store: EventStore,
        draws: Draws,
        *,
        order: Iterable[Task],
        again: Sequence[Task],
        workers: int,
    ) -> None:
        self.made = self.shown = 0
        self.store = store
        self._draws = draws
        first = {(False, task): number for number, task in enumerate(order)}
        self._positions = first | {
            (True, task): len(first) + number for number, task in enumerate(again)
        }
        self._workers, self._working = workers, 0
        self._condition = threading.Condition()
        self._participants: list[Participant] = []
        self._kept: dict[int, _Shown] = {}
        self._durations: deque[float] = deque(maxlen=200)
        self._stopped = False

    def join(
        self, name: str, *, deadline: float | None = None, log: IO[str] | None = None
    ) -> Participant:
        """Let a run take part; all join before the first one begins.

        Parameters
        ----------
        name : str
            For messages.
        deadline : float, optional
            Seconds that the run has; waiting for others does not count.
        log : text stream, optional
            Where the submission's output goes.
        """
        participant = Participant(self, name, deadline, log)
        self._participants.append(participant)
        return participant

    def leave(self, participant: Participant) -> None:
        """Go on without a run, which has ended."""
        with self._condition:
            self._participants.remove(participant)
            self._drop()

    def stop(self) -> None:
        """End the processes of all runs; they fail."""
        with self._condition:
            self._stopped = True
            for participant in self._participants:
                participant.kill()
            self._condition.notify_all()

    @contextlib.contextmanager
    def turn(self, participant: Participant, seat: _Seat) -> Iterator[None]:
        """Wait for a turn, and take it."""
        participant.raise_if_stopped()
        with self._condition:
            while not self._is_free():
                self._wait()
            self._working += 1
        try:
            with self._timed(participant, seat):
                yield
        finally:
            self._end_turn(seat)

    @contextlib.contextmanager
    def show(self, participant: Participant, seat: _Seat, task: Task) -> Iterator[_Shown]:
        """Give a pseudo-experiment, in a turn; make it unless it is kept."""
        participant.raise_if_stopped()
        position = self._positions.get((participant.again, task))
        with self._condition:
            shown = self._waited_for(participant, seat, position)
            self._working += 1
            self.shown += 1
        try:
            if shown.block is None:
                self._make(shown, task)
            with self._timed(participant, seat) as started:
                yield shown
            self._durations.append(time.monotonic() - started)
        finally:
            with self._condition:
                if shown.block is None and self._kept.get(position or 0) is shown:
                    del self._kept[position or 0]  # it could not be made
                shown.users -= 1
                shown.close()
            self._end_turn(seat)

    @contextlib.contextmanager
    def _timed(self, participant: Participant, seat: _Seat) -> Iterator[float]:
        """Let the time count that a run works."""
        with self._condition:
            seat.since = time.monotonic()
            participant.begin_work()
        try:
            yield seat.since
        finally:
            with self._condition:
                seat.since = None
                participant.end_work()

    def _end_turn(self, seat: _Seat) -> None:
        with self._condition:
            if not seat.lent:
                self._working -= 1
            seat.lent = False
            self._condition.notify_all()

    def _make(self, shown: _Shown, task: Task) -> None:
        plan = self._draws.plan(self.store, task)
        block = SharedBlock(plan.n_events)
        self.store.fill(plan, block.array(plan.n_events))
        with self._condition:
            shown.block, shown.n_events = block, plan.n_events
            self.made += 1
            self._condition.notify_all()

    # All that follows is called with the condition held.

    def _waited_for(self, participant: Participant, seat: _Seat, position: int | None) -> _Shown:
        """Wait until a run may see a pseudo-experiment, and return it, made or not."""
        if position is None or position < seat.position:  # it has been there already
            position = None
        else:
            seat.position = position
            self._drop()
        while True:
            if position is None or participant.alone:
                if self._is_free():
                    return _Shown(users=1, over=True)
            elif self._is_free() and position < self._slowest() + _AHEAD * self._workers:
                shown = self._kept.get(position)
                if shown is None:
                    shown = self._kept[position] = _Shown()
                elif shown.block is None:  # somebody makes it
                    self._wait()
                    continue
                shown.users += 1
                return shown
            self._wait()

    def _is_free(self) -> bool:
        return self._working < self._workers

    def _wait(self) -> None:
        if self._stopped:
            raise HiggsMLError("the run was stopped")
        self._condition.wait(_LOOK)
        self._leave_behind()

    def _slowest(self) -> int:
        """Return where the one is that is last of all that go together."""
        together = (one.position() for one in self._participants if not one.alone)
        return min(together, default=len(self._positions))

    def _drop(self) -> None:
        """Give up what nobody needs any more."""
        slowest = self._slowest()
        for position in [number for number in self._kept if number < slowest]:
            shown = self._kept.pop(position)
            shown.over = True
            shown.close()
        self._condition.notify_all()

    def _leave_behind(self) -> None:
        """Let others go on if somebody holds them up for long."""
        now = time.monotonic()
        for participant in self._participants:
            for seat in participant.seats:
                if seat.since is None or seat.lent or now - seat.since < self._patience(seat):
                    continue
                seat.lent = True
                self._working -= 1
                if not participant.alone:
                    participant.alone = True
                    logger.info("%s takes long: the others go on without it", participant.name)
                self._drop()

    def _patience(self, seat: _Seat) -> float:
        if seat.fits:
            return _FIT_PATIENCE
        if not self._durations:
            return _FIRST_PATIENCE
        return max(_LEAST_PATIENCE, _TIMES_TYPICAL * statistics.median(self._durations))


class Participant(Surroundings):
    """A run that measures together with others; see :meth:`SharedExperiments.join`."""

    shared = True

    def __init__(
        self, experiments: SharedExperiments, name: str, deadline: float | None, log: IO[str] | None
    ) -> None:
        super().__init__(None, log)
        self.name = name
        self.alone = self.again = False
        self.seats: list[_Seat] = []
        self._experiments = experiments
        self._limit = deadline
        self._floor = 0
        self._sandboxes: list[Sandbox] = []
        self._working, self._since, self._seconds = 0, 0.0, 0.0
        self._killed = False

    @property
    def deadline(self) -> float | None:
        """When the run must have ended if it needs not wait any more."""
        return None if self._limit is None else time.monotonic() + self._limit - self.seconds()

    def seconds(self) -> float:
        """Return how long the run has worked; waiting for others does not count."""
        return self._seconds + (time.monotonic() - self._since if self._working else 0.0)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until the run may work on something other than predictions."""
        with self._seat(fits=True) as seat, self._experiments.turn(self, seat):
            yield

    def begin_again(self) -> None:
        """Take note that what follows are the pseudo-experiments that are asked again."""
        self.again = True

    def raise_if_stopped(self) -> None:
        """Refuse to write results of a run whose processes were ended from outside."""
        if self._killed:
            raise HiggsMLError("the run was stopped")

    def add(self, sandbox: Sandbox) -> None:
        """Take note of a process of the submission."""
        self._sandboxes.append(sandbox)
        if self._killed:
            sandbox.kill()

    def kill(self) -> None:
        """End all processes of the submission."""
        self._killed = True
        for sandbox in list(self._sandboxes):
            sandbox.kill()

    def store(self, data: Data, progress: Callable[[int, int | None], None]) -> EventStore:
        """Return the test events that all share."""
        return self._experiments.store

    def worker(self, store: EventStore, sandbox: Sandbox, draws: Draws, threads: int = 1) -> Worker:
        """Return what has a process of the submission measure pseudo-experiments.

        Whichever runs work at a time make them, each with one thread.
        """
        return _SharingWorker(self, self._experiments, sandbox, draws)

    def leave(self) -> None:
        """Take part no more."""
        self._experiments.leave(self)

    def position(self) -> int:
        """Return the first pseudo-experiment that the run may still ask for."""
        return min((seat.position for seat in self.seats), default=self._floor)

    def begin_work(self) -> None:
        """Let the time count."""
        if not self._working:
            self._since = time.monotonic()
        self._working += 1

    def end_work(self) -> None:
        """Let the time not count any more."""
        self._working -= 1
        if not self._working:
            self._seconds += time.monotonic() - self._since

    @contextlib.contextmanager
    def _seat(self, *, fits: bool = False) -> Iterator[_Seat]:
        seat = _Seat(self.position(), fits)
        self.seats.append(seat)
        try:
            yield seat
        finally:
            self._floor = max(self._floor, seat.position)
            self.seats.remove(seat)

    def measure(self, worker: _SharingWorker, tasks: Iterable[Task]) -> Answers:
        """Yield each task with a worker's answer, in order."""
        with self._seat() as seat:
            for task in tasks:
                with self._experiments.show(self, seat, task) as shown:
                    answer = worker.answer(task, shown)
                yield task, answer


class _SharingWorker(Worker):
    """Has a submission measure what is shown to others, too."""

    def __init__(
        self,
        participant: Participant,
        experiments: SharedExperiments,
        sandbox: Sandbox,
        draws: Draws,
    ) -> None:
        super().__init__(experiments.store, sandbox, draws, None)
        self._participant = participant

    def left(self) -> float | None:
        return seconds_left(self._participant.deadline)

    def restore(self, state: bytes) -> None:
        with self._participant.turn():
            super().restore(state)

    def run_all(self, tasks: Iterable[Task]) -> Answers:
        yield from self._participant.measure(self, tasks)

    def answer(self, task: Task, shown: _Shown) -> Answer:
        assert shown.block is not None  # noqa: S101 (it was made)
        return self._measure(task, shown.block, shown.n_events)
