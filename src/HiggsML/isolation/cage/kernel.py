"""System calls that Python does not offer, by ctypes: one place for libc and its errors."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from functools import cache

__all__ = ["call", "libc", "machine", "prctl", "reason", "unsupported"]


@cache
def libc() -> ctypes.CDLL:
    """Return the C library this interpreter runs on."""
    return ctypes.CDLL(None, use_errno=True)


def machine() -> str:
    """Return the processor architecture as the kernel names it."""
    return os.uname().machine


def unsupported() -> str | None:
    """Return why nothing of this works on this machine, or None where it may."""
    if not sys.platform.startswith("linux"):
        return f"needs Linux (this is {sys.platform})"
    if machine() not in ("x86_64", "aarch64") or sys.maxsize < 2**32 or sys.byteorder != "little":
        return f"needs 64-bit x86_64 or aarch64 (this is {machine()})"
    return None


def call(function: str, *arguments: object) -> int:
    """Call a function of libc and return its result.

    Integers are passed as C longs, so that pointers and flags of 64 bits arrive whole.

    Raises
    ------
    OSError
        If it returns -1.
    """
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    ctypes.set_errno(0)
    result: int = getattr(libc(), function)(*converted)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), function)
    return result


def prctl(option: int, *arguments: object) -> int:
    """Call prctl(2) with its unused arguments zero, as some options demand."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    return call("prctl", option, *padded)


def reason(what: str, error: OSError) -> str:
    """Describe a refusal by the kernel in the words of a report."""
    name = errno.errorcode.get(error.errno or 0, "?")
    return f"{what}: {error.strerror or error} ({name})"
