"""A ``/dev/shm`` of a submission's own where the kernel grants no mount, as in a container.

Every lock of :mod:`multiprocessing` is a file in ``/dev/shm``, and there the processes of two
workers, or of two runs, would meet. So the directory is closed to them. The calls that would use it
are handed to the trusted process (``SECCOMP_RET_USER_NOTIF``), which does the same in a directory
that belongs to this submission alone. All other calls go on as if nobody had looked, to meet the
walls that stand anyway: nothing is decided here by what another thread could still change.

Structures are those of ``linux/seccomp.h``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import struct
import tempfile
import threading
from pathlib import Path

from HiggsML.files import remove_tree
from HiggsML.isolation.cage.seccomp import redirected

with contextlib.suppress(ImportError):  # Windows imports this, and runs no submission
    import fcntl

__all__ = ["SharedFiles"]

_SHARED_MEMORY = "/dev/shm"  # noqa: S108 (the fixed place of POSIX shared memory)
_NAME = re.compile(rb"/dev/shm/([^/\0]{1,255})\0")
_NOTICE = struct.Struct("=QIIiIQ6Q")  # struct seccomp_notif
_RESPONSE = struct.Struct("=QqiI")
_DESCRIPTOR = struct.Struct("=QIIII")  # struct seccomp_notif_addfd
_RECEIVE, _SEND, _STILL_THERE, _ADD = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
_CONTINUE, _ADD_AND_SEND = 1, 2
_AT_FDCWD = -100
_LONGEST_PATH = 4096
_PAGE = 4096
_OPEN_FLAGS = os.O_ACCMODE | os.O_CREAT | os.O_EXCL | os.O_TRUNC


class SharedFiles:
    """Serves a submission's files in ``/dev/shm``, in a thread of its own.

    Parameters
    ----------
    listener : int
        Descriptor from :func:`HiggsML.isolation.cage.seccomp.redirect`; owned by this object.

    Attributes
    ----------
    directory : Path
        Where the files are.
    """

    def __init__(self, listener: int) -> None:
        self._listener = listener
        self.directory = Path(tempfile.mkdtemp(prefix="higgsml-", dir=_SHARED_MEMORY))
        self._inside = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._end = os.eventfd(0)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Remove the files; the submission has ended."""
        os.eventfd_write(self._end, 1)
        self._thread.join()
        for descriptor in (self._listener, self._inside, self._end):
            os.close(descriptor)
        remove_tree(self.directory)

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._end, select.POLLIN)
        while True:
            events = dict(poll.poll())
            if self._end in events or not events[self._listener] & select.POLLIN:
                return  # the end, or nobody is left who could ask
            with contextlib.suppress(OSError):  # who asked may have been killed meanwhile
                self._answer()

    def _answer(self) -> None:
        buffer = bytearray(_NOTICE.size)
        fcntl.ioctl(self._listener, _RECEIVE, buffer)
        identity, pid, _, number, _, _, *arguments = _NOTICE.unpack(buffer)
        try:
            opened = self._act(identity, pid, redirected()[number], arguments)
        except _NotOursError:
            self._respond(identity, 0, _CONTINUE)
        except OSError as error:
            self._respond(identity, -(error.errno or errno.EIO), 0)
        else:
            if opened is None:
                self._respond(identity, 0, 0)
                return
            try:
                added = _DESCRIPTOR.pack(identity, _ADD_AND_SEND, opened, 0, os.O_CLOEXEC)
                fcntl.ioctl(self._listener, _ADD, added)
            except OSError as error:  # too many open files there
                self._respond(identity, -(error.errno or errno.EIO), 0)
            finally:
                os.close(opened)

    def _act(self, identity: int, pid: int, call: str, arguments: list[int]) -> int | None:
        """Do what a call asks for, in the directory; return the descriptor that it gives."""
        positions = {"openat": (1,), "unlink": (0,), "unlinkat": (1,), "link": (0, 1)}
        positions["linkat"] = (1, 3)
        names = [self._name(identity, pid, arguments[position]) for position in positions[call]]
        if call == "openat":
            flags = arguments[2] & _OPEN_FLAGS | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            return os.open(names[0], flags, arguments[3] & 0o600, dir_fd=self._inside)
        if call in ("link", "linkat"):
            directory = self._inside
            os.link(*names, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
        else:
            os.unlink(names[0], dir_fd=self._inside)
        return None

    def _name(self, identity: int, pid: int, address: int) -> bytes:
        """Return the name below ``/dev/shm`` in a call's argument."""
        try:
            with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:  # noqa: PTH123
                # The caller still waits: the number is not another process's by now.
                fcntl.ioctl(self._listener, _STILL_THERE, struct.pack("=Q", identity))
                memory.seek(address)
                path = memory.read(min(_LONGEST_PATH, _PAGE - address % _PAGE))
                if b"\0" not in path:
                    path += memory.read(_LONGEST_PATH - len(path))
        except (OSError, OverflowError, ValueError):
            raise _NotOursError from None
        matched = _NAME.match(path)
        if matched is None or matched[1] in (b".", b".."):
            raise _NotOursError
        return matched[1]

    def _respond(self, identity: int, error: int, flags: int) -> None:
        fcntl.ioctl(self._listener, _SEND, _RESPONSE.pack(identity, 0, error, flags))


class _NotOursError(Exception):
    """A call that has nothing to do with ``/dev/shm``, or that can not be looked at."""
