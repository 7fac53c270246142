"""Landlock: the kernel's access control that a process may impose on itself.

Rights and structures are those of ``linux/landlock.h``. Everything the kernel can control is denied
unless a path below allows it. Not controlled by Landlock, whatever its version: reading metadata
(``stat``), changing modes, owners, times or extended attributes, and watching directories; the
:mod:`system-call filter <HiggsML.isolation.cage.seccomp>` deals with those that change or watch.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

from HiggsML.isolation.cage.kernel import call, reason, unsupported

__all__ = ["abi", "restrict"]

# The same numbers on both architectures.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_CHAR, _MAKE_DIR = 1 << 4, 1 << 5, 1 << 6, 1 << 7
_MAKE_REG, _MAKE_SOCK, _MAKE_FIFO, _MAKE_BLOCK = 1 << 8, 1 << 9, 1 << 10, 1 << 11
_MAKE_SYM, _REFER, _TRUNCATE, _IOCTL_DEV = 1 << 12, 1 << 13, 1 << 14, 1 << 15
_RESOLVE_UNIX = 1 << 16

_READ = _EXECUTE | _READ_FILE | _READ_DIR
_ALL = (1 << 17) - 1
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
# Named semaphores and shared memory (multiprocessing) live here, next to those of other programs:
# without the right to list it, a foreign name must be guessed; without that to make directories,
# joblib puts its large arrays into the temporary directory instead.
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (the fixed place of POSIX shared memory)
_IN_SHARED_MEMORY = _READ_FILE | _WRITE_FILE | _TRUNCATE | _MAKE_REG | _REMOVE_FILE

_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_UNIX, _SCOPE_SIGNAL = 1 << 0, 1 << 1

_FS_SINCE = {1: (1 << 13) - 1, 2: _REFER, 3: _TRUNCATE, 5: _IOCTL_DEV, 9: _RESOLVE_UNIX}
_KERNEL_OF_ABI = {3: "Linux 6.2", 4: "Linux 6.7", 6: "Linux 6.12"}


def abi() -> int:
    """Return the version of Landlock that the kernel offers.

    Raises
    ------
    OSError
        If it offers none.
    """
    return call("syscall", _CREATE_RULESET, None, 0, _VERSION_FLAG)


def restrict(
    *, readable: Iterable[Path], writable: Iterable[Path], listable: Iterable[Path] = ()
) -> dict[str, str]:
    """Confine this process, and all that it starts, to these paths; no TCP, no foreign signals.

    Parameters
    ----------
    readable : iterable of Path
        Directories and files that stay readable and executable, with all below them.
    writable : iterable of Path
        The same with every right. Paths that do not exist are skipped.
    listable : iterable of Path
        Directories whose names, and those below, can be listed; no file in them can be opened.

    Returns
    -------
    dict of str to str
        "landlock-files", "landlock-network" and "landlock-scope": "on", or why not.
    """
    names = ("landlock-files", "landlock-network", "landlock-scope")
    if problem := unsupported():
        return dict.fromkeys(names, problem)
    try:
        version = abi()
        _enforce(version, readable, writable, listable)
    except OSError as error:
        return dict.fromkeys(names, reason("Landlock is not available", error))
    states = {
        name: "on"
        if version >= needed
        else f"Landlock version {version} lacks it ({_KERNEL_OF_ABI[needed]} has it)"
        for name, needed in zip(names, (3, 4, 6), strict=True)
    }
    if version < 3:
        states["landlock-files"] = (
            f"Landlock version {version} does not control truncation (Linux 6.2 does)"
        )
    try:
        os.close(os.open("/", os.O_RDONLY | os.O_DIRECTORY))
        states["landlock-files"] = "the kernel accepted the rules but does not apply them"
    except PermissionError:
        pass
    return states


def _enforce(
    version: int, readable: Iterable[Path], writable: Iterable[Path], listable: Iterable[Path]
) -> None:
    handled = 0
    for since, rights in _FS_SINCE.items():
        handled |= rights if version >= since else 0
    # struct landlock_ruleset_attr; a kernel that knows fewer of its fields accepts zeros there.
    attributes = struct.pack(
        "=QQQ",
        handled,
        _BIND_TCP | _CONNECT_TCP if version >= 4 else 0,
        _SCOPE_ABSTRACT_UNIX | _SCOPE_SIGNAL if version >= 6 else 0,
    )
    ruleset = call("syscall", _CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for path in readable:
            _allow(ruleset, path, _READ & handled)
        for path in listable:
            _allow(ruleset, path, _READ_DIR)
        for path in writable:
            rights = _IN_SHARED_MEMORY if path == _SHARED_MEMORY else _ALL
            _allow(ruleset, path, rights & handled)
        call("syscall", _RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what can not be reached needs no right
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_A_FILE
        attributes = struct.pack("=Qi", rights, descriptor)  # struct landlock_path_beneath_attr
        call("syscall", _ADD_RULE, ruleset, _PATH_BENEATH, attributes, 0)
    finally:
        os.close(descriptor)
