"""What a run has for itself: all of the time, and pseudo-experiments that nobody else measures.

A run that measures together with others has instead a
:class:`~HiggsML.ingestion.workers.shared_experiments.Participant`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import IO

from HiggsML.datasets.reader import Data
from HiggsML.ingestion.workers.worker import Draws, Worker, deadline_in
from HiggsML.isolation.sandbox import Sandbox
from HiggsML.pseudo_experiments.store import EventStore

__all__ = ["Surroundings"]


class Surroundings:
    """A run on its own.

    Parameters
    ----------
    deadline : float, optional
        Seconds that the run has.
    log : text stream, optional
        Where the submission's output goes; standard error by default.
    """

    shared = False
    """Whether other runs measure at the same time."""

    def __init__(self, deadline: float | None = None, log: IO[str] | None = None) -> None:
        self.log = log
        self._deadline = deadline_in(deadline)
        self._started = time.monotonic()

    @property
    def deadline(self) -> float | None:
        """When the run must have ended, on the clock of :func:`time.monotonic`."""
        return self._deadline

    def seconds(self) -> float:
        """Return how long the run has worked."""
        return time.monotonic() - self._started

    def turn(self) -> contextlib.AbstractContextManager[object]:
        """Wait until the run may work on something other than predictions."""
        return contextlib.nullcontext()

    def begin_again(self) -> None:
        """Take note that what follows are the pseudo-experiments that are asked again."""

    def raise_if_stopped(self) -> None:
        """Refuse to write results of a run whose processes were ended from outside."""

    def add(self, sandbox: Sandbox) -> None:
        """Take note of a process of the submission."""

    def store(self, data: Data, progress: Callable[[int, int | None], None]) -> EventStore:
        """Return the test events."""
        return EventStore.from_data(data, progress)

    def worker(self, store: EventStore, sandbox: Sandbox, draws: Draws, threads: int = 1) -> Worker:
        """Return what has a process of the submission measure pseudo-experiments."""
        return Worker(store, sandbox, draws, self.deadline, threads)
