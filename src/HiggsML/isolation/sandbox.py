"""The trusted side of a submission's process: start it, ask it, end it.

>>> from HiggsML.isolation.sandbox import Sandbox                              # doctest: +SKIP
>>> with Sandbox(Path("sample_submission"), isolation="prefer") as sandbox:    # doctest: +SKIP
...     sandbox.fit(data, timeout=300.0)
...     answer = sandbox.predict(block, timeout=10.0)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from HiggsML.datasets import Data
from HiggsML.errors import (
    DataError,
    HiggsMLError,
    IsolationError,
    PredictionError,
    SettingsError,
    SubmissionError,
    TimeLimitError,
)
from HiggsML.isolation.channel import Channel, ChannelClosedError, ChannelError
from HiggsML.isolation.restrict import Limits, missing, protect_parent
from HiggsML.isolation.shared_memory import SharedBlock, sealed_bytes
from HiggsML.submission import check_prediction, find_model, shadowed_modules

__all__ = ["IsolationMode", "Sandbox"]

IsolationMode = Literal["require", "prefer", "off"]

_MAX_STATE = 4 << 30  # bytes of a fitted model that is handed to other processes
_MAX_LOG = 1 << 20  # bytes of a submission's own output that are kept
_MAX_QUOTED = 20_000  # characters of a participant's traceback that are quoted
_START_TIMEOUT = 60.0  # s
_SEND_TIMEOUT = 60.0  # s

# Started with -I: no PYTHON* variables, no user site, no current directory on the path.
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv.pop()); "
    "from HiggsML.isolation.child import main; main()"
)

_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
_KEPT_PREFIXES = ("OPENBLAS_", "OMP_", "MKL_", "NUMEXPR_", "NVIDIA_")


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
    limits : Limits, optional
        Resources; see :class:`HiggsML.isolation.restrict.Limits`.
    log : text stream, optional
        Where the submission's output goes, up to one megabyte; standard error by default.

    Attributes
    ----------
    report : dict of str to str
        Protections: "on", or why not. Empty when isolation is off.

    Raises
    ------
    SubmissionError
        If there is no model.py.
    IsolationError
        If a required protection is missing.
    """

    def __init__(
        self,
        submission: Path,
        *,
        isolation: IsolationMode = "prefer",
        threads: int | None = None,
        limits: Limits | None = None,
        log: IO[str] | None = None,
    ) -> None:
        self.model_file = find_model(submission.resolve())
        self.report: dict[str, str] = {}
        self._block: SharedBlock | None = None
        self._block_is_new = False
        self._log = log if log is not None else sys.stderr
        for name in shadowed_modules(self.model_file):
            self._note(f"{name}.py can not be imported: an installed module has that name")
        self._private = Path(tempfile.mkdtemp(prefix="higgsml-"))
        if isolation != "off":
            self.report |= protect_parent()
        self._start(threads)
        try:
            self._restrict(isolation, limits or Limits())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fit(self, data: Data, *, timeout: float | None = None) -> None:
        """Import the submission, build its Model and fit it.

        Parameters
        ----------
        data : Data
            Serves the training events; the submission can not open the file.
        timeout : float, optional
            Seconds for all of it.
        """
        self._ask({"kind": "fit"}, "fitted", "fit", timeout, serve=partial(_train_set, data))

    def state(self, *, timeout: float | None = None) -> bytes | str:
        """Return the fitted Model as opaque bytes for :meth:`restore`, or why that is impossible.

        The bytes are the submission's own: only another restricted process may unpickle them.
        """
        message, payload = self._ask(
            {"kind": "state"}, ("state", "no_state"), "pickling the model", timeout
        )
        if message["kind"] == "no_state":
            return str(message.get("reason"))[:500]
        return payload

    def restore(self, state: bytes, *, timeout: float | None = None) -> None:
        """Load a Model that another process has fitted."""
        self._ask({"kind": "restore"}, "restored", "unpickling the model", timeout, payload=state)

    def block(self, n_events: int) -> NDArray[np.float32]:
        """Return memory of shape (28, n_events) to fill for :meth:`predict`."""
        if self._block is None or self._block.capacity < n_events:
            if self._block is not None:
                self._block.close()
            self._block = SharedBlock(n_events + n_events // 8 + 1024)
            self._block_is_new = True
        return self._block.array(n_events)

    def predict(self, n_events: int, *, timeout: float | None = None) -> dict[str, float]:
        """Have the Model measure the ``n_events`` that were put into :meth:`block`.

        Returns
        -------
        dict of str to float
            ``mu_hat``, ``delta_mu_hat``, ``p16`` and ``p84``, checked.
        """
        if self._block is None or self._block.capacity < n_events:
            raise SettingsError("fill block(n_events) before predict(n_events)")
        descriptors = [self._block.descriptor] if self._block_is_new else []
        message, _ = self._ask(
            {"kind": "predict", "n_events": n_events},
            "prediction",
            "predict",
            timeout,
            descriptors=descriptors,
        )
        self._block_is_new = False
        return check_prediction(message)

    def close(self) -> None:
        """End the submission's process and all that it started; remove its directory."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._channel.close()
        self._reader.join(timeout=2.0)
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self._block is not None:
            self._block.close()
            self._block = None
        shutil.rmtree(self._private, ignore_errors=True)

    # ------------------------------------------------------------------------------------------

    def _start(self, threads: int | None) -> None:
        ours, theirs = socket.socketpair()
        package_parent = str(Path(__file__).resolve().parents[2])
        command = [sys.executable, "-I", "-B", "-u", "-c", _BOOT]
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and code)
                [*command, str(theirs.fileno()), package_parent],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self._private,
                env=_environment(self._private, threads),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._channel = Channel(ours, max_payload=_MAX_STATE)
        self._reader = threading.Thread(target=self._copy_output, daemon=True)
        self._reader.start()

    def _restrict(self, isolation: IsolationMode, limits: Limits) -> None:
        package = Path(__file__).resolve().parents[1]
        start = {
            "kind": "start",
            "restricted": isolation != "off",
            "readable": [str(package), str(self.model_file.parent)],
            "writable": [str(self._private)],
            "limits": asdict(limits),
            "model_file": str(self.model_file),
        }
        message, _ = self._ask(start, "ready", "starting", _START_TIMEOUT)
        report = message.get("report")
        self.report |= report if isinstance(report, dict) else {}
        lacking = missing(self.report)
        if isolation == "require" and lacking:
            listed = "; ".join(f"{name}: {state}" for name, state in lacking.items())
            raise IsolationError(
                f"isolation is required, but not all of it is available here ({listed}); "
                "--isolation prefer runs with what there is"
            )

    def _ask(
        self,
        message: dict[str, Any],
        expected: str | tuple[str, ...],
        stage: str,
        timeout: float | None,
        *,
        payload: bytes = b"",
        descriptors: list[int] | None = None,
        serve: Callable[[dict[str, Any], bytes], tuple[dict[str, Any], list[int]]] | None = None,
    ) -> tuple[dict[str, Any], bytes]:
        """Send a request and wait for its answer, serving training events meanwhile."""
        deadline = _Deadline(timeout)
        try:
            self._channel.send(
                message, payload, descriptors=descriptors or (), timeout=_SEND_TIMEOUT
            )
            while True:
                answer, data, _ = self._channel.receive(timeout=deadline.left())
                kind = answer["kind"]
                if kind in ((expected,) if isinstance(expected, str) else expected):
                    return answer, data
                if kind == "failed":
                    raise _failure(answer, stage)
                if kind != "train_set":
                    raise ChannelError(f"an unexpected {kind[:40]!r}")
                reply, fds = (serve or _refuse)(answer, data)
                self._channel.send(reply, descriptors=fds, timeout=_SEND_TIMEOUT)
                for descriptor in fds:
                    os.close(descriptor)
        except TimeoutError:
            raise TimeLimitError(f"{stage} took longer than the {timeout:.0f} s it had") from None
        except ChannelClosedError:
            raise SubmissionError(f"{self._how_it_ended()} during {stage}") from None
        except ChannelError as error:
            raise SubmissionError(f"the submission's process broke the protocol: {error}") from None

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return "the submission's process closed its connection"
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (out of memory?)" if name == "SIGKILL" else ""
            return f"the submission's process was ended by {name}{hint}"
        return f"the submission's process exited with code {code}"

    def _copy_output(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 (we asked for a pipe)
        left = _MAX_LOG
        for line in iter(lambda: self._process.stdout.readline(65_536), b""):  # type: ignore[union-attr]
            if left > 0:
                self._note(line[:left].decode(errors="replace").rstrip("\n"))
                left -= len(line)
                if left <= 0:
                    self._note(f"... more than {_MAX_LOG} bytes of output: the rest is dropped")

    def _note(self, text: str) -> None:
        print(f"[submission] {text}", file=self._log, flush=True)


def _refuse(request: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], list[int]]:
    reason = "get_train_set can be called in __init__ and fit, not in predict"
    return {"kind": "refused", "reason": reason}, []


class _Deadline:
    """Seconds left of a time limit that may be none."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        return None if self._end is None else self._end - time.monotonic()


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
    error, quoted = str(answer.get("error"))[:2000], str(answer.get("traceback"))[:_MAX_QUOTED]
    if answer.get("ours") is True:
        kind = PredictionError if answer.get("type") == "PredictionError" else SubmissionError
        return kind(error.split(": ", 1)[-1])
    return SubmissionError(f"the submission failed in {stage}: {error}\n\n{quoted}")


def _train_set(
    data: Data, request: dict[str, Any], payload: bytes
) -> tuple[dict[str, Any], list[int]]:
    """Answer a request for training events with a descriptor of an Arrow file in memory."""
    size, seed = request.get("train_size"), request.get("seed")
    selected = np.frombuffer(payload, dtype=np.int64) if request.get("selected") is True else None
    keywords = {} if not isinstance(seed, int) or seed < 0 else {"seed": seed}
    try:
        data.load_train_set(train_size=size, selected_indices=selected, **keywords)
    except DataError:
        raise
    except (HiggsMLError, ValueError, TypeError) as error:
        return {"kind": "refused", "reason": str(error)[:1000]}, []
    table = pa.Table.from_pandas(data.get_train_set(), preserve_index=False)
    data.delete_train_set()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return {"kind": "train_set"}, [sealed_bytes(sink.getvalue())]
