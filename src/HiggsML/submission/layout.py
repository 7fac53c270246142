"""What belongs to a submission and where its ``model.py`` is: one reader for folders and zips.

A run, ``submission check``, ``submission pack`` and the rules of a bundle all ask it, so they
agree: what may be in a folder may be in a zip, and the other way round.

- ``model.py`` lies at the top, or in the one folder there that holds one. Folders whose names begin
  with "." or "__" are not looked into for it.
- Caches and what systems, editors and version control leave behind do not belong to a submission.
- All that does is a regular file with an ordinary name, which no file of a result has.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from HiggsML.errors import SubmissionError
from HiggsML.files import Entry, is_junk, on_disk, size_text
from HiggsML.results import reserved_names

__all__ = [
    "BUNDLE_NAMES",
    "MAX_BYTES",
    "MAX_FILES",
    "Layout",
    "Problem",
    "belongs",
    "name_problem",
    "read_folder",
    "shadowed_modules",
    "shown",
]

BUNDLE_NAMES = frozenset(
    ("datasets", "derived_quantities", "ingestion", "score", "systematics", "visualization")
)
"""Modules that a submission may import by their bare names, as beside the bundle's program."""

MAX_FILES = 10_000
MAX_BYTES = 4 << 30

_MAX_NAME, _MAX_PART = 1000, 200
_KINDS = {
    stat.S_IFLNK: ("this is a symbolic link", "Put the file itself there."),
    stat.S_IFREG: None,
    stat.S_IFDIR: None,
}
_PLANTED = "a file of a run's results, or of the platform, has this name"
_SPECIAL = ("this is a special file, not a regular one", "Remove it.")


@dataclass(frozen=True)
class Problem:
    """Why something is no submission: the entry (as it can be shown), what is wrong, the remedy."""

    rule: str
    name: str
    message: str
    remedy: str

    def __str__(self) -> str:
        name = f"{self.name}: " if self.name else ""
        return f"{name}{self.message}. {self.remedy}"


@dataclass(frozen=True)
class Layout:
    """The entries of a folder or zip, and what they make of it.

    Attributes
    ----------
    files : mapping of str to Entry
        The files that belong to the submission, by their names from the top.
    leftovers : tuple of str
        The names of files and folders that do not.
    problems : tuple of Problem
        Why this is no submission, if it is none; the gravest first.
    model : str or None
        The name of ``model.py`` from the top.
    """

    files: Mapping[str, Entry]
    leftovers: tuple[str, ...]
    problems: tuple[Problem, ...]
    model: str | None

    @classmethod
    def of(cls, entries: Mapping[str, Entry], problems: tuple[Problem, ...] = ()) -> Layout:
        """Judge entries by their names, sizes and modes; ``problems`` were found earlier.

        An entry that is a folder is only looked at for its name.
        """
        belonging = {name: entries[name] for name in sorted(entries) if belongs(name)}
        files = {name: entry for name, entry in belonging.items() if not stat.S_ISDIR(entry.mode)}
        faults = [*problems]
        for name, entry in belonging.items():
            faults.extend(_problems_of(name, entry))
        faults.extend(_too_much(files))
        model, problem = _model(files)
        if problem is not None:
            faults.append(problem)
        faults.extend(
            Problem("result-name", shown(name), _PLANTED, "Rename it.")
            for name in reserved_names(belonging)
        )
        leftovers = tuple(sorted(name for name in entries if not belongs(name)))
        return cls(files, leftovers, tuple(faults), model)

    @property
    def folder(self) -> str:
        """The folder of ``model.py``: empty, or with a slash at its end."""
        return "" if self.model is None else self.model.removesuffix("model.py")

    @property
    def own(self) -> Mapping[str, Entry]:
        """The files in the folder of ``model.py``, by their names from there."""
        return {
            name.removeprefix(self.folder): entry
            for name, entry in self.files.items()
            if name.startswith(self.folder)
        }

    def read(self, name: str) -> bytes:
        """Return the content of a file, by its name from the top.

        Raises
        ------
        SubmissionError
            If it can not be read.
        """
        try:
            with self.files[name].open() as file:
                return file.read()
        except OSError as error:
            raise SubmissionError(f"{shown(name)} can not be read: {error.strerror}") from error

    def check(self, source: Path) -> None:
        """Raise the first problem.

        Parameters
        ----------
        source : Path
            What the layout is of, for the message.

        Raises
        ------
        SubmissionError
            If there is one.
        """
        if not self.problems:
            return
        first, *others = self.problems
        more = f" (and {len(others)} more: see `higgsml submission check`)" if others else ""
        raise SubmissionError(f"{shown(str(source))}: {first}{more}")


def read_folder(folder: Path) -> Layout:
    """Return the layout of a folder; links are listed and not followed.

    Raises
    ------
    SubmissionError
        If it is no folder, or can not be read.
    """
    if not folder.is_dir():
        raise SubmissionError(
            f"{shown(str(folder))} is not a directory: name the one that holds model.py"
        )
    entries: dict[str, Entry] = {}
    unreadable = []
    try:
        for name in _walk(folder):
            entries[name] = on_disk(folder / name)
            if stat.S_ISREG(entries[name].mode) and (why := _unreadable(folder / name)):
                message = f"this file can not be read ({why})"
                unreadable.append(Problem("unreadable", shown(name), message, "Try `chmod u+r`."))
    except OSError as error:
        raise SubmissionError(
            f"{shown(str(folder))} can not be read: {error.strerror} ({shown(str(error.filename))})"
        ) from error
    return Layout.of(entries, tuple(unreadable))


def _unreadable(path: Path) -> str | None:
    try:
        path.open("rb").close()
    except OSError as error:
        return error.strerror
    return None


def belongs(name: str) -> bool:
    """Return whether an entry of this name belongs to a submission.

    Examples
    --------
    >>> [belongs(name) for name in ("_mine/model.py", ".hidden/model.py", "__MACOSX/model.py")]
    [True, False, False]
    """
    hidden = [part for part in name.split("/") if part.startswith(".") and part not in (".", "..")]
    return not hidden and not is_junk(name)


def _walk(folder: Path) -> Iterator[str]:
    """Yield the names of what is below a folder, no more than it takes to know that it is wrong."""
    waiting, files = [""], 0
    while waiting:
        above = waiting.pop()
        with os.scandir(folder / above) as inside:
            entries = sorted(inside, key=lambda entry: entry.name)
        for entry in entries:
            name = f"{above}{entry.name}"
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and belongs(name) and len(os.fsencode(name)) <= _MAX_NAME:
                waiting.append(f"{name}/")
            files += belongs(name)
            yield name
            if files > 2 * MAX_FILES:  # folders count here
                return


def shown(name: str) -> str:
    """Return a name as it can be printed: bytes that are no text, and controls, are escaped."""
    return name[:300] if name.isprintable() else ascii(name[:300])


def shadowed_modules(names: Iterable[str], installed: Collection[str]) -> tuple[str, ...]:
    """Return those modules beside ``model.py`` whose names installed ones have.

    Helper modules come last on the import path, so these can not be imported.

    Examples
    --------
    >>> shadowed_modules(["model.py", "json.py", "numpy/__init__.py", "tools/json.py"], ["json"])
    ('json',)
    """
    tops = {name.removesuffix(".py") for name in names if name.endswith(".py")}
    packages = {name.removesuffix("/__init__.py") for name in names}
    return tuple(sorted((tops | packages) & {*installed}))


def name_problem(name: str) -> str | None:
    """Return what is wrong with the name of an entry, or None.

    Examples
    --------
    >>> name_problem("weights/a.bin"), name_problem("../a")
    (None, 'a path that leaves its folder')
    """
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "an absolute path"
    if ".." in parts:
        return "a path that leaves its folder"
    if "\\" in name:
        return "a path with backslashes"
    if not parts or "" in parts or "." in parts:
        return "an empty part in its path"
    if not name.isprintable():  # bytes that are not UTF-8 are surrogates in a name from a disk
        return "a name with control characters or bytes that are not UTF-8"
    if len(name.encode()) > _MAX_NAME or max(len(part.encode()) for part in parts) > _MAX_PART:
        return "a name that is too long"
    return None


def _problems_of(name: str, entry: Entry) -> Iterator[Problem]:
    if (wrong := name_problem(name)) is not None:
        yield Problem("name", shown(name), f"this is {wrong}", "Rename it, and pack again.")
    kind = _KINDS.get(stat.S_IFMT(entry.mode), _SPECIAL)
    if kind is not None:
        yield Problem("link" if kind is not _SPECIAL else "special-file", shown(name), *kind)


def _too_much(files: Mapping[str, Entry]) -> Iterator[Problem]:
    if len(files) > MAX_FILES:
        message = f"more than {MAX_FILES:,} files are too many"
        yield Problem("size", "", message, "Put data into fewer files.")
    total = sum(entry.size for entry in files.values())
    if total > MAX_BYTES:
        name, largest = max(files.items(), key=lambda item: item[1].size)
        message = (
            f"{size_text(total)} are too much, at most {size_text(MAX_BYTES)} are allowed; this "
            f"file has {size_text(largest.size)}"
        )
        yield Problem("size", shown(name), message, "Store weights as float32.")


def _model(files: Mapping[str, Entry]) -> tuple[str | None, Problem | None]:
    """Return the name of ``model.py``, or why there is none."""
    if "model.py" in files:
        return "model.py", None
    paths = [
        name
        for name in files
        if name.count("/") == 1 and name.endswith("/model.py") and not name.startswith((".", "__"))
    ]
    if len(paths) == 1:
        return paths[0], None
    if paths:
        names = ", ".join(map(shown, paths[:5]))
        message = f"there are several model.py ({names})"
        return None, Problem("model", shown(paths[0]), message, "Submit one.")
    message = "there is no model.py at the top or in one folder there"
    return None, Problem("model", "model.py", message, _remedy(files))


def _remedy(files: Mapping[str, Entry]) -> str:
    similar = [
        name
        for name in files
        if name.count("/") <= 1
        and PurePosixPath(name).stem.lower() in ("model", "models", "submission")
    ]
    deeper = [name for name in files if name.endswith("/model.py")]
    zips = [name for name in files if name.endswith(".zip")]
    notebooks = [name for name in files if name.endswith(".ipynb")]
    if notebooks and all(name in notebooks for name in similar):
        name = shown(notebooks[0])
        return f"Export the notebook: jupyter nbconvert --to script {name} --output model."
    if similar:
        return f"Rename {', '.join(map(shown, similar[:3]))} to model.py."
    if deeper:
        return f"Move the files of {shown(str(PurePosixPath(deeper[0]).parent))} up."
    if zips:
        return f"It holds another zip, {shown(zips[0])}: submit that one."
    return "Add it: it must define the class Model."
