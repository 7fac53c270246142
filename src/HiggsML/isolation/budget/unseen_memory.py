"""Memory that a submission holds and no process's account shows: shared memory, sockets, pipes.

A file in ``/dev/shm`` stays in memory though nobody has mapped it, and so does what waits to be
read in a socket or a pipe. Other kinds (memory files, System V, shared mappings without a file) are
refused by the :mod:`system-call filter <HiggsML.isolation.cage.seccomp>`.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from HiggsML.machine import process_memory

__all__ = ["UnseenMemory", "of_files", "proportional"]

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (the fixed place of POSIX shared memory)
_PAGE = mmap.PAGESIZE
_PIECE = 1 << 16
_PIPE_BYTES = 16 * _PAGE  # of a new pipe
_SMALL_PIPE_BYTES = 2 * _PAGE  # of one beyond the user's soft limit
_FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class UnseenMemory:
    """What the processes of a restricted submission hold in ``/dev/shm``, sockets and pipes.

    Parameters
    ----------
    pid : int
        The submission's first process, after it has restricted itself and before it runs the
        submission's code.
    private_files, private_network : bool
        Whether it has its own ``/dev/shm`` and network namespace.
    served : bool
        Whether the trusted process makes its files in ``/dev/shm``, and so removes them itself.
    """

    def __init__(
        self, pid: int, *, private_files: bool, private_network: bool, served: bool
    ) -> None:
        self._private_files, self._served = private_files, served
        self._private_network = private_network
        self._files = self._sockets = -1
        root = Path(f"/proc/{pid}/root") if private_files else Path("/")
        with contextlib.suppress(OSError):
            self._files = os.open(root / "dev/shm", os.O_PATH | os.O_DIRECTORY)
        with contextlib.suppress(OSError):
            self._sockets = os.open(f"/proc/{pid}/net/unix", os.O_RDONLY)
        # Of the machine where there are no namespaces: what others have is not counted.
        self._names = set() if private_files else set(_names(_SHARED_MEMORY))
        self._files_at_start = 0 if private_files else self._file_bytes()
        self._sockets_at_start = 0 if private_network else self._socket_count()
        # A writer may exceed its limit by one message, and a message be as large as the limit.
        self._socket_bytes = 2 * _number("/proc/sys/net/core/wmem_default", 212_992)
        self._pipe_pages = _number("/proc/sys/fs/pipe-user-pages-soft", 16_384)

    @property
    def device(self) -> int | None:
        """Device number of the files in ``/dev/shm``."""
        return os.fstat(self._files).st_dev if self._files >= 0 else None

    def files(self) -> int:
        """Return the size of the files in ``/dev/shm``, those without a name too [bytes]."""
        return max(0, self._file_bytes() - self._files_at_start)

    def sockets(self, members: Sequence[int]) -> int:
        """Return the most that may wait in sockets [bytes]."""
        count = max(0, self._socket_count() - self._sockets_at_start)
        if count and not self._private_network:
            # Of the machine: no more than are open here, or on their way between processes.
            under_way = max(map(_most_open_files, members), default=0)
            count = min(count, sum(map(_open_files, members)) + under_way)
        return count * self._socket_bytes

    def pipes(self, members: Iterable[int], *, exact: bool = False) -> int:
        """Return the most that may wait in pipes [bytes]; ``exact`` counts each pipe once."""
        count = len(set(_pipes(members))) if exact else sum(map(_open_files, members)) // 2
        full = count * _PIPE_BYTES
        if self._pipe_pages == 0:  # no limit
            return full
        return min(full, self._pipe_pages * _PAGE + count * _SMALL_PIPE_BYTES)

    def close(self) -> None:
        """Remove what the submission has left in the machine's ``/dev/shm``; it has ended."""
        for descriptor in (self._files, self._sockets):
            if descriptor >= 0:
                os.close(descriptor)
        self._files = self._sockets = -1
        # Where they are known none is guessed: a semaphore may be that of a process in which
        # this one, having fewer capabilities, can not see that it is in use.
        if self._private_files or self._served:
            return
        left = [name for name in set(_names(_SHARED_MEMORY)) - self._names if _is_its_own(name)]
        for name in set(left) - _in_use(left):
            with contextlib.suppress(OSError):
                (_SHARED_MEMORY / name).unlink()

    def _file_bytes(self) -> int:
        if self._files < 0:
            return 0
        status = os.fstatvfs(self._files)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    def _socket_count(self) -> int:
        """Count the sockets of a network namespace: the lines of a table with a heading."""
        if self._sockets < 0:
            return 0
        lines, offset = -1, 0
        while piece := os.pread(self._sockets, _PIECE, offset):
            lines += piece.count(b"\n")
            offset += len(piece)
        return lines


def proportional(members: Iterable[int], without: int | None = None) -> int:
    """Return the memory of processes, shared pages counted once [bytes].

    Of files that are mapped privately, pages that were written to count: the others are the files'.

    Parameters
    ----------
    members : iterable of int
        Process numbers.
    without : int, optional
        Device of files whose pages are counted elsewhere.
    """
    device = b"" if without is None else b"%02x:%02x" % (os.major(without), os.minor(without))
    total = 0
    for pid in members:
        try:
            with open(f"/proc/{pid}/smaps", "rb") as file:  # noqa: PTH123
                counts, of_file, pages = True, False, 0
                for line in file:
                    if line.startswith(b"Pss:"):
                        pages = int(line.split()[1]) * 1024 if counts else 0
                        total += 0 if of_file else pages
                    elif of_file and line.startswith(b"Anonymous:"):
                        total += min(pages, int(line.split()[1]) * 1024)
                    elif not line[:1].isupper():  # the heading of a mapping
                        _, mode, _, file_device, inode, *_ = line.split()
                        counts, of_file = file_device != device, b"p" in mode and inode != b"0"
        except PermissionError:  # it has made itself non-dumpable: all of its pages count
            total += process_memory(pid)[0]
        except (OSError, ValueError, IndexError):
            continue  # ended meanwhile
    return total


def of_files(pid: int) -> int:
    """Return the pages of files, shared memory too, that a process has mapped [bytes]."""
    return process_memory(pid)[1]


def _open_files(pid: int) -> int:
    """Return how many files a process has open, as many as it may where it does not say."""
    try:
        # Linux 6.2 and later say it in the directory's size.
        return os.stat(f"/proc/{pid}/fd").st_size or len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH116, PTH208 (fast)
    except PermissionError:
        return _most_open_files(pid)
    except OSError:
        return 0  # ended meanwhile


def _most_open_files(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines():
            if line.startswith("Max open files"):
                return int(line.split()[3])
    return 1024


def _pipes(members: Iterable[int]) -> Iterator[str]:
    for pid in members:
        try:
            for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 (fast)
                with contextlib.suppress(OSError):
                    target = os.readlink(f"/proc/{pid}/fd/{name}")  # noqa: PTH115
                    if target.startswith("pipe:"):
                        yield target
        except PermissionError:
            yield from (f"{pid}:{number}" for number in range(_most_open_files(pid)))
        except OSError:
            continue  # ended meanwhile


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208
    except OSError:
        return []


def _is_its_own(name: str) -> bool:
    """Return whether a submission may have made this file: its user's, and nobody else's."""
    try:
        status = (_SHARED_MEMORY / name).lstat()
    except OSError:
        return False
    return status.st_uid == os.geteuid() and not status.st_mode & _FOR_OTHERS


def _in_use(names: Iterable[str]) -> set[str]:
    """Return those files in ``/dev/shm`` that a process has open or mapped."""
    paths = {f"{_SHARED_MEMORY}/{name}": name for name in names}
    in_use: set[str] = set()
    for process in Path("/proc").iterdir() if paths else ():
        if not process.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            for line in (process / "maps").read_text(errors="surrogateescape").splitlines():
                in_use |= {paths[part] for part in [line[line.find("/") :]] if part in paths}
        with contextlib.suppress(OSError):
            for link in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    in_use |= {paths[part] for part in [str(link.readlink())] if part in paths}
    return in_use


def _number(path: str, default: int) -> int:
    try:
        return int(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return default
