"""The trusted side of a submission's process: start it, ask it, end it.

Examples
--------
>>> from HiggsML.isolation.sandbox import Sandbox                              # doctest: +SKIP
>>> with Sandbox(Path("sample_submission"), isolation="prefer") as sandbox:    # doctest: +SKIP
...     sandbox.fit(data, timeout=300.0)
...     answer = sandbox.predict(block, timeout=10.0)
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from HiggsML.datasets.cached_file import Progress
from HiggsML.datasets.reader import Data
from HiggsML.datasets.training_store import OF_LIBRARIES, advice
from HiggsML.errors import (
    BudgetError,
    IsolationError,
    PredictionError,
    SettingsError,
    SubmissionError,
    TimeLimitError,
)
from HiggsML.files import PACKAGE, remove_tree
from HiggsML.isolation.budget.budgets import Budgets
from HiggsML.isolation.budget.output_log import OutputLog
from HiggsML.isolation.budget.process import WatchedProcess
from HiggsML.isolation.cage.restrict import IsolationMode, missing, protect_parent
from HiggsML.isolation.training_events import TrainingEvents
from HiggsML.isolation.wire.channel import Channel, ChannelClosedError, ChannelError
from HiggsML.isolation.wire.messages import check_message, one_line, quoted
from HiggsML.isolation.wire.shared_files import SharedFiles
from HiggsML.isolation.wire.shared_memory import SharedBlock
from HiggsML.machine import machine_memory
from HiggsML.results import Answer
from HiggsML.submission.model import check_prediction
from HiggsML.submission.value import Submission

__all__ = ["Sandbox", "check_system", "not_enforced"]

_MAX_QUOTED = 20_000  # characters of a participant's traceback that are quoted
_START_TIMEOUT = 60.0  # s
_SMALL = 1 / 16  # of the machine's memory
_SEND_TIMEOUT = 60.0  # s

# Started with -I: no PYTHON* variables, no user site, no current directory on the path.
_COMMAND = (
    *(sys.executable, "-I", "-B", "-u", "-c"),
    "import sys; sys.path.insert(0, sys.argv.pop()); "
    "from HiggsML.isolation.inside.child import main; main()",
)

_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
_KEPT_PREFIXES = ("OPENBLAS_", "OMP_", "MKL_", "NUMEXPR_", "NVIDIA_")

_Reply = tuple[dict[str, Any], list[int]]
_Server = Callable[[], _Reply]


def check_system() -> None:
    """Refuse a system on which a submission can not have a process of its own.

    Raises
    ------
    IsolationError
        On Windows.
    """
    if sys.platform == "win32":
        raise IsolationError(
            "a submission runs in a process of its own only on Linux and macOS; on Windows use the "
            "Linux of WSL 2 (wsl --install), or call the Model in your own process with "
            "HiggsML.ingestion.Ingestion"
        )


def not_enforced() -> str | None:
    """Say what of isolation and budgets does not hold on another system than Linux; else None."""
    if not sys.platform.startswith("linux"):
        return (
            f"there is no isolation on {sys.platform}: a submission is a plain process with all of "
            "your rights, so run only code that you trust; its budgets of memory (--memory), "
            "processes and open files are not enforced, those of time, temporary files and output "
            "are"
        )
    return None


class Sandbox:
    """A submission in a process of its own; use it as a context manager.

    Parameters
    ----------
    submission : Path
        The submission's directory.
    isolation : {"require", "prefer", "off"}
        Whether a missing protection is an error, is only reported, or none is applied.
    threads : int, optional
        Threads that numerical libraries may use; by default their own choice.
    budgets : Budgets, optional
        What it may use.
    log : text stream, optional
        Where the submission's output goes; standard error by default.
    mapped_bytes : int
        Size of training events that it may map in :meth:`fit`, on top of its memory: see
        :func:`HiggsML.datasets.training_store.mapped_bytes`. They are no memory of its own until
        it writes to them.

    Attributes
    ----------
    report : dict of str to str
        Protections: "on", or why not. Empty when isolation is off.

    Raises
    ------
    SubmissionError
        If there is no model.py.
    IsolationError
        If a required protection is missing, or on Windows.
    """

    def __init__(
        self,
        submission: Submission | Path,
        *,
        isolation: IsolationMode = "prefer",
        threads: int | None = None,
        budgets: Budgets | None = None,
        log: IO[str] | None = None,
        mapped_bytes: int = 0,
    ) -> None:
        check_system()
        self.report: dict[str, str] = {}
        self._blocks: dict[int, SharedBlock] = {}
        self._shared_files: SharedFiles | None = None
        self._request = 0
        self._received: list[int] = []
        self._train_sets = 0
        self._train_rows = 0
        self._mapped_bytes = mapped_bytes
        self._budgets = (budgets or Budgets()).resolved()
        output = OutputLog(log if log is not None else sys.stderr, self._budgets.log_bytes)
        with contextlib.ExitStack() as stack:
            if isinstance(submission, Path):
                submission = Submission.of(submission)
            for name in submission.shadowed_modules:
                output.note(
                    f"{name}.py can not be imported: an installed module has that name; rename it"
                )
            private = Path(tempfile.mkdtemp(prefix="higgsml-"))
            stack.callback(remove_tree, private)
            if isolation != "off":  # a copy of its own, which it may write to
                submission = submission.copied_to(private / "submission")
            self.model_file = submission.model_file
            if isolation != "off":
                self.report |= protect_parent()
            ours, theirs = socket.socketpair()
            self._channel = Channel(ours)
            stack.callback(self._channel.close)
            with theirs:
                self._process = WatchedProcess(
                    [*_COMMAND, str(theirs.fileno()), str(PACKAGE.parent)],
                    environment=_environment(private, threads),
                    private=private,
                    descriptor=theirs.fileno(),
                    budgets=self._budgets,
                    log=output,
                    mapped_bytes=mapped_bytes,
                )
            stack.callback(self._stop_serving)
            stack.callback(self._process.close)
            self._restrict(isolation, private)
            self._resources = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fit(
        self,
        data: Data,
        *,
        seed: int = 0,
        timeout: float | None = None,
        imported: Callable[[], None] = lambda: None,
        progress: Progress | None = None,
    ) -> None:
        """Import the submission, build its Model and fit it.

        Parameters
        ----------
        data : Data
            Serves the training events; the submission can not open the file.
        seed : int
            Of its global random generators.
        timeout : float, optional
            Seconds that are left of the whole run.
        imported : callable
            Called between import and fit.
        progress : callable, optional
            Called with how many of how many steps are done where training events are converted.
        """
        self._train_rows = data.train_size
        limit = _TimeLimit("import and fit", self._budgets.fit_seconds, timeout)
        self._ask({"kind": "preload", "seed": seed}, ("preloaded",), "import", limit)
        imported()
        request = {"kind": "fit", "memory": self._budgets.memory_bytes}
        with contextlib.closing(TrainingEvents(data, progress)) as events:

            def serve() -> _Reply:
                began = time.monotonic()
                descriptor = events.descriptor()
                limit.extend(time.monotonic() - began)  # converting events is no work of its own
                return {"kind": "train_set"}, [descriptor]

            self._ask(request, ("fitted",), "fit", limit, serve=serve)

    def state(self, *, timeout: float | None = None) -> bytes | str:
        """Return the fitted Model as opaque bytes for :meth:`restore`, or why that is impossible.

        The bytes are the submission's own: only another restricted process may unpickle them.
        """
        limit = _TimeLimit("pickling the model", self._budgets.fit_seconds, timeout)
        request = {"kind": "state", "limit": self._budgets.state_bytes}
        message, payload = self._ask(request, ("state", "no_state"), "pickling the model", limit)
        if message["kind"] == "no_state":
            return one_line(message["reason"], 500)
        return payload

    def preload(self, *, timeout: float | None = None) -> None:
        """Import the submission, so that :meth:`restore` need not."""
        limit = _TimeLimit("import", self._budgets.fit_seconds, timeout)
        self._ask({"kind": "preload", "seed": 0}, ("preloaded",), "import", limit)

    def restore(self, state: bytes, *, timeout: float | None = None) -> None:
        """Load a Model that another process has fitted."""
        stage = "unpickling the model"
        limit = _TimeLimit(stage, self._budgets.fit_seconds, timeout)
        self._ask({"kind": "restore"}, ("restored",), stage, limit, payload=state)

    def block(self, n_events: int, number: int = 0) -> NDArray[np.float32]:
        """Return memory of shape (28, n_events) to fill for :meth:`predict`.

        There may be several, by ``number``: one is filled while the events in another are measured.
        """
        block = self._blocks.get(number)
        if block is None or block.capacity < n_events:
            if block is not None:
                block.close()
            block = self._blocks[number] = SharedBlock(n_events + n_events // 8 + 1024)
        return block.array(n_events)

    def predict(
        self,
        n_events: int,
        number: int | SharedBlock = 0,
        *,
        seed: int = 0,
        timeout: float | None = None,
    ) -> Answer:
        """Have the Model measure the ``n_events`` that were put into :meth:`block`.

        Parameters
        ----------
        n_events : int
            How many there are.
        number : int or SharedBlock
            Of the block; or one that is not this sandbox's own, and final.
        seed : int
            Of its global random generators, so that an honest random answer can be repeated.
        timeout : float, optional
            Seconds that are left of the whole run.

        Returns
        -------
        Answer
            Checked.
        """
        block = self._blocks.get(number) if isinstance(number, int) else number
        if block is None or block.capacity < n_events:
            raise SettingsError("fill block(n_events) before predict(n_events)")
        with block.opened() as descriptor:
            message, _ = self._ask(
                {"kind": "predict", "n_events": n_events, "seed": seed},
                ("prediction",),
                "predict",
                _TimeLimit("one prediction", self._budgets.predict_seconds, timeout),
                descriptors=[descriptor],
            )
        return check_prediction(message)

    def is_small(self) -> bool:
        """Return whether its processes use so little memory that they may wait beside others."""
        return self._process.resident() < machine_memory() * _SMALL

    def pause(self) -> None:
        """Stop all of its processes until :meth:`go_on`."""
        self._process.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let its processes go on after :meth:`pause`."""
        self._process.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the submission's process at once, from any thread; a request then fails."""
        self._process.kill()

    def close(self) -> None:
        """End the submission's process and all that it started; remove its directory."""
        self._resources.close()
        while self._blocks:
            self._blocks.popitem()[1].close()

    # ------------------------------------------------------------------------------------------

    def _restrict(self, isolation: IsolationMode, private: Path) -> None:
        start = {
            "kind": "start",
            "restricted": isolation != "off",
            "readable": [str(PACKAGE), str(self.model_file.parent)],
            "writable": [str(private)],
            "limits": asdict(self._budgets.limits(mapped_bytes=self._mapped_bytes)),
            "model_file": str(self.model_file),
        }
        limit = _TimeLimit("starting its process", _START_TIMEOUT, None)
        message, _ = self._ask(start, ("ready",), "starting", limit)
        self.report |= message["report"]
        if self._received:
            self._shared_files = SharedFiles(self._received.pop())
        if isolation != "off":
            served = self._shared_files is not None
            self._process.count_unseen_memory(self.report, served=served)
        lacking = missing(self.report)
        if isolation == "require" and lacking:
            listed = "; ".join(f"{name}: {state}" for name, state in lacking.items())
            raise IsolationError(
                f"isolation is required, but not all of it is available here ({listed}); "
                "--isolation prefer runs with what there is"
            )

    def _stop_serving(self) -> None:
        if self._shared_files is not None:
            self._shared_files.close()
            self._shared_files = None

    def _ask(
        self,
        message: dict[str, Any],
        expected: tuple[str, ...],
        stage: str,
        limit: _TimeLimit,
        *,
        payload: bytes = b"",
        descriptors: list[int] | None = None,
        serve: _Server | None = None,
    ) -> tuple[dict[str, Any], bytes]:
        """Send a request and wait for its answer, serving training events meanwhile.

        After any failure that the submission did not report itself, all of it is ended.
        """
        try:
            return self._exchange(message, expected, limit, payload, descriptors or [], serve)
        except _FailedError as failure:
            raise _failure(failure.answer, stage) from None
        except TimeoutError:
            self._process.tell_where()
            self._process.kill()
            raise TimeLimitError(limit.sentence(stage)) from None
        except ChannelClosedError:
            how = self._process.how_it_ended()
            self._process.kill()
            if self._process.exceeded is not None:
                raise BudgetError(self._process.exceeded + self._advice()) from None
            raise SubmissionError(f"{how} during {stage}") from None
        except ChannelError as error:
            self._process.kill()
            text = one_line(str(error), 500)
            raise SubmissionError(f"the submission's process broke the protocol: {text}") from None
        except BudgetError:
            self._process.kill()
            raise

    def _exchange(
        self,
        message: dict[str, Any],
        expected: tuple[str, ...],
        limit: _TimeLimit,
        payload: bytes,
        descriptors: list[int],
        serve: _Server | None,
    ) -> tuple[dict[str, Any], bytes]:
        if self._channel.pending():
            raise ChannelError("it sent something that nobody had asked for")
        self._request += 1
        self._send({**message, "request": self._request}, limit, payload, descriptors)
        allowed = (*expected, "failed", "train_set")

        def payload_limit(answer: dict[str, Any]) -> int:
            kind = check_message(answer, allowed=allowed, request=self._request)
            return self._budgets.state_bytes if kind == "state" else 0

        while True:
            # A descriptor comes with the first answer only, before any code of the submission runs.
            answer, data, self._received = self._channel.receive(
                timeout=limit.left(),
                payload_limit=payload_limit,
                with_descriptors=message["kind"] == "start",
            )
            if answer["kind"] in expected:
                return answer, data
            if answer["kind"] == "failed":
                raise _FailedError(answer)
            self._train_sets += 1
            if self._train_sets > self._budgets.train_sets:
                raise BudgetError(
                    f"the submission called get_train_set {self._train_sets} times; its budget is "
                    f"{self._budgets.train_sets}"
                )
            reply, fds = (serve or _refuse)()
            try:
                self._send(reply, limit, b"", fds)
            finally:
                for descriptor in fds:
                    os.close(descriptor)

    def _advice(self) -> str:
        """Say which training events fit where these may have been too many."""
        memory = self._budgets.memory_bytes
        if not self._train_sets or memory is None or "of memory" not in str(self._process.exceeded):
            return ""
        return advice(self._train_rows, memory - OF_LIBRARIES)

    def _send(
        self, message: dict[str, Any], limit: _TimeLimit, payload: bytes, descriptors: list[int]
    ) -> None:
        left = limit.left()
        timeout = _SEND_TIMEOUT if left is None else max(0.001, min(left, _SEND_TIMEOUT))
        self._channel.send(message, payload, descriptors=descriptors, timeout=timeout)


class _FailedError(Exception):
    """The submission's process reports an error of the submission."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__()
        self.answer = answer


def _refuse() -> _Reply:
    reason = "get_train_set can be called in __init__ and fit, not in predict"
    return {"kind": "refused", "reason": reason}, []


class _TimeLimit:
    """The time for one answer: its own budget, or what is left of the whole run."""

    def __init__(self, what: str, budget: float | None, left_of_run: float | None) -> None:
        self._what = what
        self._budget = budget
        self._of_run = left_of_run is not None and (budget is None or left_of_run < budget)
        seconds = left_of_run if self._of_run else budget
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Return the seconds that are left, or None without a limit."""
        return None if self._end is None else self._end - time.monotonic()

    def extend(self, seconds: float) -> None:
        """Give time back, except that of the whole run."""
        if self._end is not None and not self._of_run:
            self._end += seconds

    def sentence(self, stage: str) -> str:
        """Say which limit has come."""
        if self._end is None:
            return f"the submission did not take a message within {_SEND_TIMEOUT:.0f} s in {stage}"
        if self._of_run:
            return f"the deadline of the whole run came during {stage}"
        return f"{self._what} took longer than its budget of {self._budget:g} s"


def _environment(private: Path, threads: int | None) -> dict[str, str]:
    """Variables of the submission's process: those that libraries need, and nothing else."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT_VARIABLES or name.startswith(_KEPT_PREFIXES)
    }
    directories = dict.fromkeys(("HOME", "TMPDIR", "MPLCONFIGDIR"), str(private))
    if threads is not None:
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        kept |= dict.fromkeys(names, str(threads))
    # Idle threads must sleep, not spin, where several processes share the cores.
    return {"LANG": "C.UTF-8", "OMP_WAIT_POLICY": "PASSIVE", **kept, **directories}


def _failure(answer: dict[str, Any], stage: str) -> SubmissionError:
    """Turn the child's account of an exception into our error; its text is only quoted."""
    error = one_line(answer["error"], 6000)
    if answer["ours"]:
        kind = PredictionError if answer["type"] == "PredictionError" else SubmissionError
        return kind(error.split(": ", 1)[-1])
    traceback = quoted(answer["traceback"].rstrip(), _MAX_QUOTED)
    return SubmissionError(f"the submission failed in {stage}: {error}\n\n{traceback}")
