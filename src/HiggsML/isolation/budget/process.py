"""The operating system's side of a submission's process: start it, watch it, end all of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from HiggsML.isolation.budget.budgets import Budgets
from HiggsML.isolation.budget.output_log import OutputLog
from HiggsML.isolation.budget.unseen_memory import UnseenMemory
from HiggsML.isolation.budget.watch import TICK, Watch, wait_for_end

__all__ = ["WatchedProcess"]

_END_TIMEOUT = 10.0  # s
_WRITE_TIME = 0.2  # s, for some lines


class WatchedProcess:
    """A process, with all that it starts, which is ended when it exceeds a budget.

    A thread of its own starts and watches it: the kernel ends a restricted process together with
    the thread that started it, so this has to be one that outlives it.

    Parameters
    ----------
    command : sequence of str
        What to run.
    environment : mapping of str to str
        All of its variables.
    private : Path
        Its working directory, and the one of its temporary files.
    descriptor : int
        The only descriptor that it inherits.
    budgets : Budgets
        With the machine's defaults filled in.
    log : OutputLog
        Where its output goes.
    mapped_bytes : int
        Most pages of files that are not counted as its memory, see
        :class:`HiggsML.isolation.budget.watch.Watch`.

    Attributes
    ----------
    exceeded : str or None
        Which budget was exceeded.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        private: Path,
        descriptor: int,
        budgets: Budgets,
        log: OutputLog,
        mapped_bytes: int = 0,
    ) -> None:
        self.exceeded: str | None = None
        self._command = list(command)
        self._environment = dict(environment)
        self._private = private
        self._budgets = budgets
        self._log = log
        self._mapped_bytes = mapped_bytes
        self._started, self._closing = threading.Event(), threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._problem: BaseException | None = None
        self._reader: threading.Thread | None = None
        self._unseen: UnseenMemory | None = None
        self._keeper = threading.Thread(target=self._keep, args=(descriptor,), daemon=True)
        self._keeper.start()
        self._started.wait()
        if self._problem is not None:
            raise self._problem

    def count_unseen_memory(self, report: Mapping[str, str], *, served: bool) -> None:
        """Count memory outside its processes, too, from now on: it has restricted itself.

        Parameters
        ----------
        report : mapping of str to str
            Its protections.
        served : bool
            Whether its files in ``/dev/shm`` are the trusted process's to make.
        """
        assert self._process is not None  # noqa: S101 (it was started)
        if sys.platform.startswith("linux"):
            self._unseen = UnseenMemory(
                self._process.pid,
                private_files=not served and report.get("private-shared-memory") == "on",
                served=served,
                private_network=report.get("network-namespace") == "on",
            )

    def kill(self) -> None:
        """Kill the process and all that it started."""
        self.signal(signal.SIGKILL)

    def tell_where(self) -> None:
        """Have it write to its log which line it executes, which it may refuse."""
        self._send(os.kill, signal.SIGUSR1)
        time.sleep(_WRITE_TIME)

    def signal(self, number: int) -> None:
        """Send a signal to the process and all that it started."""
        self._send(os.killpg, number)

    def _send(self, send: Callable[[int, int], None], number: int) -> None:
        # The process has not been waited for yet, so its number can not belong to another.
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                send(self._process.pid, number)

    def resident(self) -> int:
        """Return the memory of the process and all that it started [bytes]."""
        assert self._process is not None  # noqa: S101 (it was started)
        return Watch(self._process.pid, self._private, self._budgets).resident()

    def close(self) -> None:
        """Kill all of it and wait until nothing is left."""
        process = self._process
        if process is None or self._closing.is_set():
            return
        self.kill()
        self._closing.set()
        self._keeper.join()
        process.wait()
        wait_for_end(process.pid, timeout=_END_TIMEOUT)
        if self._unseen is not None:
            self._unseen.close()
        assert self._reader is not None  # noqa: S101 (started with the process)
        self._reader.join(timeout=_END_TIMEOUT)
        # A reader that is still busy must not find its descriptor in use for something else.
        if process.stdout is not None and not self._reader.is_alive():
            process.stdout.close()

    def how_it_ended(self) -> str:
        """Say how the process ended, a few seconds after it hung up."""
        assert self._process is not None  # noqa: S101 (it was started)
        end = time.monotonic() + 5.0
        while True:
            code = self._exit_code()
            if code is not None:
                break
            if time.monotonic() > end:
                return "the submission's process closed its connection"
            time.sleep(0.01)
        if code >= 0:
            return f"the submission's process exited with code {code}"
        name = signal.Signals(-code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"the submission's process was ended by {name}{hint}"

    def _exit_code(self) -> int | None:
        """Return how the process ended, the number of a signal as a negative one; else None."""
        assert self._process is not None  # noqa: S101 (it was started)
        pid = self._process.pid
        if hasattr(os, "waitid"):
            # Not collected here: as long as it exists, its number can not be given to another.
            result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if result is None:
                return None
            return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
        # macOS before Python 3.13: what it has started must end now, while its number is known.
        code = self._process.poll()
        if code is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        return code

    def _keep(self, descriptor: int) -> None:
        try:
            self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and code)
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self._private,
                env=self._environment,
                pass_fds=[descriptor],
                start_new_session=True,
            )
            assert self._process.stdout is not None  # noqa: S101 (we asked for a pipe)
            output = self._process.stdout.fileno()
            self._reader = threading.Thread(target=self._log.copy, args=(output,), daemon=True)
            self._reader.start()
        except BaseException as error:
            self._problem = error
            return
        finally:
            self._started.set()
        watch = Watch(
            self._process.pid, self._private, self._budgets, mapped_bytes=self._mapped_bytes
        )
        while not self._closing.wait(TICK):
            watch.unseen = self._unseen
            if problem := watch.exceeded():
                self.exceeded = problem
                self.kill()
                break
        self._closing.wait()
