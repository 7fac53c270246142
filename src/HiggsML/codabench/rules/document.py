"""Rules about ``competition.yaml`` itself, and how its parts fit together."""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from HiggsML.codabench.contract import MAX_EXECUTION_TIME
from HiggsML.codabench.rules import fields
from HiggsML.codabench.rules.columns import check_columns
from HiggsML.codabench.rules.fields import Refused
from HiggsML.codabench.rules.findings import Findings, Location
from HiggsML.codabench.rules.keys import (
    COMPETITION_FILE,
    at,
    check_section,
    child_key,
    is_key,
    iterated,
    time_of,
)
from HiggsML.codabench.rules.located_yaml import Item, YamlProblem, load_located
from HiggsML.codabench.rules.old_format import is_old

__all__ = ["check_document", "entries", "load_document", "phase_order", "task_phases"]

_IMAGE_NAME = re.compile(
    r"([a-z0-9.-]+(:\d+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_DEFAULT_COUNTS = {"max_submissions_per_day": 5, "max_submissions": 100}


def load_document(text: str, report: Findings) -> Item | None:
    """Return the document, or None if it can not be read as keys and values."""
    try:
        document, doubles = load_located(text)
    except YamlProblem as problem:
        location = Location(COMPETITION_FILE, problem.line, problem.key)
        report.refuse("yaml", location, f"this is not valid YAML: {problem}", "Correct the syntax.")
        return None
    for double in doubles:
        location = Location(COMPETITION_FILE, double.line, double.key)
        report.advise(
            "duplicate-key", location, str(double), "Keep one: the platform takes the last."
        )
    if not isinstance(document.value, dict):
        report.refuse(
            "yaml",
            Location(COMPETITION_FILE, document.line),
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
        The competition, in today's format.
    report : Findings
        Where findings go.
    score_keys : collection of str
        What scoring writes to ``scores.json``.
    now : datetime, optional
        The time against which the phases' dates are held; without it they are not.
    """
    old = is_old(document)
    check_section(document, "older competition" if old else "competition", report)
    for rule in (_check_top, _check_queue, _check_fact_sheet, _check_dump):
        rule(document, report)
    for rule in (_check_indices, _check_references):
        rule(document, report)
    if not old:  # which says nothing of it
        _check_leaderboards(document, report)
    _check_phases(document, report, now)
    for board in entries(document, "leaderboards"):
        check_columns(board, report, score_keys)


def entries(item: Item, name: str) -> list[Item]:
    """Return those entries of a list that are mappings, and nothing where there is no list."""
    child = item.value.get(name) if isinstance(item.value, dict) else None
    if child is None or not isinstance(child.value, list):
        return []
    return [entry for entry in child.value if isinstance(entry.value, dict)]


def phase_order(document: Item) -> list[Item]:
    """Return the phases in the platform's order: by index where given, else as written.

    Raises
    ------
    TypeError
        If the indices can not be compared.
    """

    def index(phase: Item) -> Any:
        return phase.value["index"].value if "index" in phase.value else 0

    return sorted(entries(document, "phases"), key=index)


def task_phases(document: Item, task: Item) -> list[Item]:
    """Return the phases that run a task."""
    index = task.value["index"].value if "index" in task.value else None
    return [
        phase
        for phase in entries(document, "phases")
        if "tasks" in phase.value
        and any(child.value == index for child in iterated(phase.value["tasks"]) or ())
    ]


def _check_queue(document: Item, report: Findings) -> None:
    queue = document.value.get("queue")
    if queue is None or not queue.value:
        return
    if not isinstance(queue.value, str) or not is_key(queue.value):
        message = "this is not the address of a queue"
        remedy = "Copy the queue's Vhost (a UUID) from the platform."
        report.refuse("queue", at(queue), message, remedy)


_QUESTION = frozenset({"key", "type", "title", "selection", "is_required", "is_on_leaderboard"})
_QUESTION_TYPES = ("checkbox", "text", "select")


def _check_fact_sheet(document: Item, report: Findings) -> None:
    sheet = document.value.get("fact_sheet")
    if sheet is None or not sheet.value:
        return
    if not isinstance(sheet.value, dict):
        report.refuse(
            "fact-sheet", at(sheet), "this must hold questions by key", "Write a mapping."
        )
        return
    remedy = f"Write {', '.join(sorted(_QUESTION))}, with a type of {', '.join(_QUESTION_TYPES)}."
    for key, question in sheet.value.items():
        if not isinstance(question.value, dict):
            report.refuse("fact-sheet", at(question), "a question holds keys and values", remedy)
            continue
        wrong = sorted(_QUESTION ^ set(question.value))
        if wrong:
            what = "lacks" if wrong[0] in _QUESTION else "must not have"
            message = f"the question {what} {', '.join(wrong)}"
            report.refuse("fact-sheet", at(question), message, remedy)
            continue
        if str(question.value["key"].value) != key:
            message = "this is not the key under which the question stands"
            report.refuse("fact-sheet", at(question.value["key"]), message, f"Write `key: {key}`.")
        if question.value["type"].value not in _QUESTION_TYPES:
            message = "there is no such type of question"
            report.refuse("fact-sheet", at(question.value["type"]), message, remedy)


def _check_dump(document: Item, report: Findings) -> None:
    """Say what the platform's own dump of a competition has lost."""
    tasks, phases = entries(document, "tasks"), entries(document, "phases")
    mark = next((task.value["is_public"] for task in tasks if "is_public" in task.value), None)
    if mark is None:
        mark = next((p.value["solutions"] for p in phases if "solutions" in p.value), None)
    if mark is None:
        return
    message = (
        "this is a dump of the platform: it has lost the column that ranks (primary_index), times "
        "of day, public data and starting kits"
    )
    report.advise("dump", at(mark), message, "Fill them in before you upload it again.")


def _check_top(document: Item, report: Findings) -> None:
    image = document.value.get("docker_image")
    if image is None:
        report.fault(
            "docker-image",
            Location(COMPETITION_FILE, document.line, "docker_image"),
            "the platform's default image lacks the packages that the programs need",
            "Name the image that Dockerfile makes.",
        )
    elif isinstance(image.value, str) and image.value and not _IMAGE_NAME.fullmatch(image.value):
        report.fault(
            "docker-image",
            at(image),
            "this is not the name of an image",
            "Write name:tag in lower case, with the registry before it if it is not Docker Hub.",
        )
    elif isinstance(image.value, str) and ":" not in image.value.rsplit("/", 1)[-1]:
        report.advise(
            "docker-image",
            at(image),
            "without a tag the image is whatever is latest on the day of a run",
            "Add a tag, and never move it.",
        )


def _check_indices(document: Item, report: Findings) -> None:
    for task in entries(document, "tasks"):
        index = task.value.get("index")
        if index is not None and not _is_hashable(index):
            report.refuse("type", at(index), "this can not be an index", "Write a whole number.")
    _unique(entries(document, "tasks"), "index", "duplicate-index", report, refused=True)
    for name in ("solutions", "phases", "leaderboards"):
        _unique(entries(document, name), "index", "duplicate-index", report)
    for name, title in (("phases", "name"), ("tasks", "name"), ("pages", "title")):
        _unique(entries(document, name), title, "duplicate-name", report)


def _unique(
    items: list[Item], name: str, rule: str, report: Findings, *, refused: bool = False
) -> None:
    seen: dict[Hashable, int] = {}
    for item in items:
        child = item.value.get(name)
        if child is None or not _is_hashable(child):
            continue
        if child.value in seen:
            message = f"the same {name} as in line {seen[child.value]}"
            add = report.refuse if refused else report.advise
            add(rule, at(child), message, f"Give each its own {name}.")
        seen.setdefault(child.value, child.line)


def _is_hashable(item: Item) -> bool:
    return isinstance(item.value, Hashable)


def _check_references(document: Item, report: Findings) -> None:
    known = {
        task.value["index"].value
        for task in entries(document, "tasks")
        if "index" in task.value and _is_hashable(task.value["index"])
    }
    listed = ", ".join(map(str, known))
    used: set[Hashable] = set()
    for name in ("phases", "solutions"):
        for item in entries(document, name):
            tasks = item.value.get("tasks")
            if tasks is None:
                continue  # reported as missing
            children = iterated(tasks)
            if children is None:
                report.refuse("type", at(tasks), "this must be a list of indices", "Write `[0]`.")
                continue
            if not children:
                message = "no task is named, so nothing would run"
                report.fault("empty", at(tasks), message, "Name at least one index.")
            seen: set[Hashable] = set()
            for child in children:
                if not _is_hashable(child) or child.value not in known:
                    remedy = f"Use one of {listed or 'the indices of tasks'}."
                    report.refuse("unknown-task", at(child), "no task has this index", remedy)
                    continue
                if child.value in seen:
                    report.advise("duplicate-index", at(child), "listed twice", "Remove one.")
                seen.add(child.value)
            if name == "phases":
                used |= seen
    _check_tasks(document, used, report)


def _check_tasks(document: Item, used: set[Hashable], report: Findings) -> None:
    for task in entries(document, "tasks"):
        index = task.value.get("index")
        if index is not None and _is_hashable(index) and index.value not in used:
            report.advise(
                "unused-task", at(index), "no phase has this task", "Add it to a phase's tasks."
            )
        during = task.value.get("ingestion_only_during_scoring")
        if during is not None and _is_true(during):
            report.need(
                "ingestion-during-scoring",
                at(during),
                "ingestion would run beside scoring, which needs its finished results",
                "Remove this key, or set it to false.",
            )


def _is_true(item: Item | None) -> bool:
    try:
        return item is not None and fields.flag(item.value)
    except Refused:
        return False


def _check_phases(document: Item, report: Findings, now: datetime | None) -> None:
    written = entries(document, "phases")
    try:
        phases = phase_order(document)
    except TypeError:
        index = next(p.value["index"] for p in written if "index" in p.value)
        message = "the platform can not put phases with these indices in order"
        report.refuse("phase-order", at(index), message, "Write whole numbers.")
        return
    if [id(phase) for phase in phases] != [id(phase) for phase in written]:
        first = phases[0].value["index"] if "index" in phases[0].value else phases[0]
        message = "the platform orders phases by index, which is not the order here"
        remedy = "Write the phases in the order of their indices."
        report.advise("phase-order", at(first), message, remedy)
    for number, phase in enumerate(phases):
        _check_phase(phase, report, first=number == 0, last=number == len(phases) - 1)
        _check_limits(document, phase, report)
    for before, after in pairwise(phases):
        _check_sequence(before, after, report)
    if now is not None and phases:
        end = phases[-1].value.get("end")
        closes = time_of(end)
        if end is not None and closes is not None and closes <= now:
            report.advise("past", at(end), "all phases are over", "Set the dates.")


def _check_phase(phase: Item, report: Findings, *, first: bool, last: bool) -> None:
    end, start = phase.value.get("end"), phase.value.get("start")
    if not last and (end is None or not end.value):
        location = Location(COMPETITION_FILE, phase.line, child_key(phase, "end"))
        message = "only the last phase may be without an end"
        report.refuse("phase-end", location, message, "Add `end:`.")
    opens, closes = time_of(start), time_of(end)
    if end is not None and opens is not None and closes is not None and closes <= opens:
        report.fault("phase-times", at(end), "the phase ends before it starts", "Swap them.")
    migrate = phase.value.get("auto_migrate_to_this_phase")
    if first and migrate is not None and _is_true(migrate):
        report.refuse(
            "auto-migrate",
            at(migrate),
            "there is no phase before the first one to take submissions from",
            "Remove this key from the first phase.",
        )
    hidden = phase.value.get("hide_score_output")
    if hidden is not None and _is_true(hidden):
        report.advise(
            "hidden-output",
            at(hidden),
            "participants would not see the detailed results",
            "Remove this key if they should.",
        )


def _check_limits(document: Item, phase: Item, report: Findings) -> None:
    limit = phase.value.get("execution_time_limit")
    seconds = _whole(phase, "execution_time_limit")
    queue = document.value.get("queue")
    on_default_queue = queue is None or not queue.value
    if limit is not None and seconds and seconds > MAX_EXECUTION_TIME and on_default_queue:
        report.fault(
            "time-limit",
            at(limit),
            f"the default queue stops a run after {MAX_EXECUTION_TIME} s",
            f"Write {MAX_EXECUTION_TIME} at most, or name a queue of your own.",
        )
    elif limit is not None and not limit.value:
        message = f"the platform takes {MAX_EXECUTION_TIME} s instead"
        report.advise("time-limit", at(limit), message, "Write the seconds.")
    _check_counts(phase, report)


def _check_counts(phase: Item, report: Findings) -> None:
    counts = {}
    for name, default in _DEFAULT_COUNTS.items():
        item = phase.value.get(name)
        counts[name] = default if item is None else _whole(phase, name)
        if item is not None and not item.value and counts[name] in (0, None):
            message = "there is no limit then: the platform takes this for none"
            report.advise("submission-limits", at(item), message, "Write a number above 0.")
    a_day, total = counts.values()
    if a_day and total and a_day > total:
        name = next(name for name in _DEFAULT_COUNTS if name in phase.value)
        report.advise(
            "submission-limits",
            at(phase.value[name]),
            f"{a_day} submissions a day are more than those allowed in total",
            "Lower `max_submissions_per_day`, or raise `max_submissions`.",
        )


def _check_sequence(before: Item, after: Item, report: Findings) -> None:
    end, start = before.value.get("end"), after.value.get("start")
    closes, opens = time_of(end), time_of(start)
    if end is None or start is None or closes is None or opens is None or opens > closes:
        return
    report.refuse(
        "phase-overlap",
        at(start),
        f"the phase must start strictly after the one before ends ({end.value})",
        f'Write "{closes + timedelta(seconds=1):%Y-%m-%d %H:%M:%S}" or later.',
    )


def _check_leaderboards(document: Item, report: Findings) -> None:
    boards = entries(document, "leaderboards")
    for extra in boards[1:]:
        report.advise(
            "extra-leaderboard",
            at(extra),
            "the platform uses only the first leaderboard",
            "Remove this one; a column can be hidden with `hidden: true`.",
        )
    for board in boards:
        rule = board.value.get("submission_rule")
        if rule is None:
            location = Location(COMPETITION_FILE, board.line, child_key(board, "submission_rule"))
            report.advise(
                "submission-rule",
                location,
                "the platform decides what stands on the leaderboard",
                "Write `submission_rule: Add_And_Delete`.",
            )
        elif rule.value == "Force_Best":
            report.fault(
                "submission-rule",
                at(rule),
                "under this rule a submission without a score ranks first",
                "Write `submission_rule: Add_And_Delete`: participants choose their entry.",
            )
        _check_primary(board, report)


def _check_primary(board: Item, report: Findings) -> None:
    columns = {_whole(column, "index"): column for column in entries(board, "columns")}
    primary, index = board.value.get("primary_index"), _whole(board, "primary_index")
    if primary is None:
        location = Location(COMPETITION_FILE, board.line, child_key(board, "primary_index"))
        report.advise(
            "primary-index",
            location,
            "it is not said which column ranks",
            "Add `primary_index:` with the index of a column.",
        )
    elif index is not None and index not in columns:
        report.fault(
            "primary-index",
            at(primary),
            "no column has this index",
            "Write the index of the column that ranks.",
        )
    elif index is not None:
        hidden = columns[index].value.get("hidden")
        if hidden is not None and _is_true(hidden):
            report.fault(
                "primary-hidden",
                at(hidden),
                "the column that ranks is hidden",
                "Show it, or rank by another column.",
            )


def _whole(item: Item, name: str) -> int | None:
    child = item.value.get(name)
    try:
        return None if child is None else fields.whole(child.value, null=True)
    except Refused:
        return None
