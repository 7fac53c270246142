"""Competitions in the platform's older format, versions 1 and 1.5 of ``competition.yaml``.

The platform turns them into a competition of today, and so does :func:`in_todays_format`, so that
all other rules see one format. Lines and keys of what they report stay those of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from HiggsML.codabench.rules.findings import Findings, Location
from HiggsML.codabench.rules.keys import COMPETITION_FILE, at, child_key, time_of
from HiggsML.codabench.rules.located_yaml import Item

__all__ = ["in_todays_format", "is_old"]

_OLD_VERSIONS = ("1", "1.5")
_DEFAULT_VERSION = "1"
_SAME_NAMES = (
    *("title", "image", "queue", "description", "enable_detailed_results"),
    *("show_detailed_results_in_submission_panel", "show_detailed_results_in_leaderboard"),
    *("auto_run_submissions", "make_programs_available", "make_input_data_available"),
)
_PHASE_NAMES = {
    "name": "label",
    "start": "start_date",
    "auto_migrate_to_this_phase": "auto_migration",
} | {
    name: name
    for name in (
        *("description", "max_submissions_per_day", "max_submissions", "execution_time_limit"),
        *("hide_output", "hide_prediction_output", "hide_score_output"),
        *("public_data", "starting_kit"),
    )
}
_TASK_NAMES = {"ingestion_only_during_scoring": "ingestion_program_only_during_scoring"} | {
    name: name
    for name in (
        *("description", "ingestion_program", "scoring_program", "input_data", "reference_data"),
    )
}


class _Refused(Exception):  # noqa: N818 (turned into a finding, never raised to a user)
    """What keeps the platform from converting the document, and where."""

    def __init__(self, location: Location, message: str, remedy: str) -> None:
        super().__init__(message)
        self.location, self.remedy = location, remedy


def is_old(document: Item) -> bool:
    """Return whether the platform takes a document for one of the older format."""
    version = document.value.get("version")
    return (_DEFAULT_VERSION if version is None else str(version.value)) in _OLD_VERSIONS


def in_todays_format(document: Item, report: Findings) -> Item | None:
    """Return a document as the platform understands it, by its version.

    Parameters
    ----------
    document : Item
        The whole of ``competition.yaml``.
    report : Findings
        Where findings go.

    Returns
    -------
    Item or None
        The document itself, unless it is a competition of the older format: then what becomes of
        it, with the old version; None, reported, if nothing does.
    """
    version = document.value.get("version")
    if not is_old(document):
        if version is not None and str(version.value) != "2":
            message = "the platform knows no such version"
            report.refuse("version", at(version), message, "Write `version: 2`.")
        return document
    if "html" not in document.value:  # meant in today's format
        remedy = "Write `version: 2`; without it the platform reads another format."
        if version is None:
            location = Location(COMPETITION_FILE, document.line, "version")
            report.refuse("missing-key", location, "this key is required", remedy)
        else:
            message = "the platform reads this as another format"
            report.refuse("version", at(version), message, remedy)
        return Item(document.value | {"version": _beside(document, 2)}, document.line, document.key)
    message = (
        "this is the platform's older format, which it converts without computed columns, "
        "solutions and what else it does not know"
    )
    location = Location(COMPETITION_FILE, document.line) if version is None else at(version)
    report.advise("old-format", location, message, "Write a new competition with `version: 2`.")
    try:
        return _converted(document)
    except _Refused as refused:
        report.refuse("old-format", refused.location, str(refused), refused.remedy)
        return None


def _converted(document: Item) -> Item:
    old = document.value
    pages, terms = _pages(_mapping(document, "html"))
    phases, tasks = _phases(document)
    new = {name: old[name] for name in _SAME_NAMES if name in old} | {
        "version": old.get("version") or _beside(document, _DEFAULT_VERSION),
        "title": old.get("title") or _beside(document, None, "title"),
        "image": _required(document, "image"),
        "terms": terms,
        "pages": pages,
        "tasks": tasks,
        "phases": phases,
        "leaderboards": _leaderboards(_mapping(document, "leaderboard")),
    }
    image = old.get("competition_docker_image")
    if image is not None and image.value:
        new["docker_image"] = image
    return Item(new, document.line, document.key)


def _pages(html: Item) -> tuple[Item, Item]:
    terms = _required(html, "terms")
    pages = [
        Item({"title": _beside(file, title), "file": file}, file.line, file.key)
        for title, file in html.value.items()
        if title != "terms"
    ]
    return _beside(html, pages), terms


def _phases(document: Item) -> tuple[Item, Item]:
    listed = _mapping(document, "phases")
    old = _in_order(listed, "phasenumber", default=None)
    if any(_is_set(phase, "is_parallel_parent", "parent_phasenumber") for phase in old):
        old = old[1:]
    phases, tasks = [], []
    for index, phase in enumerate(old):
        label = _required(phase, "label")
        _required(phase, "start_date")
        number = _beside(phase, index)
        new = {"index": number, "tasks": _beside(phase, [number])} | _renamed(phase, _PHASE_NAMES)
        following = old[index + 1] if index + 1 < len(old) else None
        end = document.value.get("end_date") if following is None else _day_before(following)
        if end is not None and end.value != "null":
            new["end"] = end
        phases.append(Item(new, phase.line, phase.key))
        task = {"index": number, "name": _beside(label, f"{label.plain()} Task")}
        tasks.append(Item(task | _renamed(phase, _TASK_NAMES), phase.line, phase.key))
    return _beside(listed, phases), _beside(listed, tasks)


def _day_before(phase: Item) -> Item | None:
    """Return when a phase ends that another follows: a day before the other starts."""
    start = _required(phase, "start_date")
    opens = time_of(start)
    try:
        closes = None if opens is None else opens.replace(tzinfo=None) - timedelta(days=1)
    except OverflowError:
        message = "there is no day before this"
        raise _Refused(at(start), message, "Write a quoted UTC time.") from None
    return None if closes is None else _beside(start, closes.isoformat(" "))


def _leaderboards(leaderboard: Item) -> Item:
    boards = _mapping(leaderboard, "leaderboards")
    written = _mapping(leaderboard, "columns")
    titled = {name: _titled(name, column) for name, column in written.value.items()}
    listed = _in_order(Item(titled, written.line, written.key), "rank", default=1)
    columns: dict[str, list[Item]] = {}
    for index, column in enumerate(listed):
        label = _text(_mapping(column, "leaderboard"), "label")
        columns.setdefault(label.lower(), []).append(_column(column, index))
    new = []
    for name, board in boards.value.items():
        label = _text(board, "label") if listed else ""
        _required(board, "label")
        key = _beside(board, name)
        mine = _beside(board, columns.get(label.lower(), []))
        new.append(Item({"title": key, "key": key, "columns": mine}, board.line, board.key))
    return _beside(boards, new)


def _titled(name: str, column: Item) -> Item:
    """Return a column with the name under which it stands as its title, unless it has one."""
    if not isinstance(column.value, dict):
        raise _Refused(at(column), "this must be a mapping of keys to values", "Write it so.")
    return Item({"title": _beside(column, name)} | column.value, column.line, column.key)


def _column(column: Item, index: int) -> Item:
    name, sorting = column.value["title"], column.value.get("sort")
    new = {
        "index": _beside(column, index),
        "key": name,
        "title": column.value.get("label") or name,
        "sorting": sorting if sorting is not None and sorting.value else _beside(column, "desc"),
    }
    renamed = _renamed(column, {"precision": "numeric_format", "hidden": "hidden"})
    return Item(new | renamed, column.line, column.key)


def _in_order(mapping: Item, name: str, *, default: Any) -> list[Item]:
    """Return the entries of a mapping, sorted by the value of a key of each."""

    def rank(entry: Item) -> Any:
        if default is not None and isinstance(entry.value, dict) and name not in entry.value:
            return default
        return _required(entry, name).plain()

    try:
        return sorted(mapping.value.values(), key=rank)
    except TypeError:
        message = f"the platform can not put these in order by their {name}"
        raise _Refused(at(mapping), message, "Write whole numbers.") from None


def _renamed(item: Item, names: Mapping[str, str]) -> dict[str, Item]:
    return {new: item.value[old] for new, old in names.items() if old in item.value}


def _is_set(item: Item, *names: str) -> bool:
    return any(name in item.value and item.value[name].value for name in names)


def _beside(item: Item, value: Any, name: str = "") -> Item:
    """Return a value that stands where an item does."""
    return Item(value, item.line, child_key(item, name) if name else item.key)


def _required(item: Item, name: str) -> Item:
    if not isinstance(item.value, dict):
        raise _Refused(at(item), "this must be a mapping of keys to values", f"Write `{name}:`.")
    if name not in item.value:
        location = Location(COMPETITION_FILE, item.line, child_key(item, name))
        message = "this key is required in the older format"
        raise _Refused(location, message, f"Add `{name}:`, or write in today's, with `version: 2`.")
    required: Item = item.value[name]
    return required


def _mapping(item: Item, name: str) -> Item:
    mapping = _required(item, name)
    if not isinstance(mapping.value, dict):
        message = "this must be a mapping of keys to values"
        raise _Refused(at(mapping), message, "Write it so, or use today's format.")
    return mapping


def _text(item: Item, name: str) -> str:
    text = _required(item, name)
    if not isinstance(text.value, str):
        raise _Refused(at(text), "this must be a text", "Write it in quotes.")
    return text.value
