"""Say which wall refused something to a submission, and what to write instead.

The kernel answers with an error number, so a library reports "Permission denied", as root too. The
sentence is added, as a note, to whatever shows such an error: what the runner reports, and what the
submission itself prints with :mod:`traceback` or :mod:`logging`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import traceback
from collections.abc import Iterator
from typing import Any

__all__ = ["advise", "explain", "explanation"]

_MAX_CHAIN = 20
_NETWORK = (
    "The system-call filter refused a socket: a submission has no network, and no sockets with a "
    "name. Put files that it would download beside model.py; between processes, "
    "multiprocessing.Pipe, Queue, Pool, Manager() and socket.socketpair() work."
)
_CALL = (
    "The system-call filter refused this: no new sessions and process groups, owners of files, "
    "tracing, signals or schedules of other processes, namespaces, mounts, memfd, System V objects "
    "and io_uring. Leave it out; for memory that processes share there is "
    "multiprocessing.shared_memory."
)
_WRITE = (
    "Isolation refused this: a submission can write in its temporary directory only. tempfile, "
    "Path.home() and the working directory lie there."
)
_READ = (
    "Landlock refused this: a submission can read Python, its libraries and its own folder only. "
    'Put the file beside model.py and open it as Path(__file__).parent / "name"; training events '
    "come from get_train_set()."
)
_EITHER = (
    "If isolation is the cause: a submission reads Python, its libraries and its own folder, "
    "writes in its temporary directory (tempfile, Path.home()), and has no network (Landlock and "
    "the system-call filter)."
)
# What stands in a line of the traceback, or in the error's text, of a case with a better answer.
_CASES = {
    "multiprocessing/forkserver.py": (
        'The system-call filter refused a socket with a name, which "forkserver" needs: start '
        'processes with multiprocessing.get_context("fork"), or "spawn".'
    ),
    "torch_shm_manager": (
        'The system-call filter refused the sockets of PyTorch\'s sharing strategy "file_system": '
        'leave out set_sharing_strategy; the default, "file_descriptor", works.'
    ),
    "start_new_session": (
        "The system-call filter refused a new session or process group: leave out "
        "start_new_session and process_group. What a submission starts ends with it anyway."
    ),
    "memfd_create": (
        "The system-call filter refused memfd_create, whose memory nobody could count: use "
        "tempfile.TemporaryFile() or multiprocessing.shared_memory."
    ),
}
_CASES |= dict.fromkeys(("process_group", "setsid", "setpgid"), _CASES["start_new_session"])
_OF_BUDGETS = {
    errno.EMFILE: "The budget of open files is used up: close what is not needed any more.",
    errno.EFBIG: "A file became larger than the budget of temporary files (--disk).",
}
_THREADS = "The budget of processes and threads is used up, or the memory for their stacks."
_MEMORY = (
    "The budget of memory (--memory) is used up; reserved address space counts: work on the events "
    "in parts, or read less"
)


_SIGNS = (
    *("Permission denied", "Operation not permitted", "Read-only file system"),
    "unable to open database file",
)
_PATH = re.compile(r"'(/[^']+)'")

_active = False  # whether this process is restricted
_training_events = " with get_train_set(train_size=...)"


def advise(training_events: str) -> None:
    """Have refusals of memory end in what is said of the training events that fit."""
    global _training_events
    _training_events = training_events


def explain() -> None:
    """Have every traceback that this process formats explain refusals."""
    global _active
    _active = True
    original = traceback.TracebackException.__init__

    def with_note(self: Any, kind: Any, error: Any, *arguments: Any, **keywords: Any) -> None:
        with contextlib.suppress(Exception):  # an error of the submission's own making
            note = _of_one(error)
            if note and not any(note in text for text in (*_notes(error), str(error))):
                error.add_note(note)
        original(self, kind, error, *arguments, **keywords)

    traceback.TracebackException.__init__ = with_note  # type: ignore[method-assign, assignment]


def explanation(error: BaseException) -> str | None:
    """Return a sentence on the refusal that an error reports, or that caused it; None without one.

    Parameters
    ----------
    error : BaseException
        Its causes and the members of a group are looked at, too.
    """
    if not _active:
        return None
    with contextlib.suppress(Exception):  # an error of the submission's own making
        notes = [note for note in map(_of_one, _chain(error)) if note]
        return next((note for note in notes if note != _EITHER), notes[0] if notes else None)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    todo, seen = [error], set[int]()
    while todo and len(seen) < _MAX_CHAIN:
        one = todo.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        todo += [e for e in (one.__cause__, one.__context__) if e is not None]
        if isinstance(one, BaseExceptionGroup):
            todo += one.exceptions


def _of_one(error: BaseException) -> str | None:
    if isinstance(error, MemoryError):
        return f"{_MEMORY}{_training_events}."
    if isinstance(error, socket.gaierror):
        return _NETWORK
    if isinstance(error, OSError) and error.errno is not None:
        return _of_number(error)
    text = str(error)
    if "can't start new thread" in text:
        return _THREADS
    if any(sign in text for sign in _SIGNS):
        return next((answer for sign, answer in _CASES.items() if sign in text), _EITHER)
    return None


def _of_number(error: OSError) -> str | None:
    if error.errno == errno.EROFS:  # to make a file outside
        return _WRITE
    if error.errno not in (errno.EACCES, errno.EPERM):
        if error.errno == errno.EAGAIN and "fork" in _lines(error):
            return _THREADS
        return _OF_BUDGETS.get(error.errno or 0)
    lines = _lines(error)
    for sign, answer in _CASES.items():
        if sign in lines:
            return answer
    if error.errno == errno.EPERM:  # Landlock answers with the other number
        return _CALL
    path = error.filename
    if path is None:  # pyarrow names the file in its text only
        named = _PATH.search(str(error))
        if named is None:
            return _NETWORK
        path = named[1]
    return _READ if _can_not_be_read(path) else _WRITE


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def _lines(error: BaseException) -> str:
    """Return the files and lines of the last frames, where the refused call stands."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return "\n".join(f"{frame.filename} {frame.line}" for frame in frames)


def _can_not_be_read(path: Any) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as error:
        return error.errno == errno.EACCES
    return False
