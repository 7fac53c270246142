"""What a process can give up before anything else: shared namespaces and capabilities.

Constants are those of ``linux/sched.h``, ``linux/mount.h``, ``linux/prctl.h`` and
``linux/capability.h``.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from HiggsML.isolation.cage.kernel import call, prctl, reason

__all__ = ["NAMESPACES", "drop_capabilities", "enter_namespaces"]

NAMESPACES = (
    *("user-namespace", "network-namespace", "read-only-system", "private-shared-memory"),
    "hidden-parent",
)
"""What :func:`enter_namespaces` gives, in order."""

_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = 2, 4, 8, 1 << 14, 1 << 18
_MS_BIND = 1 << 12
_FLAGS = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
_SYS_MOUNT_SETATTR = 442  # on both architectures
_MOUNT_ATTR_RDONLY, _AT_RECURSIVE, _AT_FDCWD = 1, 0x8000, -100

_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITY_VERSION_3 = 0x20080522
_MAX_CAPABILITIES = 64


def enter_namespaces(
    shared_memory_bytes: int | None,
    *,
    hidden: Sequence[Path] = (),
    writable: Sequence[Path] = (),
) -> dict[str, str]:
    """Leave the namespaces of users, network and mounts, where the kernel grants that.

    The user keeps its number: files keep their owner. A fresh network namespace has no interface;
    the fresh mount namespace has an empty ``/dev/shm``, which ends with it, and nothing else that
    can be written: not even when a file was last read, which a later process could find.

    Parameters
    ----------
    shared_memory_bytes : int, optional
        Size of ``/dev/shm``; by default the kernel's (half of the memory).
    hidden : sequence of Path
        Directories that shall be empty in the mount namespace.
    writable : sequence of Path
        Directories that stay writable.

    Returns
    -------
    dict of str to str
        "on", or why not, for each of :data:`NAMESPACES`.
    """
    names = NAMESPACES
    # Tried by a throwaway process first: where the kernel grants the namespace but not the mapping
    # of users (AppArmor on Ubuntu), this process would be left without its user's number.
    code = _error_of_trial()
    if code:
        error = OSError(code, os.strerror(code))
        return dict.fromkeys(names, reason("user namespaces are refused here", error))
    report = {"user-namespace": "on"}
    try:
        _enter_user_namespace()
    except OSError as error:
        return dict.fromkeys(names, reason("user namespaces are refused here", error))
    try:
        call("unshare", _CLONE_NEWNET)
        report["network-namespace"] = "on"
    except OSError as error:
        report["network-namespace"] = reason("network namespaces are refused here", error)
    try:
        call("unshare", _CLONE_NEWNS)
        call("mount", None, b"/", None, _MS_REC | _MS_PRIVATE, None)
    except OSError as error:
        return report | dict.fromkeys(names[2:], reason("no private mount", error))
    try:
        _mount_read_only(writable)
        report["read-only-system"] = "on"
    except OSError as error:
        report["read-only-system"] = reason("no mounts for reading only", error)
    try:
        _mount_private_shared_memory(shared_memory_bytes)
        report["private-shared-memory"] = "on"
    except OSError as error:
        report["private-shared-memory"] = reason("no private mount", error)
    try:
        for directory in hidden:
            call("mount", b"tmpfs", os.fsencode(directory), b"tmpfs", _FLAGS, b"mode=0,size=4k")
        report["hidden-parent"] = "on"
    except OSError as error:
        report["hidden-parent"] = reason("its entry in /proc can not be covered", error)
    return report


def _error_of_trial() -> int:
    """Return the error number with which entering a user namespace fails, or 0."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _enter_user_namespace()
            code = 0
        except OSError as error:
            code = min(error.errno or 1, 255)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _enter_user_namespace() -> None:
    user, group = os.geteuid(), os.getegid()
    call("unshare", _CLONE_NEWUSER)
    _write("/proc/self/setgroups", "deny")  # without it, no group may be mapped
    _write("/proc/self/uid_map", f"{user} {user} 1")
    _write("/proc/self/gid_map", f"{group} {group} 1")


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _mount_read_only(writable: Sequence[Path]) -> None:
    """Have every file system for reading only (devices still work), but for some directories."""
    directories = [os.fsencode(path) for path in writable if path.is_dir()]
    for directory in directories:
        call("mount", directory, directory, None, _MS_BIND, None)
    _set_mount(b"/", _AT_RECURSIVE, add=_MOUNT_ATTR_RDONLY)
    for directory in directories:
        _set_mount(directory, 0, remove=_MOUNT_ATTR_RDONLY)
    os.chdir(Path.cwd())  # into the mount that can be written


def _set_mount(directory: bytes, flags: int, *, add: int = 0, remove: int = 0) -> None:
    attributes = struct.pack("=QQQQ", add, remove, 0, 0)
    arguments = (_AT_FDCWD, directory, flags, attributes, len(attributes))
    call("syscall", _SYS_MOUNT_SETATTR, *arguments)


def _mount_private_shared_memory(size: int | None) -> None:
    if not Path("/dev/shm").is_dir():  # noqa: S108 (the fixed place of POSIX shared memory)
        raise FileNotFoundError(2, os.strerror(2))
    options = b"mode=1777" + (b"" if size is None else b",size=%d" % size)
    call("mount", b"tmpfs", b"/dev/shm", b"tmpfs", _FLAGS, options)


def drop_capabilities() -> str:
    """Give up every capability, for good: also those a program of root would be given anew.

    Returns
    -------
    str
        "on", or why not.
    """
    for capability in range(_MAX_CAPABILITIES):
        try:
            if prctl(_PR_CAPBSET_READ, capability) == 1:
                prctl(_PR_CAPBSET_DROP, capability)
        except OSError:
            # Past the last one; or an ordinary user, who has none to drop: with no-new-privileges
            # the bounding set gives nothing back.
            break
    try:
        prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
        header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
        call("capset", header, bytes(24))
        current = ctypes.create_string_buffer(24)
        call("capget", header, current)
    except OSError as error:
        return reason("capabilities were not dropped", error)
    return "on" if not any(current.raw) else "the kernel left some capabilities"
