"""Executors on this computer: this process, and worker processes."""

from __future__ import annotations

import atexit
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

from HiggsML.datasets import Data
from HiggsML.errors import HiggsMLError, SubmissionError
from HiggsML.executors.worker import Answer, Answers, Task, Worker, WorkerSettings, open_store
from HiggsML.isolation.restrict import protect_parent

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
    """Runs tasks in worker processes of this computer.

    Parameters
    ----------
    settings : WorkerSettings
        What each worker sets up for itself.
    n_workers : int
        How many.
    """

    def __init__(self, settings: WorkerSettings, n_workers: int) -> None:
        self._settings = settings
        self._n_workers = n_workers
        self.lacking: dict[str, str] = {}

    def run(self, tasks: Iterable[Task]) -> Answers:
        """Yield each task with its answer, as they are ready.

        Raises
        ------
        SubmissionError
            The first failure of the submission; the other workers are then stopped.
        """
        # Started afresh: a forked copy would share the parent's threads' locks and open files.
        context = multiprocessing.get_context("spawn")
        arguments = (self._n_workers, context, _set_up, (self._settings,))
        with ProcessPoolExecutor(*arguments) as pool:
            todo = iter(tasks)
            running: dict[Future[Answer], Task] = {}
            try:
                while True:
                    for task in islice(todo, 2 * self._n_workers - len(running)):
                        running[pool.submit(_run, task)] = task
                    if not running:
                        return
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    # A failure ends the iteration: what else is ready is handed over before it.
                    for future in sorted(done, key=lambda one: one.exception() is not None):
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
    protect_parent()  # at once: the settings that it was started with hold the entropy
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        store = open_store(Data(settings.input_dir, settings.test_size))
        _worker = Worker.restored(settings, store, settings.submission)
        atexit.register(_worker.close)
    except HiggsMLError as error:
        _set_up_error = error


def _end_with_parent() -> None:
    """End this process when the one that started it is killed: the pool itself would wait on."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 (this runs in a child)
    multiprocessing.connection.wait([parent.sentinel])
    if _worker is not None:
        _worker.close()
    os._exit(1)


def _run(task: Task) -> Answer:
    if _set_up_error is not None:
        raise _set_up_error
    assert _worker is not None  # noqa: S101 (the initializer has run)
    return _worker.run(task)
