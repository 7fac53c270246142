"""Files and directories: entries of a folder or zip, sizes as text, trees copied and removed.

A hostile tree of directories may be deeper than Python can recurse and than a path can be long.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from HiggsML.errors import SettingsError

__all__ = [
    "PACKAGE",
    "REGULAR",
    "Entry",
    "allocate",
    "cache_directories",
    "converted_files",
    "folder_path",
    "forbidden",
    "is_junk",
    "locked",
    "on_disk",
    "partial_directory",
    "remedy",
    "remove_tree",
    "size_text",
    "whole_file",
]

PACKAGE = Path(__file__).resolve().parent
"""Where this package's source is."""

REGULAR = stat.S_IFREG | 0o644
"""The mode of an ordinary file."""

_JUNK_NAMES = frozenset(
    {
        *("__pycache__", "__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"),
        *(".ipynb_checkpoints", ".mypy_cache", ".ruff_cache", ".pytest_cache"),
        *(".git", ".gitattributes", ".gitignore", ".hg", ".svn", ".idea", ".vscode"),
        *(".env", ".venv"),
    }
)
_JUNK_SUFFIXES = (".pyc", ".pyo", ".swp", "~", ".part")


def is_junk(name: str) -> bool:
    """Return whether a file is what a system, an editor or version control has left behind.

    Examples
    --------
    >>> [is_junk(name) for name in ("a/__pycache__/b.pyc", "__MACOSX/._model.py", "model.py")]
    [True, True, False]
    """
    parts = PurePosixPath(name).parts
    return any(part in _JUNK_NAMES or part.startswith("._") for part in parts) or name.endswith(
        _JUNK_SUFFIXES
    )


@dataclass(frozen=True)
class Entry:
    """One file of a folder or zip: its size, its Unix mode if that is known, and how to open it."""

    size: int
    mode: int
    open: Callable[[], IO[bytes]]

    @property
    def is_link(self) -> bool:
        """Whether this is a symbolic link."""
        return stat.S_ISLNK(self.mode)


def on_disk(path: Path) -> Entry:
    """Return the entry of a file."""
    status = path.lstat()
    return Entry(status.st_size, status.st_mode, lambda: path.open("rb"))


_NO_LOCK = (errno.EWOULDBLOCK, errno.EACCES)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def locked(descriptor: int) -> bool:
    """Lock a file or directory until its descriptor is closed; False if another process has it.

    Where there are no locks, as on some network file systems, nothing is locked.
    """
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return True
    except OSError as error:
        return error.errno not in _NO_LOCK
    return True


def forbidden(error: OSError) -> bool:
    """Tell whether an error says that this user may not write there."""
    return error.errno in _FORBIDDEN


def remedy(error: OSError) -> str:
    """Say what to do about a file or directory that can not be written."""
    if error.errno in _NO_ROOM:
        return "make room"
    if forbidden(error):
        return "choose a place that you may write to, or change its permissions"
    return "choose another place"


def remove_tree(directory: Path, *, keep_top: bool = False) -> None:
    """Remove a directory and all that is in it; links are removed, never followed.

    No process that could change the directory may be running any more. What can not be removed is
    left.

    Parameters
    ----------
    directory : Path
        What to remove.
    keep_top : bool
        Empty the directory instead.
    """
    # Subdirectories move up instead of being descended into: no depth of recursion, no long path.
    top = str(directory)
    with contextlib.suppress(OSError):
        if not keep_top:
            directory.chmod(0o700)
    for count in range(1 << 30):
        entries = _entries(top)
        before = len(entries)
        for number, entry in enumerate(entries):
            path = os.path.join(top, entry)  # noqa: PTH118 (strings: there may be very many)
            with contextlib.suppress(OSError):
                if not _is_directory(path):
                    os.unlink(path)  # noqa: PTH108
                    continue
                os.chmod(path, 0o700)  # noqa: PTH101
                for position, inner in enumerate(_entries(path)):
                    inside = os.path.join(path, inner)  # noqa: PTH118
                    if _is_directory(inside):
                        os.chmod(inside, 0o700)  # noqa: PTH101
                        target = f"{top}/.removed-{count}-{number}-{position}"
                        os.rename(inside, target)  # noqa: PTH104
                    else:
                        os.unlink(inside)  # noqa: PTH108
                os.rmdir(path)  # noqa: PTH106
        after = _entries(top)
        if not after or (len(after) >= before and set(after) == set(entries)):
            break
    if not keep_top:
        with contextlib.suppress(OSError):
            os.rmdir(top)  # noqa: PTH106


def _entries(path: str) -> list[str]:
    try:
        return os.listdir(path)  # noqa: PTH208
    except OSError:
        return []


def _is_directory(path: str) -> bool:
    return stat.S_ISDIR(os.lstat(path).st_mode)


def allocate(file: IO[bytes], size: int) -> None:
    """Take the room on the disk that a new file will need; its position stays at the start.

    Raises
    ------
    OSError
        If the disk has not as much.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    zeros = bytes(1 << 20)  # macOS and Windows: only written bytes are sure to have room
    for start in range(0, size, len(zeros)):
        file.write(zeros[: size - start])
    file.flush()
    file.seek(0)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a new file that takes its name when all of it is written: it is whole or absent.

    Whatever has the temporary name, a link too, is removed and never written through: a process
    that was killed may have left it.
    """
    part = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    part.unlink(missing_ok=True)
    try:
        with part.open("xb") as file:
            yield file
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def folder_path(value: object, name: str) -> Path:
    """Return an argument that names a folder, which need not be there yet, as a path.

    Raises
    ------
    SettingsError
        If it is no path, or a file has its name.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise SettingsError(f"{name} must be the path of a folder, not {value!r}")
    path = Path(value)
    if path.exists() and not path.is_dir():
        raise SettingsError(f"{name}: {path} is a file, not a folder")
    return path


@contextlib.contextmanager
def partial_directory(parent: Path) -> Iterator[Path]:
    """Give a directory for unfinished files, and remove it in the end.

    Those that killed processes have left beside it are removed; one in use is locked.
    """
    lefts = parent.glob(f"{_PARTIAL}*") if hasattr(os, "O_DIRECTORY") else ()
    for left in lefts:
        with contextlib.suppress(OSError), _locked(left):
            remove_tree(left)
    directory = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=parent))
    try:
        with _locked(directory):
            yield directory
    finally:
        remove_tree(directory)


_PARTIAL = ".partial-"


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the lock of a directory; an OSError if another process does.

    Windows opens no directory, so there none is locked, and what others have left stays.
    """
    if not hasattr(os, "O_DIRECTORY"):
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if not locked(descriptor):
            raise BlockingIOError(errno.EWOULDBLOCK, f"{directory} is in use")
        yield
    finally:
        os.close(descriptor)


def cache_directories(dataset: Path) -> list[Path]:
    """Return where converted events may be: beside their dataset, or in the user's cache."""
    beside = dataset / ".higgsml-cache"
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home, as containers may have
        return [beside]
    return [beside, cache / "higgsml"]


def converted_files(directory: Path) -> dict[Path, int]:
    """Return the files of converted events in a directory, unfinished ones too, and their sizes."""
    sizes: dict[Path, int] = {}
    if not os.access(directory, os.R_OK):  # of which Path.glob may raise an error
        return sizes
    for path in sorted(directory.glob("*.events*")):
        with contextlib.suppress(OSError):
            sizes[path] = path.lstat().st_size
    return sizes


def size_text(size: float) -> str:
    """Return a number of bytes for a reader.

    Examples
    --------
    >>> size_text(512), size_text(3_500_000), size_text(4 << 30)
    ('512 bytes', '3.3 MB', '4.0 GB')
    """
    for unit, name in ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:.0f} bytes"
