"""Executor on a Dask cluster, which decides what runs where and repeats what a lost worker had.

Nothing but the dataset has to be on the cluster's machines: the submission's files and the fitted
Model are sent along, and the submission runs in a sandbox there too. The dataset is opened by each
worker under the path given to the client, and must be the same file.

What lives on a worker lives as long as the client's future of it: when the client ends, however
that happens, Dask drops the object, and with it go the sandboxes.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import importlib
import io
import logging
import socket
import tempfile
import threading
import uuid
import warnings
import weakref
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from HiggsML.datasets.identity import data_identity
from HiggsML.datasets.reader import Data
from HiggsML.errors import ClusterError, DataError, HiggsMLError, SettingsError, TimeLimitError
from HiggsML.ingestion.identity import differences, packed_files, software_identity
from HiggsML.ingestion.workers.worker import (
    Answers,
    Task,
    Worker,
    WorkerSettings,
    deadline_in,
    seconds_left,
)
from HiggsML.isolation.sandbox import Sandbox
from HiggsML.pseudo_experiments.store import EventStore
from HiggsML.results import Answer

__all__ = ["DaskCluster", "check_cluster"]

logger = logging.getLogger(__name__)

_CONNECT_TIMEOUT = 20  # s
_AT_A_TIME = 2000
"""Tasks that are sent at a time: far more than a cluster has threads."""

_CANCELLED = (asyncio.CancelledError, concurrent.futures.CancelledError)


@dataclass(frozen=True)
class _Requirements:
    """What a worker must find on its machine, so that it computes the client's numbers."""

    input_dir: Path
    test_size: float
    data: Mapping[str, str]
    software: Mapping[str, str]

    @classmethod
    def of(cls, data: Data, test_size: float) -> _Requirements:
        # Absolute: workers have working directories of their own.
        input_dir = data.input_dir.absolute()
        return cls(input_dir, test_size, data_identity(data), software_identity())

    def met(self) -> Data:
        """Open the dataset on this machine.

        Raises
        ------
        DataError
            If it is not there, or is another one.
        ClusterError
            If other versions are installed here.
        """
        here = f"on the Dask worker at {socket.gethostname()}"
        if changed := differences("versions", software_identity(), self.software):
            raise ClusterError(
                f"{here} the software differs ({'; '.join(changed)}): install the same everywhere"
            )
        try:
            data = Data(self.input_dir, self.test_size)
            identity = data_identity(data)
        except DataError as error:
            raise DataError(
                f"{here}: {error} (the dataset must be readable there under the same path)"
            ) from None
        if changed := differences("the dataset", identity, self.data):
            raise DataError(
                f"{here} {self.input_dir} holds another dataset than here ({'; '.join(changed)}): "
                "copy it again"
            )
        return data


def check_cluster(address: str, data: Data, test_size: float) -> None:
    """Connect to a cluster and check the machines it has now, before time goes into a fit.

    Raises
    ------
    SettingsError
        If Dask is not installed.
    ClusterError
        If there is no scheduler at ``address``, or a worker has other software.
    DataError
        If a worker can not read the dataset, or has another one under its path.
    """
    requirements = _Requirements.of(data, test_size)
    with _connected(address) as client, _our_errors(address):
        client.run(_check, requirements)


class DaskCluster:
    """Runs tasks on a Dask cluster.

    Parameters
    ----------
    settings : WorkerSettings
        What each worker sets up for itself.
    address : str
        The scheduler's, such as ``tcp://10.0.0.1:8786``.
    """

    def __init__(self, settings: WorkerSettings, address: str) -> None:
        self._settings = settings
        self._address = address
        self.lacking: dict[str, str] = {}

    def run(self, tasks: Iterable[Task]) -> Answers:
        """Yield each task with its answer, as they are ready.

        Raises
        ------
        SubmissionError
            The first failure of the submission; the other tasks are then canceled.
        ClusterError
            If the cluster is lost, or workers die again and again over the same task.
        """
        settings = self._settings
        payload = _Payload(
            name=f"higgsml-{uuid.uuid4().hex}",
            # Clocks differ between machines; there the seconds left count.
            settings=replace(settings, deadline=None),
            seconds=seconds_left(settings.deadline),
            requirements=_Requirements.of(
                Data(settings.input_dir, settings.test_size), settings.test_size
            ),
            files=packed_files(settings.submission),
        )
        with _connected(self._address) as client, _our_errors(self._address):
            if not client.scheduler_info()["workers"]:
                logger.warning("the cluster at %s has no workers yet: waiting", self._address)
            futures: dict[Any, Task] = {}
            todo = iter(tasks)
            try:
                run = _run_on(client, payload)
                ready = _module().as_completed(
                    loop=client.loop, timeout=seconds_left(settings.deadline)
                )
                futures = _submit(client, run, list(islice(todo, _AT_A_TIME)))
                ready.update(list(futures))
                for future in ready:
                    task = futures.pop(future)
                    answer, lacking = future.result()
                    self.lacking |= lacking
                    if len(futures) <= _AT_A_TIME // 2:
                        more = _submit(client, run, list(islice(todo, _AT_A_TIME)))
                        futures |= more
                        ready.update(list(more))
                    yield task, answer
            except TimeoutError:
                if settings.deadline is None:
                    raise
                raise TimeLimitError("the deadline of the whole run has passed") from None
            finally:
                client.cancel(list(futures))
                # Without waiting for garbage collection; a cluster that is gone needs none of it.
                with contextlib.suppress(OSError, RuntimeError, ValueError):
                    client.run(_close, payload.name, on_error="ignore")


def _run_on(client: Any, payload: _Payload) -> Any:
    """Send what all tasks need, which Dask copies to each worker once."""
    with warnings.catch_warnings():
        # It travels with the task graph because then, unlike scattered data, it can not get lost.
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        return client.submit(_Run, payload, key=payload.name, pure=False)


def _submit(client: Any, run: Any, tasks: list[Task]) -> dict[Any, Task]:
    """Send tasks of a run."""
    futures = client.map(
        _answer,
        [task.set_index for task in tasks],
        [task.experiment for task in tasks],
        key=[f"predict-{run.key}-{task.set_index}-{task.experiment}" for task in tasks],
        run=run,
        pure=False,
    )
    return dict(zip(futures, tasks, strict=True))


def _module() -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError:
        raise SettingsError(
            "a scheduler needs Dask, the extra [dask] of this package: "
            "pip install 'dask[distributed]'"
        ) from None


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    distributed = _module()
    try:
        client = distributed.Client(address, timeout=_CONNECT_TIMEOUT, set_as_default=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise ClusterError(
            f"no Dask scheduler answers at {address!r} ({error}): start one with 'dask scheduler', "
            "or correct the address"
        ) from error
    try:
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def _our_errors(address: str) -> Iterator[None]:
    """Turn whatever Dask raises into an error of ours; those that are ours already pass."""
    try:
        yield
    except HiggsMLError:
        raise
    except _CANCELLED as error:
        raise ClusterError(f"the connection to the cluster at {address} was lost") from error
    except Exception as error:
        if type(error).__name__ == "KilledWorker":
            raise ClusterError(
                "several Dask workers died over the same pseudo-experiment (out of memory?): give "
                f"them more memory or fewer threads ({error})"
            ) from error
        raise ClusterError(
            f"the cluster at {address} failed: {type(error).__name__}: {error} (scheduler and "
            "workers need this package in the same version)"
        ) from error


# ------------------------------------------------------------------------------------------------
# On a Dask worker.


@dataclass(frozen=True)
class _Payload:
    """All that a machine needs to take part in a run."""

    name: str
    settings: WorkerSettings
    seconds: float | None
    requirements: _Requirements
    files: bytes  # of the submission, a zip archive


class _Run:
    """A run on one Dask worker: the test events, and a sandbox for each thread in use.

    It is made without effort, so that Dask can copy it; what is costly waits for the first task.
    """

    def __init__(self, payload: _Payload) -> None:
        self._payload = payload
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._store: EventStore | None = None
        self._submission: Path | None = None
        self._deadline: float | None = None
        self._idle: list[Worker] = []
        self._cleanup = contextlib.ExitStack()
        weakref.finalize(self, self._cleanup.close)
        _runs[payload.name] = self

    def __reduce__(self) -> tuple[type[_Run], tuple[_Payload]]:
        return _Run, (self._payload,)

    def answer(self, task: Task) -> tuple[Answer, dict[str, str]]:
        """Run one task, and say which protections were missing; for use by several threads."""
        with self._lock:
            worker = self._idle.pop() if self._idle else self._new_worker()
        try:
            return worker.run(task), worker.lacking()
        finally:
            with self._lock:
                self._idle.append(worker)

    def close(self) -> None:
        """End the submission's processes."""
        self._closed.set()
        self._cleanup.close()

    def _new_worker(self) -> Worker:
        if self._closed.is_set():
            raise ClusterError("the run has ended")
        if self._store is None or self._submission is None:
            self._store = EventStore.from_data(self._payload.requirements.met())
            self._deadline = deadline_in(self._payload.seconds)
            self._submission = Path(
                self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="higgsml-"))
            )
            with zipfile.ZipFile(io.BytesIO(self._payload.files)) as archive:
                archive.extractall(self._submission)
        settings = self._payload.settings
        sandbox = self._cleanup.enter_context(
            Sandbox(
                self._submission,
                isolation=settings.isolation,
                threads=settings.threads,
                budgets=settings.budgets,
            )
        )
        if self._closed.is_set():  # while the process started, which close() could not know of
            self._cleanup.close()
            raise ClusterError("the run has ended")
        worker = Worker(self._store, sandbox, settings.draws, self._deadline)
        worker.restore(settings.state)
        return worker


_runs: weakref.WeakValueDictionary[str, _Run] = weakref.WeakValueDictionary()


def _check(requirements: _Requirements) -> None:
    requirements.met()


def _answer(set_index: int, experiment: int, *, run: _Run) -> tuple[Answer, dict[str, str]]:
    return run.answer(Task(set_index, experiment))


def _close(name: str) -> None:
    if (run := _runs.get(name)) is not None:
        run.close()
