"""Files as users have them: hidden companions, Git LFS pointers, names that are not ASCII."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from HiggsML.errors import DataError

__all__ = ["openable", "refuse_pointer", "visible"]

_POINTER = b"version https://git-lfs.github.com/spec/"


def visible(directory: Path, pattern: str) -> list[Path]:
    """Return what matches a pattern, sorted, without hidden files and macOS's ``__MACOSX``."""
    return [
        path
        for path in sorted(directory.glob(pattern))
        if not any(part.startswith((".", "__MACOSX")) for part in path.relative_to(directory).parts)
    ]


def refuse_pointer(path: Path) -> None:
    """Refuse a Git LFS pointer in place of a file.

    Raises
    ------
    DataError
        If it is one.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(_POINTER))
    except OSError:
        return  # its reader says more
    if start == _POINTER:
        raise DataError(
            f"{path} is a Git LFS pointer, not the data: fetch the file with 'git lfs pull'"
        )


def openable(path: Path) -> Path | BinaryIO:
    """Return what PyArrow can open: the path, or the open file if the path is not valid UTF-8.

    In a locale that knows ASCII only, Python keeps the other bytes of a name as surrogates.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return path.open("rb")
    return path
