"""Which submissions are to be ranked, and under which names."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from HiggsML.errors import SubmissionError
from HiggsML.files import is_junk

__all__ = ["find_submissions"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,99}")


def find_submissions(source: Path) -> dict[str, Path]:
    """Return the submissions in a folder, or those that a CSV file lists, by name.

    Parameters
    ----------
    source : Path
        A folder of zips and directories, whose names are the submissions', or a CSV file with the
        columns ``name`` and ``path`` (relative to the file).

    Returns
    -------
    dict of str to Path
        In the order of their names. Whether they can be run is not checked here: one that can not
        gets its line on the board, too.

    Raises
    ------
    SubmissionError
        If there are none, a path of the list does not exist, or two have one name.

    Examples
    --------
    >>> list(find_submissions(Path("examples")))                             # doctest: +SKIP
    ['classifier_counting', 'counting', 'gaming', 'no_systematics']
    """
    listed = _from_list(source) if source.is_file() else _from_folder(source)
    found: dict[str, Path] = {}
    for name, path in listed:
        if not _NAME.fullmatch(name):
            raise SubmissionError(
                f"{name!r} can not be the name of a submission: use letters, digits, dots, dashes, "
                "underscores and spaces"
            )
        if name in found:
            raise SubmissionError(f"{found[name]} and {path} have one name, {name}: rename one")
        found[name] = path
    if not found:
        raise SubmissionError(f"{source} holds no submission: no zip, and no directory")
    return dict(sorted(found.items()))


def _from_folder(folder: Path) -> Iterator[tuple[str, Path]]:
    if not folder.is_dir():
        raise SubmissionError(
            f"{folder} does not exist: name a folder of submissions, or a CSV file"
        )
    for path in sorted(folder.iterdir()):
        if is_junk(path.name) or path.name.startswith("."):
            continue
        if path.is_dir():
            yield path.name, path
        elif path.suffix.lower() == ".zip":
            yield path.stem, path


def _from_list(table: Path) -> Iterable[tuple[str, Path]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SubmissionError(f"{table} can not be read as CSV: {error}") from error
    for number, row in enumerate(rows, start=2):
        name, path = (row.get(column) for column in ("name", "path"))
        if not name or not path:
            raise SubmissionError(f"{table}, line {number}: it needs the columns name and path")
        if not (table.parent / path).exists():
            raise SubmissionError(f"{table}, line {number}: {path} does not exist")
        yield name, table.parent / path
