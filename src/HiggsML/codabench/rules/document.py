"""Rules about ``competition.yaml`` itself, and how its parts fit together."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from HiggsML.codabench.contract import MAX_EXECUTION_TIME, SORTING_OF_SCORES
from HiggsML.codabench.rules.findings import Findings, Place
from HiggsML.codabench.rules.keys import (
    COMPETITION_FILE,
    at,
    check_section,
    child_key,
    parse_time,
)
from HiggsML.codabench.rules.located_yaml import Item, YamlProblem, load_located

__all__ = ["check_document", "entries", "load_document", "phase_order", "task_phases"]

_IMAGE_NAME = re.compile(
    r"([a-z0-9.-]+(:\d+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_DEFAULT_PER_DAY, _DEFAULT_IN_TOTAL = 5, 100


def load_document(text: str, report: Findings) -> Item | None:
    """Return the document, or None if it can not be read as keys and values."""
    try:
        document, doubles = load_located(text)
    except YamlProblem as problem:
        place = Place(COMPETITION_FILE, problem.line, problem.key)
        report.error("yaml", place, f"this is not valid YAML: {problem}", "Correct the syntax.")
        return None
    for double in doubles:
        place = Place(COMPETITION_FILE, double.line, double.key)
        report.error("duplicate-key", place, str(double), "Keep one of the two.")
    if not isinstance(document.value, dict):
        report.error(
            "yaml",
            Place(COMPETITION_FILE, document.line),
            "the file must hold keys and values",
            "Start with `version: 2`.",
        )
        return None
    return document


def check_document(
    document: Item, report: Findings, *, score_keys: Collection[str], now: datetime | None
) -> None:
    """Apply all rules that need nothing but the document.

    Parameters
    ----------
    document : Item
        The competition.
    report : Findings
        Where findings go.
    score_keys : collection of str
        What scoring writes to ``scores.json``.
    now : datetime, optional
        The time against which the phases' dates are held; without it they are not.
    """
    check_section(document, "competition", report)
    for rule in (_check_top, _check_indices, _check_references, _check_leaderboards):
        rule(document, report)
    _check_phases(document, report, now)
    for board in entries(document, "leaderboards"):
        _check_columns(board, report, score_keys)


def entries(item: Item, name: str) -> list[Item]:
    """Return those entries of a list that are mappings, and nothing where there is no list."""
    child = item.value.get(name) if isinstance(item.value, dict) else None
    if child is None or not isinstance(child.value, list):
        return []
    return [entry for entry in child.value if isinstance(entry.value, dict)]


def phase_order(document: Item) -> list[Item]:
    """Return the phases in the platform's order: by index where given, else as written."""
    return sorted(entries(document, "phases"), key=lambda phase: _whole(phase, "index") or 0)


def task_phases(document: Item, task: Item) -> list[Item]:
    """Return the phases that run a task."""
    index = _whole(task, "index")
    return [
        phase
        for phase in entries(document, "phases")
        if any(child.value == index for child in _wholes(phase, "tasks"))
    ]


def _check_top(document: Item, report: Findings) -> None:
    image = document.value.get("docker_image")
    if image is None:
        report.warning(
            "docker-image",
            Place(COMPETITION_FILE, document.line, "docker_image"),
            "the platform's default image lacks the packages that the programs need",
            "Name the image that Dockerfile makes.",
        )
    elif isinstance(image.value, str) and not _IMAGE_NAME.fullmatch(image.value):
        report.error(
            "docker-image",
            at(image),
            "this is not the name of an image",
            "Write name:tag in lower case, with the registry before it if it is not Docker Hub.",
        )
    elif isinstance(image.value, str) and ":" not in image.value.rsplit("/", 1)[-1]:
        report.warning(
            "docker-image",
            at(image),
            "without a tag the image is whatever is latest on the day of a run",
            "Add a tag, and never move it.",
        )
    mail = document.value.get("contact_email")
    if mail and isinstance(mail.value, str) and not re.fullmatch(r"\S+@\S+\.\S+", mail.value):
        report.error("email", at(mail), "this is not an address", "Write name@example.org.")


def _check_indices(document: Item, report: Findings) -> None:
    boards = [(board, "columns") for board in entries(document, "leaderboards")]
    lists = [(document, name) for name in ("tasks", "solutions", "phases", "leaderboards")]
    for owner, name in [*lists, *boards]:
        _unique(entries(owner, name), "index", "duplicate-index", report)
    for board in entries(document, "leaderboards"):
        _unique(entries(board, "columns"), "key", "duplicate-column-key", report)
    _unique(entries(document, "phases"), "name", "duplicate-name", report)
    _unique(entries(document, "tasks"), "name", "duplicate-name", report)
    _unique(entries(document, "pages"), "title", "duplicate-name", report)


def _unique(items: list[Item], name: str, rule: str, report: Findings) -> None:
    seen: dict[Any, int] = {}
    for item in items:
        child = item.value.get(name)
        if child is None or isinstance(child.value, (dict, list)):
            continue
        if child.value in seen:
            report.error(
                rule,
                at(child),
                f"the same {name} as in line {seen[child.value]}",
                f"Give each its own {name}.",
            )
        seen.setdefault(child.value, child.line)


def _check_references(document: Item, report: Findings) -> None:
    known = {_whole(task, "index") for task in entries(document, "tasks")} - {None}
    used: set[int] = set()
    for name in ("phases", "solutions"):
        for item in entries(document, name):
            for child in _wholes(item, "tasks"):
                if name == "phases":
                    used.add(child.value)
                if child.value not in known:
                    listed = ", ".join(
                        map(str, sorted(index for index in known if index is not None))
                    )
                    report.error(
                        "unknown-task",
                        at(child),
                        "no task has this index",
                        f"Use one of {listed or 'the indices of tasks'}.",
                    )
    for task in entries(document, "tasks"):
        index = task.value.get("index")
        if index and isinstance(index.value, int) and index.value not in used:
            report.warning(
                "unused-task", at(index), "no phase has this task", "Add it to a phase's tasks."
            )
        during = task.value.get("ingestion_only_during_scoring")
        if during and during.value is True:
            report.error(
                "ingestion-during-scoring",
                at(during),
                "ingestion would run beside scoring, which needs its finished results",
                "Remove this key, or set it to false.",
            )


def _check_phases(document: Item, report: Findings, now: datetime | None) -> None:
    phases = phase_order(document)
    if [id(p) for p in phases] != [id(p) for p in entries(document, "phases")]:
        first = phases[0].value["index"] if phases and "index" in phases[0].value else phases[0]
        report.error(
            "phase-order",
            at(first),
            "the platform orders phases by index, which is not the order here",
            "Write the phases in the order of their indices.",
        )
    for number, phase in enumerate(phases):
        _check_phase(phase, report, first=number == 0, last=number == len(phases) - 1)
        _check_limits(document, phase, report)
    for before, after in pairwise(phases):
        _check_sequence(before, after, report)
    if now is not None and phases:
        end = phases[-1].value.get("end")
        closes = parse_time(end.value) if end is not None else None
        if end is not None and closes is not None and closes <= now:
            report.warning("past", at(end), "all phases are over", "Set the dates.")


def _check_phase(phase: Item, report: Findings, *, first: bool, last: bool) -> None:
    end, start = phase.value.get("end"), phase.value.get("start")
    if end is None and not last:
        place = Place(COMPETITION_FILE, phase.line, child_key(phase, "end"))
        report.error("phase-end", place, "only the last phase may be without an end", "Add `end:`.")
    if end is not None and start is not None:
        opens, closes = parse_time(start.value), parse_time(end.value)
        if opens is not None and closes is not None and closes <= opens:
            report.error("phase-times", at(end), "the phase ends before it starts", "Swap them.")
    migrate = phase.value.get("auto_migrate_to_this_phase")
    if first and migrate is not None and migrate.value is True:
        report.error(
            "auto-migrate",
            at(migrate),
            "there is no phase before the first one to take submissions from",
            "Remove this key from the first phase.",
        )
    hidden = phase.value.get("hide_score_output")
    if hidden is not None and hidden.value is True:
        report.warning(
            "hidden-output",
            at(hidden),
            "participants would not see the detailed results",
            "Remove this key if they should.",
        )


def _check_limits(document: Item, phase: Item, report: Findings) -> None:
    limit = phase.value.get("execution_time_limit")
    seconds = _whole(phase, "execution_time_limit")
    on_default_queue = document.value.get("queue") is None
    if limit is not None and seconds and seconds > MAX_EXECUTION_TIME and on_default_queue:
        report.error(
            "time-limit",
            at(limit),
            f"the default queue stops a run after {MAX_EXECUTION_TIME} s",
            f"Write {MAX_EXECUTION_TIME} at most, or name a queue of your own.",
        )
    per_day = _whole(phase, "max_submissions_per_day")
    total = _whole(phase, "max_submissions")
    a_day = _DEFAULT_PER_DAY if per_day is None else per_day
    if a_day > (_DEFAULT_IN_TOTAL if total is None else total):
        name = "max_submissions_per_day" if per_day is not None else "max_submissions"
        report.error(
            "submission-limits",
            at(phase.value[name]),
            f"{a_day} submissions a day are more than those allowed in total",
            "Lower `max_submissions_per_day`, or raise `max_submissions`.",
        )


def _check_sequence(before: Item, after: Item, report: Findings) -> None:
    end, start = before.value.get("end"), after.value.get("start")
    if end is None or start is None:
        return
    closes, opens = parse_time(end.value), parse_time(start.value)
    if closes is not None and opens is not None and opens <= closes:
        report.error(
            "phase-overlap",
            at(start),
            f"the phase must start strictly after the one before ends ({end.value})",
            f'Write "{closes + timedelta(seconds=1):%Y-%m-%d %H:%M:%S}" or later.',
        )


def _check_leaderboards(document: Item, report: Findings) -> None:
    boards = entries(document, "leaderboards")
    for extra in boards[1:]:
        report.error(
            "extra-leaderboard",
            at(extra),
            "the platform uses only the first leaderboard",
            "Remove this one; a column can be hidden with `hidden: true`.",
        )
    for board in boards:
        rule = board.value.get("submission_rule")
        if rule is None:
            place = Place(COMPETITION_FILE, board.line, child_key(board, "submission_rule"))
            report.warning(
                "submission-rule",
                place,
                "the platform decides what stands on the leaderboard",
                "Write `submission_rule: Add_And_Delete`.",
            )
        elif rule.value == "Force_Best":
            report.error(
                "submission-rule",
                at(rule),
                "under this rule a submission without a score ranks first",
                "Write `submission_rule: Add_And_Delete`: participants choose their entry.",
            )
        _check_primary(board, report)


def _check_primary(board: Item, report: Findings) -> None:
    columns = {_whole(column, "index"): column for column in entries(board, "columns")}
    primary = board.value.get("primary_index")
    if primary is None:
        place = Place(COMPETITION_FILE, board.line, child_key(board, "primary_index"))
        report.warning(
            "primary-index",
            place,
            "it is not said which column ranks",
            "Add `primary_index:` with the index of a column.",
        )
    elif isinstance(primary.value, int) and primary.value not in columns:
        report.error(
            "primary-index",
            at(primary),
            "no column has this index",
            "Write the index of the column that ranks.",
        )
    elif isinstance(primary.value, int):
        hidden = columns[primary.value].value.get("hidden")
        if hidden is not None and hidden.value is True:
            report.error(
                "primary-hidden",
                at(hidden),
                "the column that ranks is hidden",
                "Show it, or rank by another column.",
            )


def _check_columns(board: Item, report: Findings, score_keys: Collection[str]) -> None:
    columns = entries(board, "columns")
    indices = {_whole(column, "index") for column in columns} - {None}
    for column in columns:
        key, computation = column.value.get("key"), column.value.get("computation")
        operands = column.value.get("computation_indexes")
        if computation is None and operands is None:
            _check_score_key(key, report, score_keys)
            _check_sorting(column, report)
            continue
        present = computation if computation is not None else operands
        assert present is not None  # noqa: S101 (one of the two is there)
        if computation is None or operands is None:
            absent = "computation" if computation is None else "computation_indexes"
            report.error(
                "computation",
                at(present, present.key.rsplit(".", 1)[-1]),
                f"this needs `{absent}` beside it",
                f"Add `{absent}:`, or remove this key.",
            )
        for operand in _wholes(column, "computation_indexes"):
            if operand.value not in indices or operand.value == _whole(column, "index"):
                report.error(
                    "computation-index",
                    at(operand),
                    "this is not the index of another column",
                    "Name the columns that are combined.",
                )


def _check_score_key(key: Item | None, report: Findings, score_keys: Collection[str]) -> None:
    if key is None or not isinstance(key.value, str) or key.value in score_keys:
        return
    close = difflib.get_close_matches(key.value.lower(), score_keys, n=1, cutoff=0.6)
    hint = f"Did you mean `{close[0]}`? " if close else ""
    report.error(
        "score-key",
        at(key),
        "scoring writes no score with this key",
        f"{hint}scores.json has {', '.join(score_keys)}.",
    )


def _check_sorting(column: Item, report: Findings) -> None:
    key, sorting = column.value.get("key"), column.value.get("sorting")
    best = SORTING_OF_SCORES.get(key.value) if key and isinstance(key.value, str) else None
    order = sorting.value if sorting is not None else "desc"
    if best is not None and order in ("asc", "desc") and order != best:
        place = sorting if sorting is not None else column.value["key"]
        report.error(
            "sorting", at(place), "the worst would come first", f"Write `sorting: {best}`."
        )


def _whole(item: Item, name: str) -> int | None:
    child = item.value.get(name)
    if child is None or not isinstance(child.value, int) or isinstance(child.value, bool):
        return None
    return child.value


def _wholes(item: Item, name: str) -> Iterator[Item]:
    child = item.value.get(name)
    if child is not None and isinstance(child.value, list):
        yield from (entry for entry in child.value if isinstance(entry.value, int))
