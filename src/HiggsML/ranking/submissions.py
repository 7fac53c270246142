"""Which submissions are to be ranked, and under which names."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from HiggsML.errors import SubmissionError
from HiggsML.files import is_junk

__all__ = ["find_submissions"]

_MOST_BYTES = 150
"""Of a name, which is that of a folder, too."""


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
    by_name: dict[str, Path] = {}
    for name, path in listed:
        _check_name(name)
        same = [other for other in by_name if _folded(other) == _folded(name)]
        if same:
            raise SubmissionError(
                f"{by_name[same[0]]} and {path} have one name, {name}: rename one"
            )
        by_name[name] = path
    if not by_name:
        raise SubmissionError(f"{source} holds no submission: no zip, and no directory")
    return dict(sorted(by_name.items()))


def _check_name(name: str) -> None:
    """Refuse what can not be the name of a folder, or deceives a reader."""
    wrong = not name.isprintable() or set(name) & set('/\\:*?"') or len(name.encode()) > _MOST_BYTES
    if wrong or name != name.strip() or name.startswith(".") or name.endswith("."):
        raise SubmissionError(
            f"{name!r} can not be the name of a submission: use up to {_MOST_BYTES} bytes of "
            "letters, digits, dashes, underscores, dots and spaces inside"
        )


def _folded(name: str) -> str:
    """Return what is the same for names that some file systems take for one."""
    return unicodedata.normalize("NFKC", name).casefold()


def _from_folder(folder: Path) -> Iterator[tuple[str, Path]]:
    if not folder.is_dir():
        raise SubmissionError(
            f"{folder} does not exist: name a folder of submissions, or a CSV file"
        )
    if (folder / "model.py").is_file():
        raise SubmissionError(
            f"{folder} is a submission itself: name the folder that holds it, "
            f"{folder.resolve().parent}"
        )
    for path in sorted(folder.iterdir()):
        is_ranking = (path / "ranking.json").is_file()
        if is_junk(path.name) or path.name.startswith(".") or is_ranking:
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
        name, path = ((row.get(column) or "").strip() for column in ("name", "path"))
        if not name or not path:
            raise SubmissionError(f"{table}, line {number}: it needs the columns name and path")
        if not (table.parent / path).exists():
            raise SubmissionError(f"{table}, line {number}: {path} does not exist")
        yield name, table.parent / path
