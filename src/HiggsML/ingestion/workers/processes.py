"""Executors on this computer: one process of the submission, or several of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from queue import SimpleQueue

from HiggsML.ingestion.workers.worker import Answer, Answers, Task, Worker

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
        for task in tasks:
            yield task, self._worker.run(task)


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
        workers = self._workers
        idle: SimpleQueue[Worker] = SimpleQueue()

        def restore(worker: Worker) -> None:
            worker.restore(self._state)
            idle.put(worker)

        def run(task: Task) -> Answer:
            worker = idle.get()
            try:
                return worker.run(task)
            finally:
                idle.put(worker)

        todo = iter(tasks)
        running: dict[Future[Answer], Task] = {}
        with ThreadPoolExecutor(len(workers)) as pool:
            try:
                for restored in [pool.submit(restore, worker) for worker in workers]:
                    restored.result()
                while True:
                    for task in islice(todo, 2 * len(workers) - len(running)):
                        running[pool.submit(run, task)] = task
                    if not running:
                        return
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    # A failure ends the iteration: what else is ready is handed over before it.
                    for future in sorted(done, key=lambda one: one.exception() is not None):
                        yield running.pop(future), future.result()
            finally:
                # Whoever waits for an answer of a submission that is ended waits no longer.
                pool.shutdown(wait=False, cancel_futures=True)
                for worker in workers:
                    worker.kill()
