"""A submission as a zip file: checked before anything is written, unpacked, removed afterwards."""

from __future__ import annotations

import contextlib
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from HiggsML.errors import SubmissionError
from HiggsML.files import remove_tree, size_text
from HiggsML.submission.model import find_model

__all__ = ["MAX_FILES", "MAX_UNPACKED_BYTES", "unpack", "unpacked"]

MAX_FILES = 10_000
MAX_UNPACKED_BYTES = 4 << 30
MAX_RATIO = 200
"""Unpacked bytes per packed byte, from :data:`_RATIO_FROM` on; real files reach about 50."""

_RATIO_FROM = 64 << 20
_MAX_DIRECTORY_BYTES = 8 << 20  # the zip's own list of its files
_MAX_NAME, _MAX_PART = 1000, 200
_PIECE = 1 << 20
_END = struct.Struct("<4s4H2LH")  # end of central directory, see PKWARE's APPNOTE 4.3.16
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # others may take gigabytes to unpack
_IGNORED = ("__MACOSX", ".DS_Store")
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError),
    *(ValueError, OverflowError, OSError),
)


@contextlib.contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """Unpack a submission into a temporary directory, which is removed afterwards.

    Raises
    ------
    SubmissionError
        If the file is not an acceptable zip, or holds no (or no single) model.py.
    """
    directory = Path(tempfile.mkdtemp(prefix="higgsml-submission-"))
    try:
        unpack(archive, directory)
        yield directory
    finally:
        remove_tree(directory)


def unpack(archive: Path, directory: Path) -> None:
    """Unpack a submission into an empty directory; see :func:`unpacked`."""
    _check_size_of_list(archive)
    try:
        with zipfile.ZipFile(archive) as opened:
            wanted = _wanted(opened, archive)
            written = 0
            for name, entry in wanted.items():
                target = directory.joinpath(*name.parts)
                if entry.is_dir():
                    target.mkdir(parents=True, exist_ok=True, mode=0o700)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                written += _write(opened, entry, target, MAX_UNPACKED_BYTES - written, archive)
    except _BROKEN as error:
        raise SubmissionError(f"{archive} can not be unpacked: {error}") from error
    _check_model(archive, directory)


def _check_size_of_list(archive: Path) -> None:
    """Refuse a huge list of files before it is read; find it just as :mod:`zipfile` does."""
    try:
        with archive.open("rb") as file:
            size = file.seek(0, 2)
            start = max(0, size - (1 << 16) - _END.size)
            file.seek(start)
            tail = file.read()
    except OSError as error:
        raise SubmissionError(f"{archive} can not be read: {error.strerror}") from error
    whole = tail[-_END.size :]
    position = len(tail) - _END.size
    if not (whole.startswith(b"PK\x05\x06") and whole.endswith(b"\x00\x00")):
        position = tail.rfind(b"PK\x05\x06")
    if position < 0 or len(tail) - position < _END.size:
        raise SubmissionError(f"{archive} is not a zip file (or it is cut short)")
    if b"PK\x06\x07" in tail[max(0, position - 20) : position]:
        raise SubmissionError(
            f"{archive} is in the zip64 format, for more than 4 GB or 65,535 files: submit less"
        )
    _, _, _, _, count, list_size, _, _ = _END.unpack_from(tail, position)
    if count > MAX_FILES or list_size > _MAX_DIRECTORY_BYTES:
        raise SubmissionError(f"{archive} lists {count:,} files; at most {MAX_FILES:,} are allowed")


def _wanted(opened: zipfile.ZipFile, archive: Path) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Check every entry, and return those to unpack by their path."""
    entries = opened.infolist()
    if len(entries) > MAX_FILES:
        raise SubmissionError(
            f"{archive} lists {len(entries):,} files; at most {MAX_FILES:,} are allowed"
        )
    packed = archive.stat().st_size
    total = sum(entry.file_size for entry in entries)
    if total > MAX_UNPACKED_BYTES:
        raise SubmissionError(
            f"{archive} would unpack to {size_text(total)}; at most "
            f"{size_text(MAX_UNPACKED_BYTES)} are allowed"
        )
    overlapping = sum(entry.compress_size for entry in entries) > packed
    if overlapping or (total > _RATIO_FROM and total > MAX_RATIO * packed):
        raise SubmissionError(
            f"{archive} has {size_text(packed)} and would unpack to {size_text(total)}: this is "
            f"more than {MAX_RATIO} times as much, or its files overlap"
        )
    wanted: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for entry in entries:
        name = _checked_name(entry, archive)
        if any(part in _IGNORED for part in name.parts):
            continue
        _check_entry(entry, archive)
        if name in wanted:
            raise SubmissionError(f"{archive} holds {_shown(entry)} twice: pack it again")
        wanted[name] = entry
    for name in wanted:
        for parent in name.parents:
            if parent in wanted and not wanted[parent].is_dir():
                raise SubmissionError(
                    f"{archive} holds {_shown(wanted[parent])} both as a file and as a folder"
                )
    return wanted


def _checked_name(entry: zipfile.ZipInfo, archive: Path) -> PurePosixPath:
    # orig_filename: ZipInfo itself cuts a name at a NUL.
    name = entry.orig_filename
    path = PurePosixPath(name)
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        problem = "an absolute path"
    elif ".." in parts:
        problem = "a path that leaves its folder"
    elif "\\" in name:
        problem = "a path with backslashes"
    elif not path.parts or "" in parts or "." in parts:
        problem = "an empty part in its path"
    elif not name.isprintable() or entry.filename != name:
        problem = "a name with control characters"
    elif len(name.encode()) > _MAX_NAME or max(len(part.encode()) for part in parts) > _MAX_PART:
        problem = "a name that is too long"
    else:
        return path
    raise SubmissionError(
        f"{archive} holds an entry {_shown(entry)} with {problem}: pack the files again with "
        "relative names"
    )


def _check_entry(entry: zipfile.ZipInfo, archive: Path) -> None:
    if entry.flag_bits & _ENCRYPTED:
        raise SubmissionError(f"{archive}: {_shown(entry)} is encrypted: pack without a password")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise SubmissionError(f"{archive}: {_shown(entry)} is a link: pack the file itself")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise SubmissionError(f"{archive}: {_shown(entry)} is a special file, not a regular one")
    if entry.compress_type not in _METHODS:
        raise SubmissionError(
            f"{archive}: {_shown(entry)} is packed with method {entry.compress_type}: use the "
            "ordinary one (deflate)"
        )


def _write(
    opened: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, left: int, archive: Path
) -> int:
    """Write one file and return its size, which is counted and not believed."""
    size = 0
    with opened.open(entry) as source, target.open("xb") as file:
        target.chmod(0o600)
        while piece := source.read(_PIECE):
            size += len(piece)
            if size > left:
                raise SubmissionError(
                    f"{archive} unpacks to more than {size_text(MAX_UNPACKED_BYTES)}"
                )
            file.write(piece)
    return size


def _check_model(archive: Path, directory: Path) -> None:
    try:
        find_model(directory)
    except SubmissionError as error:
        inner = sorted(path.name for path in directory.rglob("*.zip"))
        hint = f" (it holds another zip, {inner[0]}: submit that one)" if inner else ""
        text = str(error).replace(str(directory), str(archive))
        raise SubmissionError(f"{text}{hint}") from None


def _shown(entry: zipfile.ZipInfo) -> str:
    return ascii(entry.orig_filename[:80])
