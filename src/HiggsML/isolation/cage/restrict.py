"""Restrictions a process imposes on itself before it runs a submission, for good.

The process must be a fresh one: started by ``exec`` (no image of its parent's memory), leading a
session of its own, with no descriptor but its channel, and single-threaded, since a thread that
runs already would stay unrestricted. Whatever it starts later is bound by the same rules.

No mechanism is taken for granted. Each is tried, and the report says "on" or why it does not hold;
containers and kernels differ (:func:`probe` tells without changing the caller). The order matters:
namespaces need rights that the later steps give up, and the system-call filter would refuse most
of the earlier steps.

The restricted process itself stays dumpable: nothing in it is secret from what it started itself,
and a non-dumpable process could not read its own ``/proc/self`` as an ordinary user. It is the
trusted process that must not be dumpable (:func:`protect_parent`).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from HiggsML.errors import IsolationError
from HiggsML.files import PACKAGE
from HiggsML.isolation.cage import landlock, seccomp
from HiggsML.isolation.cage.kernel import prctl, reason, unsupported
from HiggsML.isolation.cage.privileges import NAMESPACES, drop_capabilities, enter_namespaces
from HiggsML.isolation.cage.system_paths import system_listable, system_readable, system_writable

__all__ = [
    "ESSENTIAL",
    "MECHANISMS",
    "NAMESPACES",
    "IsolationMode",
    "Limits",
    "Policy",
    "isolation_level",
    "missing",
    "probe",
    "protect_parent",
    "restrict_self",
    "system_listable",
    "system_readable",
    "system_writable",
]

IsolationMode = Literal["require", "prefer", "off"]
"""Whether a missing protection is an error, is only reported, or none is applied."""

MECHANISMS = {
    "user-namespace": "no rights over anything outside, not even as root",
    "network-namespace": "no network interface at all",
    "read-only-system": "nothing outside is written, not even when a file was last read",
    "private-shared-memory": "an empty /dev/shm of its own, gone when it ends",
    "hidden-parent": "the trusted process's entry in /proc is empty, its names and numbers too",
    "capabilities": "every capability of root given up",
    "resource-limits": "memory, file size and open files of each process; no core dumps",
    "process-limit": "number of processes and threads",
    "parent-death-signal": "killed when the trusted process ends",
    "umask": "files that it makes are its user's only",
    "no-new-privileges": "programs that it starts gain nothing (setuid)",
    "landlock-files": "only listed files can be opened, only the private directory written",
    "landlock-network": "no TCP",
    "landlock-scope": "no signals and no abstract sockets to processes outside",
    "system-call-filter": "no sockets, tracing, foreign memory, io_uring, mounts, new sessions",
    "parent-memory": "the trusted process's memory and descriptors are closed to its user",
    "parent-tracer": "no process is named as a debugger of the trusted one",
}
"""What is tried, in order, and what each gives."""

_OF_THE_PARENT = ("parent-memory", "parent-tracer")

ESSENTIAL = (
    "capabilities",
    "resource-limits",
    "parent-death-signal",
    "no-new-privileges",
    "landlock-files",
    "system-call-filter",
    "parent-memory",
)
"""Without one of these, something of the promise is lost.

The others are a second wall where the kernel grants it: the namespaces and Landlock's network rules
stand behind the system-call filter, which also keeps the trusted process and its ancestors from
being signaled where Landlock can not; processes of root, which Linux does not limit, are for the
trusted process to count.
"""

_ON = "on"
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_PR_SET_PTRACER = 0x59616D61
_MAX_ANCESTORS = 16
_PROBE_TIMEOUT = 60.0  # s


@dataclass(frozen=True)
class Limits:
    """Resources of a restricted process; ``None`` leaves a limit as it is. Core dumps are off.

    Attributes
    ----------
    memory_bytes : int, optional
        Address space of each process. Reserved but unused memory counts: 8 MB for the stack of each
        thread, more for allocators, and tens of GB for CUDA.
    processes : int, optional
        Processes and threads at a time, all together. Where the kernel counts all of the user's,
        those that exist already are added. Not enforced by Linux for root.
    file_bytes : int, optional
        Size of each file, shared memory included.
    open_files : int, optional
        Open descriptors of each process.
    """

    memory_bytes: int | None = None
    processes: int | None = None
    file_bytes: int | None = None
    open_files: int | None = None


@dataclass(frozen=True)
class Policy:
    """What a restricted process may do.

    Attributes
    ----------
    readable : tuple of Path
        Files and directories to read and execute, besides :func:`system_readable`.
    writable : tuple of Path
        Files and directories with every right, besides :func:`system_writable`.
    limits : Limits
        Resources.
    parent : int
        Process number of the trusted parent.
    """

    readable: tuple[Path, ...]
    writable: tuple[Path, ...]
    limits: Limits
    parent: int


def restrict_self(policy: Policy) -> tuple[dict[str, str], int | None]:
    """Restrict this process, for good.

    Call it in the child, before any code of a submission and before NumPy (which starts threads).
    It keeps one descriptor open, of its own directory in ``/proc``.

    Parameters
    ----------
    policy : Policy
        What stays allowed.

    Returns
    -------
    dict of str to str
        For each of the :data:`MECHANISMS` of this process "on", or why it does not hold.
    int or None
        Where there can be no mount of its own, a descriptor for the trusted process
        (:class:`HiggsML.isolation.wire.shared_files.SharedFiles`), which then serves ``/dev/shm``.

    Raises
    ------
    IsolationError
        If the process has several threads, its parent has ended, or the policy allows "/".
    """
    names = [name for name in MECHANISMS if name not in _OF_THE_PARENT]
    if problem := unsupported():
        return dict.fromkeys(names, problem), None
    _check(policy)
    protected, groups = _aims_to_refuse(policy.parent)
    report = enter_namespaces(
        policy.limits.memory_bytes,
        hidden=[Path(f"/proc/{policy.parent}")],
        writable=policy.writable,
    )
    report["capabilities"] = drop_capabilities()
    report |= _limit_resources(policy.limits, own_user=report["user-namespace"] == _ON)
    report["parent-death-signal"] = _try(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != policy.parent:  # it ended before the signal was asked for
        raise IsolationError("the trusted process has ended")
    os.umask(0o077)
    report["umask"] = _ON
    report["no-new-privileges"] = _try(_PR_SET_NO_NEW_PRIVS, 1)
    # The rule for /proc/self belongs to an object that the kernel could drop from its cache, and
    # build anew without the rule; an open descriptor keeps it.
    os.open("/proc/self", os.O_PATH | os.O_CLOEXEC)
    listener = None if report["private-shared-memory"] == _ON else _redirect()
    if listener is not None:
        report["private-shared-memory"] = _ON
    writable = system_writable(shared_memory=listener is None)
    report |= landlock.restrict(
        readable=(*system_readable(), *policy.readable),
        writable=(*writable, *policy.writable),
        listable=system_listable(),
    )
    report["system-call-filter"] = seccomp.restrict(protected=protected, groups=groups)
    return {name: report[name] for name in names}, listener


def _redirect() -> int | None:
    """Have the trusted process serve ``/dev/shm``, or leave the machine's open."""
    try:
        return seccomp.redirect() if Path("/dev/shm").is_dir() else None  # noqa: S108 (as above)
    except OSError:
        return None


def protect_parent() -> dict[str, str]:
    """Close the trusted process's memory to other processes of its user.

    It has to be done before the first child starts. For an ordinary user the process's own files
    in ``/proc`` then belong to root: its ``environ`` and ``mem`` can not be opened by itself
    either. There are no core dumps, and a program that it executes is dumpable again.

    Returns
    -------
    dict of str to str
        "parent-memory" and "parent-tracer": "on", or why not.
    """
    if problem := unsupported():
        return dict.fromkeys(_OF_THE_PARENT, problem)
    return {
        "parent-memory": _try(_PR_SET_DUMPABLE, 0),
        "parent-tracer": _try(_PR_SET_PTRACER, 0, refusal="the kernel lacks Yama"),
    }


def probe() -> dict[str, str]:
    """Return what would hold on this machine, as found by a process that tries and ends.

    Returns
    -------
    dict of str to str
        For each of the :data:`MECHANISMS` "on", or why it would not hold.
    """
    if problem := unsupported():
        return dict.fromkeys(MECHANISMS, problem)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from HiggsML.isolation.cage.restrict import _try_everything; _try_everything()"
    )
    try:
        finished = subprocess.run(  # noqa: S603 (our own interpreter and code)
            [sys.executable, "-I", "-B", "-c", code, str(PACKAGE.parent)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_TIMEOUT,
            check=True,
            text=True,
        )
        protections: dict[str, str] = json.loads(finished.stdout)
    except subprocess.CalledProcessError as error:
        last_line = (error.stderr.strip() or "no message").splitlines()[-1]
        return dict.fromkeys(MECHANISMS, f"the probe failed: {last_line}")
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        return dict.fromkeys(MECHANISMS, f"the probe failed: {error}")
    return {name: protections[name] for name in MECHANISMS}


def missing(report: Mapping[str, str]) -> dict[str, str]:
    """Return those of the :data:`ESSENTIAL` mechanisms that do not hold, and why.

    Parameters
    ----------
    report : dict of str to str
        Of :func:`restrict_self` and :func:`protect_parent` together, or of :func:`probe`.

    Examples
    --------
    >>> missing(dict.fromkeys(MECHANISMS, "on"))
    {}
    """
    states = {name: report.get(name, "was not tried") for name in ESSENTIAL}
    return {name: state for name, state in states.items() if state != _ON}


def isolation_level(report: Mapping[str, str]) -> float:
    """Return a report of protections as a number, for a leaderboard's column.

    Returns
    -------
    float
        1 if all :data:`MECHANISMS` hold, 0.5 if the :data:`ESSENTIAL` ones do, else 0.

    Examples
    --------
    >>> isolation_level(dict.fromkeys(ESSENTIAL, "on"))
    0.5
    """
    if missing(report):
        return 0.0
    return 1.0 if all(report.get(name) == _ON for name in MECHANISMS) else 0.5


def _try_everything() -> None:
    limits = Limits(memory_bytes=1 << 40, processes=4096, file_bytes=1 << 40, open_files=256)
    policy = Policy(readable=(), writable=(), limits=limits, parent=os.getppid())
    # The parent's part comes last here: a non-dumpable process can not enter a user namespace.
    json.dump(restrict_self(policy)[0] | protect_parent(), sys.stdout)


def _check(policy: Policy) -> None:
    if any(path.resolve() == Path("/") for path in (*policy.readable, *policy.writable)):
        raise IsolationError('a policy that allows "/" restricts nothing: list directories')
    try:
        threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 (only their number)
    except OSError as error:
        raise IsolationError(f"/proc is needed to count threads: {error}") from error
    if threads != 1:
        raise IsolationError(
            f"this process has {threads} threads, and only the calling one would be restricted: "
            "restrict it before importing anything that starts threads"
        )
    if os.getppid() != policy.parent:
        raise IsolationError("the trusted process has ended, or the policy names another one")


def _try(option: int, value: int, *, refusal: str = "refused by the kernel") -> str:
    try:
        prctl(option, value)
    except OSError as error:
        return reason(refusal, error)
    return _ON


def _aims_to_refuse(parent: int) -> tuple[list[int], list[int]]:
    """Return the processes and threads, and the process groups, that must not be signaled.

    This matters where Landlock does not confine signals yet. Threads that the parent starts later
    and its other children are not covered there.
    """
    ancestors = [parent]
    while len(ancestors) < _MAX_ANCESTORS and ancestors[-1] > 1:
        ancestors.append(_parent_of(ancestors[-1]))
    try:
        threads = [int(path.name) for path in Path(f"/proc/{parent}/task").iterdir()]
    except OSError:
        threads = []
    groups = []
    for pid in ancestors:
        try:
            group = os.getpgid(pid)
        except OSError:
            continue
        groups += [-group] if group != os.getpgrp() else [-group, 0]
    return [pid for pid in (*ancestors, *threads) if pid > 0], groups


def _parent_of(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return 0  # not visible from here
    return int(_status_field(status, "PPid"))


def _status_field(status: str, name: str) -> str:
    return status.split(f"\n{name}:", 1)[1].split(None, 1)[0]


def _limit_resources(limits: Limits, *, own_user: bool) -> dict[str, str]:
    import resource  # not on every system where this module can be imported

    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_AS: limits.memory_bytes,
    }
    report = {"resource-limits": _ON, "process-limit": _ON}
    try:
        if limits.processes is not None:
            # Since Linux 5.14 a user namespace counts for itself; else all of the user's count.
            others = 0 if own_user and _kernel() >= (5, 14) else _tasks_of_user()
            _lower(resource.RLIMIT_NPROC, others + limits.processes)
        for which, value in wanted.items():
            if value is not None:
                _lower(which, value)
    except (OSError, ValueError) as error:
        report = dict.fromkeys(report, f"limits were refused: {error}")
    if os.getuid() == 0:
        report["process-limit"] = "Linux does not limit the processes of root"
    elif limits.processes is None:
        report["process-limit"] = "no limit was asked for"
    return report


def _lower(which: int, value: int) -> None:
    import resource

    _, hard = resource.getrlimit(which)
    allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (allowed, allowed))


def _kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])


def _tasks_of_user() -> int:
    """Count processes and threads of this user, as the kernel does for its limit."""
    user, count = str(os.getuid()), 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "status").read_text(errors="replace")
            except OSError:
                continue  # ended meanwhile
            if _status_field(status, "Uid") == user:
                count += int(_status_field(status, "Threads"))
    return count
