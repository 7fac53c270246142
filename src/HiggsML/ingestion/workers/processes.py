"""Executors on this computer: one process of the submission, or several of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

from HiggsML.ingestion.workers.worker import Answers, Task, Worker
from HiggsML.results import Answer

__all__ = ["LocalProcesses", "ThisProcess"]


class ThisProcess:
    """Runs tasks one after the other, with a submission that has been fitted already.

    Parameters
    ----------
    worker : Worker
        Its sandbox is the caller's to close.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.lacking: dict[str, str] = {}

    def run(self, tasks: Iterable[Task]) -> Answers:
        """Yield each task with its answer, in order."""
        yield from self._worker.run_all(tasks)


class LocalProcesses:
    """Runs tasks in several processes of the submission, each served by a thread of this process.

    The submission's processes are the ones that take time. A thread is enough to make the events
    for one: NumPy releases the interpreter lock meanwhile, and all share one copy of the test set.

    Parameters
    ----------
    workers : sequence of Worker
        One for each process; their sandboxes are the caller's to close.
    state : bytes
        The fitted Model, see :meth:`HiggsML.isolation.sandbox.Sandbox.state`.
    """

    def __init__(self, workers: Sequence[Worker], state: bytes) -> None:
        self._workers = workers
        self._state = state
        self.lacking: dict[str, str] = {}

    def run(self, tasks: Iterable[Task]) -> Answers:
        """Yield each task with its answer, as they are ready.

        Raises
        ------
        SubmissionError
            The first failure of the submission; the other workers are then stopped.
        """
        todo = _Shared(tasks)
        ready: SimpleQueue[tuple[Task, Answer] | BaseException | None] = SimpleQueue()

        def serve(worker: Worker) -> None:
            end = None
            try:
                worker.restore(self._state)
                for answer in worker.run_all(todo):
                    ready.put(answer)
            except BaseException as error:
                end = error
            ready.put(end)

        with ThreadPoolExecutor(len(self._workers)) as pool:
            try:
                running = {pool.submit(serve, worker) for worker in self._workers}
                for _ in range(len(running)):
                    # What came before a failure is handed over before it.
                    while (item := ready.get()) is not None:
                        if isinstance(item, BaseException):
                            raise item
                        yield item
            finally:
                todo.stop()
                # Whoever waits for an answer of a submission that is ended waits no longer.
                for worker in self._workers:
                    worker.kill()


class _Shared:
    """An iterator that several threads take from, until it is stopped."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = iter(tasks)
        self._lock = threading.Lock()
        self._stopped = False

    def __iter__(self) -> Iterator[Task]:
        return self

    def __next__(self) -> Task:
        with self._lock:
            if self._stopped:
                raise StopIteration
            return next(self._tasks)

    def stop(self) -> None:
        self._stopped = True
