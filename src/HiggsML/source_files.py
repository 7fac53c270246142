"""Files as users have them: hidden companions, other kinds of files, names that are not ASCII."""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import BinaryIO

from HiggsML.errors import DataError

try:
    from lzma import LZMAError
except ImportError:  # a Python that was built without it
    LZMAError = zlib.error  # type: ignore[assignment,misc]

__all__ = [
    "KINDS",
    "UNPACKING_ERRORS",
    "ZIP",
    "check_file",
    "folder_content",
    "known_kind",
    "openable",
    "similar_names",
    "visible",
]

_WEB_PAGE = "a web page, not the data: a login or a proxy answered in place of the server"
KINDS = {
    b"version https://git-lfs.github.com/spec/": (
        "a Git LFS pointer, not the data: fetch the file with 'git lfs pull'"
    ),
    b"/annex/objects/": "a git-annex pointer, not the data: fetch the file with 'git annex get'",
    b"PK\x03\x04": "a zip archive (or a spreadsheet, which is one): unpack it, or export a table",
    b"PK\x05\x06": "an empty zip archive",
    b"\x1f\x8b": "compressed by gzip: unpack it with gunzip",
    b"BZh": "compressed by bzip2: unpack it with bunzip2",
    b"\xfd7zXZ\0": "compressed by xz: unpack it with unxz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: unpack it with unzstd",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
    b"PAR1": "a parquet file: write it as another kind, with pandas for instance",
    b"ARROW1": "an Arrow (Feather) file: write it as another kind, with PyArrow for instance",
    b"root\0": "a ROOT file: write its events as another kind, with Uproot for instance",
    b"\x89HDF": "an HDF5 file: write its events as another kind, with pandas for instance",
    b"\x93NUMPY": "a NumPy file: write its events as another kind, with pandas for instance",
    b"SQLite format 3": "a SQLite database: export a table",
    b"%PDF": "a PDF document, not the data",
    b"<!doctype html": _WEB_PAGE,
    b"<html": _WEB_PAGE,
    b"<?xml": "an XML document, not the data: a server's error message, perhaps",
}
"""By their first bytes (of text in lower case): what files are, and what to do about them."""

ZIP = b"PK\x03\x04"

UNPACKING_ERRORS = (
    *(EOFError, OSError, RuntimeError, ValueError, struct.error),
    *(zipfile.BadZipFile, zlib.error, LZMAError),
)
"""What unpacking raises for what is damaged, encrypted, or packed in an unknown way."""

_START_BYTES = 512
_NAMED = 5  # files or folders in a message


def visible(directory: Path, pattern: str) -> list[Path]:
    """Return what matches a pattern, sorted, without hidden files and macOS's ``__MACOSX``."""
    return [
        path
        for path in sorted(directory.glob(pattern))
        if not any(part.startswith((".", "__MACOSX")) for part in path.relative_to(directory).parts)
    ]


def known_kind(start: bytes) -> bytes | None:
    """Return the key of :data:`KINDS` of a file that starts so, None for a kind not known.

    Examples
    --------
    >>> known_kind(b"PAR1..."), known_kind(b" <!DOCTYPE html>"), known_kind(b"lep_pt_0,")
    (b'PAR1', b'<!doctype html', None)
    """
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for signature in KINDS:
        if start.startswith(signature) or (signature[:1] == b"<" and text.startswith(signature)):
            return signature
    return None


def check_file(path: Path, *, may_be: Collection[bytes] = ()) -> bytes:
    """Return the first bytes of a file; refuse what is none, and files of another known kind.

    Parameters
    ----------
    path : Path
        Of the file.
    may_be : collection of bytes
        Keys of :data:`KINDS` that are fine.

    Raises
    ------
    DataError
        If it can not be opened, is a folder or pipe, or of another kind, a Git LFS pointer for
        instance. The message says what it is.
    """
    try:
        mode = path.stat().st_mode
        start = b""
        if stat.S_ISREG(mode):  # of a pipe: nobody may ever write into it
            with path.open("rb") as file:
                start = file.read(_START_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        if re.match(r"\w+:/", str(path)):
            reason = ": it is an address, so fetch the file first"
        else:
            reason = ": it is a link to nothing" if path.is_symlink() else ""
        raise DataError(f"{path} does not exist{reason}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} can not be opened: {error}") from error
    if stat.S_ISDIR(mode):
        raise DataError(f"{path} is a folder, not a file{folder_content(path)}")
    if not stat.S_ISREG(mode):
        raise DataError(f"{path} is a pipe or a device: name a regular file")
    kind = known_kind(start)
    if kind is not None and kind not in may_be:
        raise DataError(f"{path} is {KINDS[kind]}")
    return start


def folder_content(directory: Path) -> str:
    """Return the end of a sentence that says what is in a folder: "; it holds a.csv, b.csv"."""
    names = [path.name + "/" * path.is_dir() for path in visible(directory, "*")]
    if not names:
        return "; it is empty"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"; it holds {', '.join(names[:_NAMED])}{more}"


def similar_names(wanted: Iterable[str], there: Iterable[str]) -> str:
    """Return the end of a sentence that names columns that differ only in case, spaces or marks.

    Examples
    --------
    >>> similar_names(["PRI_met", "weights"], ["pri_met ", "Weights", "other"])
    "; it has 'pri_met ', 'Weights': rename them"
    >>> similar_names(["PRI_met"], ["other"])
    ''
    """

    def plain(name: str) -> str:
        return re.sub(r"\W|_", "", name).lower()

    looked_for = {plain(name) for name in wanted}
    close = [repr(name) for name in there if plain(name) in looked_for]
    more = ", ..." if len(close) > _NAMED else ""
    return f"; it has {', '.join(close[:_NAMED])}{more}: rename them" if close else ""


def openable(path: Path) -> Path | BinaryIO:
    """Return what PyArrow can open: the path, or the open file if the path is not valid UTF-8.

    In a locale that knows ASCII only, Python keeps the other bytes of a name as surrogates.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return path.open("rb")
    return path
