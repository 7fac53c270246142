"""Tables of text as users have them: packed or not, in any encoding, with any delimiter."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import warnings
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow as pa

from HiggsML.errors import DataError
from HiggsML.source_files import UNPACKING_ERRORS, ZIP, check_file, known_kind

__all__ = ["PACKED", "read_table"]

PACKED = ("", ".gz", ".zip", ".bz2", ".xz", ".zst")
"""Endings of files that are read; what a file is, its first bytes tell."""

_GZIP, _BZIP2, _XZ, _ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"
_DELIMITERS = ",;\t|"
_MARKS = "#%"  # of comments
_BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\0\0": "utf-32",  # before that of UTF-16, which begins alike
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_START_BYTES = 4096
_HEADER_LINES = 200  # among which the header is


def read_table(path: Path, known: Collection[str]) -> pd.DataFrame:
    """Read a table whose header has some of the known names, whatever stands above it.

    Numbers may have decimal commas where these do not delimit columns.

    Parameters
    ----------
    path : Path
        Of a text file in UTF-8, UTF-16 or UTF-32, plain, or packed by gzip, bzip2, xz, zstd or zip.
    known : collection of str
        Names of columns.

    Raises
    ------
    DataError
        If it is another kind of file, damaged, empty, or names a known column twice.
    """
    kind = known_kind(check_file(path, may_be=(_GZIP, _BZIP2, _XZ, _ZSTD, ZIP)))
    try:
        frame = _read(path, kind, known, ".")
        texts = frame.select_dtypes(exclude=["number", "bool"])
        used = [name for name in texts if name in known]
        if used and texts[used].iloc[:1].astype(str).map(_has_decimal_comma).to_numpy().any():
            frame = _read(path, kind, known, ",")
    except DataError:
        raise
    except (*UNPACKING_ERRORS, pd.errors.ParserError, ImportError) as error:
        raise DataError(f"{path} is not a readable CSV file: {error}") from error
    return frame


def _read(path: Path, kind: bytes | None, known: Collection[str], decimal: str) -> pd.DataFrame:
    with _text(path, kind) as text:
        header = _header(text, known)
        if not header:
            raise DataError(f"{path} is empty")
        delimiter, names = _columns(header)
        twice = sorted({name for name in names if names.count(name) > 1} & set(known))
        if twice:
            raise DataError(f"{path} names a column twice: {', '.join(twice)}")
        # Names of columns that nobody uses may repeat.
        names = [f"{n}.{i}" if n in names[:i] else n for i, n in enumerate(names)]
        options: dict[str, Any] = {"sep": delimiter, "decimal": decimal, "comment": "#"}
        with warnings.catch_warnings():
            # A delimiter at the end of the lines, but not of the header: its names are right.
            warnings.simplefilter("ignore", pd.errors.ParserWarning)
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)
            try:
                frame: pd.DataFrame = pd.read_csv(
                    text, names=names, index_col=False, skipinitialspace=True, **options
                )
            except pd.errors.EmptyDataError:
                frame = pd.DataFrame(columns=names)
    empty = names[-1].startswith("Unnamed: ") and frame.iloc[:, -1].isna().all()
    return frame.iloc[:, :-1] if empty else frame


def _has_decimal_comma(text: str) -> bool:
    whole, comma, decimals = text.partition(",")
    return bool(comma) and whole.strip().lstrip("+-").isdigit() and decimals[:1].isdigit()


def _header(text: IO[str], known: Collection[str]) -> str:
    """Return the line with most of the known names, else the first that is no comment."""
    first = ""
    for line in islice(text, _HEADER_LINES):
        if 2 * sum(name in line for name in known) > len(known):
            return line
        if not first and line.strip() and line.lstrip()[0] not in _MARKS:
            first = line
    return first


def _columns(header: str) -> tuple[str, list[str]]:
    """Return the delimiter of a header, and its names."""
    header = header.strip("\r\n").lstrip(f"{_MARKS} ")
    delimiter = next((mark for mark in _DELIMITERS if mark in header), r"\s+")
    if delimiter == r"\s+":
        names = header.split()
    else:
        names = next(csv.reader([header], delimiter=delimiter, skipinitialspace=True))
    names = [name.strip().strip("\"'") for name in names]
    return delimiter, [name or f"Unnamed: {i}" for i, name in enumerate(names)]


@contextmanager
def _text(path: Path, kind: bytes | None) -> Iterator[IO[str]]:
    """Open a file as text, after unpacking it."""
    with _opened(path, kind) as file:
        encoding = _encoding(file.read(_START_BYTES))
        file.seek(0)
        with io.TextIOWrapper(file, encoding=encoding, errors="replace", newline=None) as text:
            yield text


@contextmanager
def _opened(path: Path, kind: bytes | None) -> Iterator[Any]:
    if kind == ZIP:
        with zipfile.ZipFile(path) as archive, archive.open(_member(archive, path)) as file:
            yield file
    elif kind == _XZ:
        import lzma

        with lzma.open(path) as file:
            yield file
    elif kind == _ZSTD:
        with path.open("rb") as packed, pa.CompressedInputStream(packed, "zstd") as file:
            yield io.BytesIO(file.read())
    elif kind in (_GZIP, _BZIP2):
        with (gzip if kind == _GZIP else bz2).open(path) as file:
            yield file
    else:
        with path.open("rb") as file:
            yield file


def _member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    """Return the one table in an archive; what is hidden, or a folder, does not count."""
    files = [
        info
        for info in archive.infolist()
        if not info.is_dir()
        and not any(part.startswith((".", "__MACOSX")) for part in Path(info.filename).parts)
    ]
    if len(files) != 1:
        files = [info for info in files if info.filename.lower().endswith(".csv")] or files
    if len(files) != 1:
        names = ", ".join(info.filename for info in files) or "none"
        raise DataError(f"{path} holds {len(files)} files ({names}) instead of one: unpack it")
    return files[0]


def _encoding(start: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            return encoding
    if b"\0" not in start:
        return "utf-8"
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if not any(start[first::2]):  # the upper halves of what is in ASCII
            return encoding
    raise ValueError("it holds bytes that are no text")
