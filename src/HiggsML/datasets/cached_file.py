"""Files into which a dataset is converted once, to be memory-mapped by many processes.

A file holds a head (magic, length and checksum of a description in JSON) and the converted values.
The description has a checksum of every block of them. Files are ours alone: one of another owner, a
link, or one that others can write is made anew. They lie beside the dataset, or in the user's cache
where that can not be written.
"""

from __future__ import annotations

import json
import logging
import os
import random
import stat
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from HiggsML.datasets.identity import parquet_footer
from HiggsML.datasets.reader import Data
from HiggsML.errors import DataError
from HiggsML.files import cache_directories, size_text

try:
    import fcntl
except ImportError:  # Windows: what is being written can not be removed there
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "Progress",
    "Steps",
    "aligned",
    "cache_path",
    "check_blocks",
    "description",
    "identity_of",
    "new_file",
    "open_cached",
    "opened",
    "read_description",
    "write_description",
]

logger = logging.getLogger(__name__)

CHECKED_BYTES = 1 << 23
"""Size of a block with a checksum."""
CHECKED_BLOCKS = 32
"""Most blocks that are compared at opening: 256 MiB are read whole, of more a part by chance."""

Progress = Callable[[int, int], None]
"""Called with how many of how many steps of a conversion are done."""

_HEAD = struct.Struct("<16sQI")  # magic, length of the description, its checksum
_ALIGNMENT = 4096
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)

T = TypeVar("T")


class Steps:
    """Tells the progress of a conversion in hundredths.

    Parameters
    ----------
    total : int
        Rows, as often as each is gone through.
    progress : callable, optional
        Is told; nobody without one.
    """

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = max(1, total)
        self._progress = progress
        self._done = 0
        self._told = -1
        self.add(0)

    def add(self, rows: int) -> None:
        """Count rows that have been gone through."""
        self._done += rows
        self._tell(min(99, 100 * self._done // self._total))

    def finish(self) -> None:
        """Tell that all is done."""
        self._tell(100)

    def _tell(self, hundredths: int) -> None:
        if self._progress is not None and hundredths != self._told:
            self._told = hundredths
            self._progress(hundredths, 100)


def open_cached(
    data: Data,
    what: str,
    *,
    ending: str,
    identity: Mapping[str, Any],
    size: int,
    convert: Callable[[Path], None],
    open_file: Callable[[Path], T],
) -> T:
    """Open the converted form of a dataset, making it the first time.

    A file that is damaged, or was made from other data, is made anew.

    Parameters
    ----------
    data : Data
        What is converted.
    what : str
        Its name in messages.
    ending : str
        Of the file's name.
    identity : mapping
        What distinguishes the data from any other.
    size : int
        About how large the file will be [bytes].
    convert : callable
        Makes the file.
    open_file : callable
        Opens it, or raises a DataError that says why it can not be used.

    Raises
    ------
    DataError
        If the data can not be read, or there is no room for the file.
    """
    paths = cache_path(data, identity, ending)
    for path in paths:
        if os.access(path, os.F_OK):  # no error, as of Path.exists, in the home of another user
            try:
                return open_file(path)
            except DataError as error:
                logger.warning("%s; it is made anew", error)
    failures = []
    for path in paths:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            convert(path)
            return open_file(path)
        except OSError as error:
            failures.append(f"{path}: {error.strerror or error}")
    raise DataError(
        f"the {what} can not be converted: {'; '.join(failures)}; free some space "
        f"({size_text(size)}), or set XDG_CACHE_HOME to where there is"
    )


def cache_path(data: Data, identity: Mapping[str, Any], ending: str) -> list[Path]:
    """Return where a converted file may be: beside the data, or in the user's cache."""
    text = json.dumps(dict(identity), sort_keys=True)
    name = f"{data.path.stem}-{zlib.crc32(text.encode()):08x}.{ending}"
    return [directory / name for directory in cache_directories(data.input_dir)]


def identity_of(data: Data) -> dict[str, Any]:
    """Return what distinguishes a dataset on this machine from what it was before."""
    status = data.path.stat()
    return {
        "size": status.st_size,
        "modified": status.st_mtime_ns,
        "footer": zlib.crc32(parquet_footer(data.path)),
        "test_size": data.test_size,
        "sum_weights": data.sum_weights(),
    }


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Give an empty file that appears under its name when all of it is written.

    Those that killed conversions have left beside it are removed.
    """
    part_file = path.with_name(f"{path.name}.{os.getpid()}.part")
    _remove_stale_parts(path)
    descriptor = os.open(part_file, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINKS, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            _lock(file)  # tells others that somebody is at work
            yield file
            file.flush()
            os.fsync(file.fileno())
        part_file.replace(path)
    finally:
        part_file.unlink(missing_ok=True)


def description(magic: bytes, content: Mapping[str, Any], size: int) -> bytes:
    """Return the head of a file whose values take ``size`` bytes, with checksums still to come."""
    # Checksums of what is not written yet take as much room as those that will be.
    return _encoded(magic, {**content, "checksums": ["0" * 8] * -(-size // CHECKED_BYTES)})


def write_description(file: IO[bytes], magic: bytes, content: Mapping[str, Any], size: int) -> None:
    """Write the head of a file whose values are all there, with their checksums."""
    offset = len(description(magic, content, size))
    count = -(-size // CHECKED_BYTES)
    sums = [_checksum(file, offset, size, number) for number in range(count)]
    file.seek(0)
    file.write(_encoded(magic, {**content, "checksums": sums}))
    file.flush()


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file of ours for reading.

    Raises
    ------
    DataError
        If it is no regular file of ours, or others could have written it.
    """
    try:
        # A pipe would have us wait for somebody who writes into it.
        descriptor = os.open(path, os.O_RDONLY | _NO_LINKS | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise DataError(f"{path} can not be read as an event store: {error}") from error
    with os.fdopen(descriptor, "rb") as file:
        _check_owner(path, os.fstat(descriptor))
        yield file


def read_description(
    path: Path, file: IO[bytes], magic: bytes, identity: Mapping[str, Any] | None
) -> tuple[dict[str, Any], int]:
    """Return the description at the start of a file, and where its values begin.

    Raises
    ------
    DataError
        If there is none, or it is of other data than ``identity`` says.
    """
    try:
        start, length, checksum = _HEAD.unpack(file.read(_HEAD.size))
        text = file.read(length) if length < 1 << 26 else b""
    except (OSError, struct.error) as error:
        raise DataError(f"{path} can not be read as an event store: {error}") from error
    if start != magic or len(text) != length or zlib.crc32(text) != checksum:
        raise DataError(f"{path} is not an event store, or its head is damaged")
    content: dict[str, Any] = json.loads(text)
    if identity is not None and content.get("identity") != dict(identity):
        raise DataError(f"{path} was made from other data")
    return content, aligned(_HEAD.size + length)


def check_blocks(
    path: Path, file: IO[bytes], content: Mapping[str, Any], offset: int, size: int
) -> None:
    """Compare blocks with their checksums: all of a small file, a random choice of a large one.

    Raises
    ------
    DataError
        If one differs, or the file is of another size.
    """
    actual = os.fstat(file.fileno()).st_size
    if actual != offset + size:
        raise DataError(f"{path} has {actual} bytes instead of {offset + size}: cut short")
    sums, count = content.get("checksums"), -(-size // CHECKED_BYTES)
    if not isinstance(sums, list) or len(sums) != count:
        raise DataError(f"{path} has no checksums of its {count} blocks")
    chosen = random.SystemRandom().sample(range(count), min(count, CHECKED_BLOCKS))
    for number in sorted(chosen):
        if _checksum(file, offset, size, number) != sums[number]:
            raise DataError(f"{path} is damaged: block {number} does not fit its checksum")


def aligned(size: int) -> int:
    """Return a size rounded up to pages."""
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _encoded(magic: bytes, content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content).encode()
    head = _HEAD.pack(magic, len(text), zlib.crc32(text)) + text
    return head.ljust(aligned(len(head)), b"\0")


def _check_owner(path: Path, status: os.stat_result) -> None:
    """Refuse what is no regular file of ours, or what others could have written."""
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path} is not a regular file")
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise DataError(f"{path} belongs to another user (number {status.st_uid})")
    if os.name == "posix" and status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise DataError(f"{path} is open to other users (mode {mode:04o} instead of 0600)")


def _checksum(file: IO[bytes], offset: int, size: int, number: int) -> str:
    """Return the checksum of a block of the values that begin at ``offset``."""
    start = number * CHECKED_BYTES
    file.seek(offset + start)
    return f"{zlib.crc32(file.read(min(CHECKED_BYTES, size - start))):08x}"


def _remove_stale_parts(path: Path) -> None:
    """Remove what conversions have left that were killed; one that goes on holds a lock."""
    for part in path.parent.glob("*.events.*.part"):
        with suppress(OSError):
            if part.is_symlink():
                part.unlink()
                continue
            with part.open("rb") as file:
                _lock(file)
                part.unlink()


def _lock(file: IO[bytes]) -> None:
    """Take the lock of a file, or raise OSError if another process has it."""
    if fcntl is not None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
