"""Files of a bundle, wherever they lie: in a directory, in a zip, or put together in memory.

Validation reads a :class:`Tree`, the builder writes one, so what is checked is what is shipped.
"""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from HiggsML.errors import BundleError
from HiggsML.files import REGULAR, Entry, on_disk, whole_file

__all__ = ["Tree", "in_memory", "write_zip"]

_LONGEST_NAME = 255  # bytes of one part of a path, on the usual file systems
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold


@dataclass(frozen=True)
class Tree:
    """Files by name, with "/" between folders.

    Attributes
    ----------
    files : mapping of str to Entry
        In the order of their names.
    prefix : str
        What messages put before a name: where this tree lies in a larger one.
    problems : tuple of (str, str)
        File and sentence for what keeps a zip from being unpacked, such as wrong checksums.
    oddities : tuple of (str, str)
        The same for what unpacks, but not as it is written: entries that lead out of the zip's
        folder, or that are in it twice.
    folders : frozenset of str
        Folders, empty ones too, where they are known.
    """

    files: Mapping[str, Entry]
    prefix: str = ""
    problems: tuple[tuple[str, str], ...] = ()
    oddities: tuple[tuple[str, str], ...] = ()
    folders: frozenset[str] = frozenset()

    @classmethod
    def from_bytes(cls, files: Mapping[str, bytes], prefix: str = "") -> Tree:
        """Make a tree of contents in memory."""
        return cls({name: in_memory(files[name]) for name in sorted(files)}, prefix)

    @classmethod
    def from_directory(cls, directory: Path, prefix: str = "") -> Tree:
        """Make a tree of all files below a directory; links are listed, not followed."""
        by_name, folders = {}, set()
        for path in directory.rglob("*"):
            name = path.relative_to(directory).as_posix()
            if path.is_symlink() or path.is_file():
                by_name[name] = path
            elif path.is_dir():
                folders.add(name)
        files = {name: on_disk(by_name[name]) for name in sorted(by_name)}
        return cls(files, prefix, folders=frozenset(folders))

    @classmethod
    def from_zip(cls, source: Path | bytes, prefix: str = "") -> Tree:
        """Make a tree of what is in a zip.

        Raises
        ------
        BundleError
            If it is not a zip at all.
        """
        opened: Path | io.BytesIO = io.BytesIO(source) if isinstance(source, bytes) else source
        name = prefix.rstrip("/") or (source.name if isinstance(source, Path) else "zip")
        try:
            archive = zipfile.ZipFile(opened)
        except (zipfile.BadZipFile, OSError) as error:
            raise BundleError(f"{name} is not a zip file: {error}") from error
        files: dict[str, Entry] = {}
        folders, problems, oddities = set(), [], []
        for info in archive.infolist():
            written = PurePosixPath(info.filename)
            # Where Python's zipfile puts it, and with it the platform.
            name = "/".join(part for part in written.parts if part not in ("/", "//", ".."))
            if written.is_absolute() or ".." in written.parts:
                oddities.append((info.filename, "leads out of the directory it is unpacked into"))
            if info.is_dir():
                folders.add(name)
                continue
            if info.flag_bits & 1:
                problems.append((info.filename, "is encrypted"))
            if name in files:
                oddities.append((name, "is in the zip twice"))
            if len(max(name.split("/"), key=len).encode("utf-8", "replace")) > _LONGEST_NAME:
                problems.append((info.filename[:80], "has a name that is too long"))
            files[name] = _in_zip(archive, info)
        above = {str(p): name for name in files for p in PurePosixPath(name).parents}
        for name in sorted(files.keys() & (above.keys() | folders)):
            problems.append((name, "is both a file and a folder"))
        if not problems and (damaged := _damaged(archive)):
            problems.append((damaged, "is damaged: its checksum is wrong"))
        return cls(
            {key: files[key] for key in sorted(files)},
            prefix,
            tuple(problems),
            tuple(oddities),
            frozenset(folders),
        )

    def __contains__(self, name: str) -> bool:
        return name in self.files

    def read(self, name: str, limit: int | None = None) -> bytes:
        """Return the content of a file, at most ``limit`` bytes of it."""
        with self.files[name].open() as file:
            return file.read() if limit is None else file.read(limit)

    def is_directory(self, name: str) -> bool:
        """Return whether this is a folder."""
        start = name.rstrip("/") + "/"
        return start[:-1] in self.folders or any(
            key.startswith(start) for key in (*self.files, *self.folders)
        )

    def below(self, name: str) -> Tree:
        """Return what is in a directory or in a zip of this tree, with names relative to it."""
        name = name.rstrip("/")
        if name in self.files:
            return Tree.from_zip(self.read(name), f"{self.prefix}{name}/")
        start = f"{name}/"
        inside = {
            key.removeprefix(start): entry
            for key, entry in self.files.items()
            if key.startswith(start)
        }
        folders = {key.removeprefix(start) for key in self.folders if key.startswith(start)}
        return Tree(inside, f"{self.prefix}{start}", folders=frozenset(folders))

    def size(self) -> int:
        """Return the sum of all sizes [bytes]."""
        return sum(entry.size for entry in self.files.values())

    def extract(self, directory: Path) -> None:
        """Write all files below a directory, without execute bits, as unpacking on a worker does.

        Raises
        ------
        BundleError
            If a file is a symbolic link or its name leads elsewhere.
        """
        for name, problem in (*self.problems, *self.oddities):
            raise BundleError(f"{self.prefix}{name} {problem}")
        for name, entry in self.files.items():
            if entry.is_link:
                raise BundleError(f"{self.prefix}{name} is a symbolic link: put the file there")
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with entry.open() as source, target.open("wb") as sink:
                _copy(source, sink)


def write_zip(tree: Tree, path: Path) -> None:
    """Write a zip whose bytes depend on names and contents only: same input, same bytes."""
    with (
        whole_file(path) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
    ):
        for name in sorted(tree.files):
            info = zipfile.ZipInfo(name, _ZIP_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3  # Unix, on every system
            info.external_attr = REGULAR << 16
            info.file_size = tree.files[name].size
            with tree.files[name].open() as source, archive.open(info, "w") as sink:
                _copy(source, sink)


def in_memory(content: bytes) -> Entry:
    """Return a file of a tree that is nowhere on disk."""
    return Entry(len(content), REGULAR, lambda: io.BytesIO(content))


def _in_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry:
    mode = info.external_attr >> 16
    return Entry(info.file_size, mode or REGULAR, lambda: archive.open(info))


def _damaged(archive: zipfile.ZipFile) -> str | None:
    try:
        return archive.testzip()
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError) as error:
        return str(error)
    except (NotImplementedError, RuntimeError, ValueError) as error:
        return str(error)


def _copy(source: IO[bytes], sink: IO[bytes]) -> None:
    for piece in _pieces(source):
        sink.write(piece)


def _pieces(source: IO[bytes]) -> Iterator[bytes]:
    while piece := source.read(1 << 20):
        yield piece
