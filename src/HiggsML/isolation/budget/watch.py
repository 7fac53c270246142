"""What a submission's processes use together, as the trusted process sees it from outside.

The submission can not leave its process group (the system-call filter refuses it), so the group is
the whole tree, orphans included. Elsewhere than on Linux only temporary files are seen.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from HiggsML.files import size_text
from HiggsML.isolation.budget.budgets import Budgets
from HiggsML.isolation.budget.unseen_memory import UnseenMemory, of_files, proportional

__all__ = ["TICK", "Watch"]

TICK = 0.1  # s between two looks
_TICKS_PER_DISK = 5
_TICKS_PER_CLOCK = 50
_MAX_DEPTH = 64  # of directories; deeper ones serve to hide something
_PAGE = mmap.PAGESIZE
# Positions in /proc/PID/stat after the name, which may itself contain blanks and parentheses.
_GROUP, _THREADS, _RESIDENT = 2, 17, 21
# Below this the machine itself is in danger, whoever uses the memory.
_LOW_MEMORY = 256 << 20
_LOW_DISK = 256 << 20


class _Usage(NamedTuple):
    tasks: int
    resident: int
    members: tuple[int, ...]


class Watch:
    """Compares a process group with its budgets.

    Parameters
    ----------
    group : int
        Process group, which is also the number of its first process.
    private : Path
        Directory of its temporary files.
    budgets : Budgets
        With the machine's defaults filled in.
    mapped_bytes : int
        Size of a file that each process may map: what it has not written to is no memory of its
        own, since the kernel can drop it.

    Attributes
    ----------
    unseen : UnseenMemory or None
        Counts what is in no process's account, once the submission is about to run.
    """

    def __init__(
        self, group: int, private: Path, budgets: Budgets, *, mapped_bytes: int = 0
    ) -> None:
        self._group = group
        self._private = private
        self._budgets = budgets
        self._mapped_bytes = mapped_bytes
        self._strangers: set[str] = set()
        self._ticks = 0
        self._counting: threading.Thread | None = None
        self._counted = 0
        self.unseen: UnseenMemory | None = None
        self._free_at_start = _free_bytes(private)
        self._available_at_start = _available_memory()

    def resident(self) -> int:
        """Return the memory in use now; pages that processes share count for each [bytes]."""
        return self._usage().resident

    def exceeded(self) -> str | None:
        """Return which budget is exceeded, in a sentence for the participant, or None."""
        self._ticks += 1
        usage = self._usage()
        limit = self._budgets
        if limit.tasks is not None and usage.tasks > limit.tasks:
            return (
                "the submission ran too many processes and threads at a time; its budget is "
                f"{limit.tasks:,}"
            )
        used = self._memory(usage)
        if limit.memory_bytes is not None and used > limit.memory_bytes:
            return (
                f"the submission used {size_text(used)} of memory; its budget is "
                f"{size_text(limit.memory_bytes)}"
            )
        if self._ticks % _TICKS_PER_DISK == 0:
            return self._exceeded_storage(usage)
        return None

    def _exceeded_storage(self, usage: _Usage) -> str | None:
        available = _available_memory()
        # Buffers of sockets and shared memory without a name are in no process's account, so a
        # small submission may be the reason too. The kernel would end it first in any case.
        taken = max(usage.resident, self._available_at_start - available)
        if available < _LOW_MEMORY < taken:
            return (
                f"the machine ran out of memory (less than {size_text(_LOW_MEMORY)} is left) while "
                f"the submission used {size_text(usage.resident)}"
            )
        free = _free_bytes(self._private)
        taken = self._free_at_start - free
        if free < _LOW_DISK < taken:
            return f"the disk of temporary files is full (less than {size_text(_LOW_DISK)} is left)"
        problem = exceeded_by_files(self._private, self._budgets)
        if problem is None and taken > self._budgets.disk_bytes:
            # Someone has stored more than this directory shows: files may be open without a name,
            # or be moved about faster than they are found.
            with self._standing_still() as members:
                unnamed = _unnamed_bytes(members, self._private.stat().st_dev)
                problem = exceeded_by_files(self._private, self._budgets, unnamed=unnamed)
        return problem

    @contextlib.contextmanager
    def _standing_still(self) -> Iterator[tuple[int, ...]]:
        """Stop all processes of the group for a moment, and give their numbers."""
        try:
            os.killpg(self._group, signal.SIGSTOP)
            yield self._usage().members
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._group, signal.SIGCONT)

    def _memory(self, usage: _Usage) -> int:
        """Return the memory in use; pages that forked processes share are counted once."""
        limit = self._budgets.memory_bytes
        elsewhere = self._most_elsewhere(usage.members)
        used = usage.resident + elsewhere
        if limit is not None and used > limit and self._mapped_bytes:
            used -= sum(min(self._mapped_bytes, of_files(pid)) for pid in usage.members)
        if limit is None or used <= limit or (len(usage.members) == 1 and not elsewhere):
            return used
        # The kernel's exact count waits for processes that are just forking. While many are, the
        # watch must go on, so a thread of its own waits there.
        if self._counting is None or not self._counting.is_alive():
            self._counting = threading.Thread(
                target=self._count_exactly, args=(usage.members,), daemon=True
            )
            self._counting.start()
        return self._counted

    def _count_exactly(self, members: tuple[int, ...]) -> None:
        unseen = self.unseen
        if unseen is None:
            self._counted = proportional(members)
            return
        # Pages of files in /dev/shm that are mapped, too, count as that file's.
        apart = unseen.files() + unseen.sockets(members) + unseen.pipes(members, exact=True)
        self._counted = apart + proportional(members, unseen.device)

    def _most_elsewhere(self, members: tuple[int, ...]) -> int:
        unseen = self.unseen
        if unseen is None:
            return 0
        return unseen.files() + unseen.sockets(members) + unseen.pipes(members)

    def _usage(self) -> _Usage:
        try:
            names = {name for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 (fast)
        except OSError:
            return _Usage(0, 0, ())
        if self._ticks % _TICKS_PER_CLOCK == 0:
            self._strangers.clear()  # a process number may be used again
        self._strangers &= names
        tasks = resident = 0
        members = []
        for name in names - self._strangers:
            try:
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 (fast)
                    fields = file.read().rpartition(b")")[2].split()
                group = int(fields[_GROUP])
            except (OSError, IndexError, ValueError):
                continue  # ended meanwhile
            if group != self._group:
                self._strangers.add(name)
                continue
            tasks += max(1, int(fields[_THREADS]))
            resident += int(fields[_RESIDENT]) * _PAGE
            members.append(int(name))
            if self._budgets.tasks is not None and tasks > self._budgets.tasks:
                # Among thousands of processes this one gets little time: no more work than needed.
                break
        return _Usage(tasks, resident, tuple(members))


def wait_for_end(group: int, *, timeout: float) -> bool:
    """Wait until no process of a group that was killed is left; True if so."""
    end = time.monotonic() + timeout
    while True:
        try:
            # In a container the trusted process inherits orphans and has to collect them.
            while os.waitpid(-group, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False  # a stranger's: the number is in use again
        if time.monotonic() > end:
            return False
        time.sleep(0.005)


def exceeded_by_files(directory: Path, budgets: Budgets, *, unnamed: int = 0) -> str | None:
    """Return which budget the files below a directory exceed, or None.

    ``unnamed`` are the bytes of further files, which have no name there.
    """
    size, count = unnamed, 0
    todo = [(str(directory), 0)]
    while todo:
        path, depth = todo.pop()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    count += 1
                    if count > budgets.files:
                        return (
                            "the submission made too many temporary files; its budget is "
                            f"{budgets.files:,}"
                        )
                    try:
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
                        if entry.is_dir(follow_symlinks=False):
                            todo.append((entry.path, depth + 1))
                    except OSError:
                        continue  # removed meanwhile
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:  # closed to us, or a path too long for the kernel
            return f"the submission hid temporary files ({error.strerror}), which no budget allows"
        if depth > _MAX_DEPTH:
            return (
                f"the submission nested directories for temporary files more than {_MAX_DEPTH} "
                "deep, which no budget allows"
            )
        if size > budgets.disk_bytes:
            return (
                f"the submission stored {size_text(size)} in temporary files; its budget is "
                f"{size_text(budgets.disk_bytes)}"
            )
    return None


def _unnamed_bytes(members: tuple[int, ...], device: int) -> int:
    """Return the size of files that processes hold open on a device after their last name went."""
    sizes = {}
    for pid in members:
        with contextlib.suppress(OSError):  # ended meanwhile, or closed to us
            for entry in os.scandir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    file = entry.stat()
                    here = stat.S_ISREG(file.st_mode) and file.st_dev == device
                    if here and file.st_nlink == 0:
                        sizes[file.st_ino] = file.st_blocks * 512
    return sum(sizes.values())


def _available_memory() -> int:
    try:
        with open("/proc/meminfo", "rb") as file:  # noqa: PTH123
            for line in file:
                if line.startswith(b"MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 1 << 62


def _free_bytes(directory: Path) -> int:
    try:
        status = os.statvfs(directory)
    except OSError:
        return 1 << 62
    return status.f_bavail * status.f_frsize
