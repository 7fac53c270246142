"""A submission as a zip file: checked before anything is written, unpacked, removed afterwards."""

from __future__ import annotations

import contextlib
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from HiggsML.errors import SubmissionError
from HiggsML.files import REGULAR, Entry, remove_tree, size_text
from HiggsML.submission.layout import (
    MAX_BYTES,
    MAX_FILES,
    Layout,
    Problem,
    belongs,
    read_folder,
    shown,
)

__all__ = ["read_layout", "read_zip", "unpack", "unpacked"]

MAX_RATIO = 200
"""Unpacked bytes per packed byte, from :data:`_RATIO_FROM` on; real files reach about 50."""

_RATIO_FROM = 64 << 20
_MAX_DIRECTORY_BYTES = 8 << 20  # the zip's own list of its files
_PIECE = 1 << 20
_END = struct.Struct("<4s4H2LH")  # end of central directory, see PKWARE's APPNOTE 4.3.16
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # others may take gigabytes to unpack
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError),
    *(ValueError, OverflowError, OSError),
)


def read_layout(path: Path) -> Layout:
    """Return the layout of a submission's folder or zip; its problems are in it.

    Raises
    ------
    SubmissionError
        If it is neither, or can not be read at all.
    """
    return read_zip(path) if path.is_file() else read_folder(path)


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
    layout = read_zip(archive)
    layout.check(archive)
    written = 0
    try:
        for name, entry in layout.files.items():
            target = directory.joinpath(*PurePosixPath(name).parts)
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            written += _write(entry, target, MAX_BYTES - written, archive)
    except _BROKEN as error:
        raise SubmissionError(f"{shown(str(archive))} can not be unpacked: {error}") from error


def read_zip(archive: Path | IO[bytes], name: str = "") -> Layout:
    """Return the layout of a zip, whose lists are not believed before they are checked.

    Parameters
    ----------
    archive : Path or binary file
        The zip.
    name : str, optional
        What messages call it; its path by default.

    Raises
    ------
    SubmissionError
        If it is no zip, or its list of files can not be read.
    """
    label = shown(name or str(archive))
    try:
        if isinstance(archive, Path):
            with archive.open("rb") as file:
                packed = _check_list(file, label)
        else:
            packed = _check_list(archive, label)
        opened = zipfile.ZipFile(archive)
        return _layout_of(opened, packed)
    except SubmissionError:
        raise
    except _BROKEN as error:
        raise SubmissionError(f"{label} can not be unpacked: {error}") from error


def _check_list(file: IO[bytes], label: str) -> int:
    """Refuse a huge list of files before it is read; find it just as :mod:`zipfile` does.

    Returns
    -------
    int
        Size of the zip [bytes].
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - (1 << 16) - _END.size))
    tail = file.read()
    whole = tail[-_END.size :]
    position = len(tail) - _END.size
    if not (whole.startswith(b"PK\x05\x06") and whole.endswith(b"\x00\x00")):
        position = tail.rfind(b"PK\x05\x06")
    if position < 0 or len(tail) - position < _END.size:
        raise SubmissionError(f"{label} is not a zip file (or it is cut short)")
    if b"PK\x06\x07" in tail[max(0, position - 20) : position]:
        raise SubmissionError(
            f"{label} is in the zip64 format, for more than 4 GB or 65,535 files: submit less"
        )
    _, _, _, _, count, list_size, _, _ = _END.unpack_from(tail, position)
    if count > MAX_FILES or list_size > _MAX_DIRECTORY_BYTES:
        raise SubmissionError(f"{label} lists {count:,} files; at most {MAX_FILES:,} are allowed")
    return size


def _layout_of(opened: zipfile.ZipFile, packed: int) -> Layout:
    infos = opened.infolist()
    problems = [*_bomb(infos, packed)]
    entries: dict[str, Entry] = {}
    for info in infos:
        # orig_filename: ZipInfo itself cuts a name at a NUL.
        name = info.orig_filename if info.orig_filename == "/" else info.orig_filename.rstrip("/")
        if belongs(name):
            problems.extend(_problems_of(info))
            if name in entries:
                problems.append(_problem(info, "this is in the zip twice", "Pack it again."))
        entries.setdefault(name, _entry(opened, info))
    for name in entries:
        for parent in map(str, PurePosixPath(name).parents):
            if parent in entries and not stat.S_ISDIR(entries[parent].mode):
                message = "this is in the zip both as a file and as a folder"
                problems.append(Problem("zip", shown(parent), message, "Pack it again."))
    return Layout.of(entries, tuple(dict.fromkeys(problems)))


def _entry(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry:
    mode = info.external_attr >> 16
    if info.is_dir():
        mode = stat.S_IFDIR | 0o755
    elif stat.S_IFMT(mode) == 0 or stat.S_ISDIR(mode):
        mode = REGULAR  # not made on Unix
    return Entry(info.file_size, mode, partial(opened.open, info))


def _bomb(infos: list[zipfile.ZipInfo], packed: int) -> Iterator[Problem]:
    total = sum(info.file_size for info in infos)
    overlapping = sum(info.compress_size for info in infos) > packed
    if overlapping or (total > _RATIO_FROM and total > MAX_RATIO * packed):
        message = (
            f"{size_text(packed)} would unpack to {size_text(total)}: this is more than "
            f"{MAX_RATIO} times as much, or files in the zip overlap"
        )
        yield Problem("zip", "", message, "Pack the files again.")


def _problems_of(info: zipfile.ZipInfo) -> Iterator[Problem]:
    if info.flag_bits & _ENCRYPTED:
        yield _problem(info, "this is encrypted", "Pack without a password.")
    if info.compress_type not in _METHODS and not info.is_dir():
        message = f"this is packed with method {info.compress_type}"
        yield _problem(info, message, "Use the ordinary one (deflate).")


def _problem(info: zipfile.ZipInfo, message: str, remedy: str) -> Problem:
    return Problem("zip", shown(info.orig_filename), message, remedy)


def _write(entry: Entry, target: Path, left: int, archive: Path) -> int:
    """Write one file and return its size, which is counted and not believed."""
    size = 0
    with entry.open() as source, target.open("xb") as file:
        target.chmod(0o600)
        while piece := source.read(_PIECE):
            size += len(piece)
            if size > left:
                raise SubmissionError(
                    f"{shown(str(archive))} unpacks to more than {size_text(MAX_BYTES)}"
                )
            file.write(piece)
    return size
