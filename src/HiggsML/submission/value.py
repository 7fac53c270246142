"""A submission that lies in a folder and has been checked: what a run passes on.

Examples
--------
>>> from HiggsML.submission.value import open_submission
>>> with open_submission(Path("submission.zip")) as submission:        # doctest: +SKIP
...     submission.model_file
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from HiggsML.errors import SubmissionError
from HiggsML.files import remedy
from HiggsML.submission.archive import unpacked
from HiggsML.submission.layout import read_folder, shadowed_modules, shown

__all__ = ["Submission", "open_submission"]

_SHADOWING = sys.stdlib_module_names | {"numpy", "pandas", "scipy", "sklearn", "HiggsML"}


@dataclass(frozen=True)
class Submission:
    """A participant's submission: where its model is, and which files belong to it.

    Attributes
    ----------
    folder : Path
        The folder of ``model.py``, without links in its path; all that the submission may read.
    files : tuple of str
        The names of its files, from there, in order. Caches and the like are not among them.
    """

    folder: Path
    files: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path) -> Submission:
        """Check what is in a folder and return the submission in it.

        Raises
        ------
        SubmissionError
            If it holds none, or one that no run accepts; the message says what to change.
        """
        layout = read_folder(folder)
        layout.check(folder)
        return cls((folder / layout.folder).resolve(), tuple(layout.own))

    @property
    def model_file(self) -> Path:
        """Its ``model.py``."""
        return self.folder / "model.py"

    @cached_property
    def identity(self) -> Mapping[str, str]:
        """A digest of each file by its name; files are read piece by piece.

        Raises
        ------
        SubmissionError
            If one can not be read.
        """
        return {name: _digest(self.folder / name) for name in self.files}

    @property
    def shadowed_modules(self) -> tuple[str, ...]:
        """Helper modules that can not be imported, since an installed module has their name."""
        return shadowed_modules(self.files, _SHADOWING)

    def copied_to(self, folder: Path) -> Submission:
        """Copy its files into a new folder that only this user can read, and return that one.

        Raises
        ------
        SubmissionError
            If a file can not be copied.
        """
        folder.mkdir(mode=0o700, parents=True)
        for name in self.files:
            target = folder / name
            try:
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                shutil.copyfile(self.folder / name, target)
            except OSError as error:
                raise SubmissionError(
                    f"{shown(name)} can not be copied ({error.strerror}): {remedy(error)}"
                ) from error
        return replace(self, folder=folder.resolve())


@contextlib.contextmanager
def open_submission(path: Path) -> Iterator[Submission]:
    """Give the submission in a folder or zip; a zip is unpacked for as long as it is open.

    Raises
    ------
    SubmissionError
        If there is none at this path, or one that no run accepts.
    """
    if not path.is_file():
        yield Submission.of(path)
        return
    with unpacked(path) as folder:
        yield Submission.of(folder)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SubmissionError(f"{shown(str(path))} can not be read: {error.strerror}") from error
