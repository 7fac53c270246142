"""Rules about single keys of ``competition.yaml``: known, present, of the right type and size."""

from __future__ import annotations

import difflib
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Any

from HiggsML.codabench.contract import SECTIONS, Key
from HiggsML.codabench.rules import fields
from HiggsML.codabench.rules.fields import Refused
from HiggsML.codabench.rules.findings import Findings, Location
from HiggsML.codabench.rules.located_yaml import Item

__all__ = [
    "COMPETITION_FILE",
    "at",
    "check_section",
    "child_key",
    "is_key",
    "iterated",
    "time_of",
]

COMPETITION_FILE = "competition.yaml"

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2})?)?")
_TIME_EXAMPLE = 'Write a quoted UTC time such as "2026-12-01 00:00:00"'
_OFFSET = re.compile(r"\d{2}:\d{2}(:\d{2})?(\.\d+)?\s*(Z|UTC|[+-]\d{2}:?\d{0,2})$")
_REMEDIES = {
    "text": "Write a text, in quotes.",
    "email": "Write name@example.org.",
    "whole": "Write a whole number without quotes.",
    "flag": "Write true or false without quotes.",
    "time": f"{_TIME_EXAMPLE}.",
    "path": "Write a path from the root of the bundle.",
}
_KEPT = {"task": ("index", "key"), "solution": ("index", "key", "tasks")}
"""What counts of a task or solution that is on the platform already."""


def check_section(item: Item, section: str, report: Findings) -> None:
    """Check a mapping, and all below it, against the keys of its section."""
    keys = SECTIONS[section]
    if not isinstance(item.value, dict):
        message = f"a {section} is a mapping of keys to values"
        report.refuse("type", at(item), message, _needs(section))
        return
    if "key" in item.value and section in _KEPT:
        keys = {name: keys[name] for name in _KEPT[section]}
        _check_stored(item.value["key"], section, report)
    for name, child in item.value.items():
        if name not in SECTIONS[section]:
            _unknown_key(name, child, section, report)
        elif name in keys:
            _check_value(child, keys[name], report)
    for name, key in keys.items():
        if key.required and name not in item.value:
            location = Location(COMPETITION_FILE, item.line, child_key(item, name))
            remedy = f"Add `{name}:` to this {section}."
            report.refuse("missing-key", location, "this key is required", remedy)


def _unknown_key(name: str, child: Item, section: str, report: Findings) -> None:
    close = difflib.get_close_matches(name.lower(), SECTIONS[section], n=1, cutoff=0.7)
    elsewhere = [other for other, keys in SECTIONS.items() if name in keys]
    if elsewhere:
        remedy = f"This key belongs to a {elsewhere[0]}: move it there."
    elif close:
        remedy = f"Did you mean `{close[0]}`?"
    else:
        remedy = f"Remove it; a {section} has {', '.join(SECTIONS[section])}."
    location = Location(COMPETITION_FILE, child.line, child.key, name)
    report.advise("unknown-key", location, "the platform ignores this key without a word", remedy)


def _check_stored(item: Item, section: str, report: Findings) -> None:
    """Check the key of something that is to be on the platform already."""
    if not is_key(item.value):
        message = f"this is not the key of a {section} on the platform"
        report.refuse("stored-key", at(item), message, "Copy it from the platform (a UUID).")
    else:
        message = f"the {section} of this key has to be on the platform, and all else is ignored"
        report.advise("stored-key", at(item), message, "Look there.")


def _check_value(item: Item, key: Key, report: Findings) -> None:
    if key.ignored or (key.default_if_empty and not item.value):
        return
    check = _VALUE_CHECKS.get(key.kind)
    if check is None:
        return
    try:
        check(item, key, report)
    except Refused as refused:
        remedy = _REMEDIES[key.kind]
        if key.kind == "text" and refused.rule == "too-long":
            remedy = f"Shorten it to {key.longest} characters."
        elif refused.rule == "range":
            remedy = f"Write {key.least} to {key.most}."
        elif refused.rule == "choice":
            remedy = _choice(str(item.value), key.choices)
        shown = "''" if isinstance(item.value, str) and not item.value.strip() else ""
        report.refuse(refused.rule, at(item, shown), str(refused), remedy)


def _choice(value: str, choices: tuple[str, ...]) -> str:
    lowered = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(value.lower(), lowered, n=1, cutoff=0.5)
    hint = f"Did you mean `{lowered[close[0]]}`? " if close else ""
    return f"{hint}Use one of {', '.join(choices)}."


def _check_text(item: Item, key: Key, report: Findings) -> None:
    if key.choices:
        fields.word(item.value, key.choices, null=key.null, blank=key.blank)
        return
    stored = fields.text(item.value, longest=key.longest, null=key.null, blank=key.blank)
    _compare(item, stored, "a text", key, report)


def _check_whole(item: Item, key: Key, report: Findings) -> None:
    stored = fields.whole(item.value, least=key.least, most=key.most, null=key.null)
    _compare(item, stored, "a whole number", key, report)


def _check_flag(item: Item, key: Key, report: Findings) -> None:
    _compare(item, fields.flag(item.value), "true or false", key, report)


def _compare(item: Item, stored: object, what: str, key: Key, report: Findings) -> None:
    if stored is not None and type(stored) is not type(item.value):
        message = f"the platform takes this for {what}: {stored!r}"
        report.advise("type", at(item), message, _REMEDIES[key.kind])


def _check_path(item: Item, key: Key, report: Findings) -> None:
    if not isinstance(item.value, str):
        raise Refused("this must be a path", "type")


def _check_email(item: Item, key: Key, report: Findings) -> None:
    fields.email(item.value, longest=key.longest or 0)


def _check_list(item: Item, key: Key, report: Findings) -> None:
    """Check each entry. Where the platform only goes through them, an empty text is empty, too."""
    may_be_empty = key.section in ("page", "task")
    if may_be_empty and item.value in ("", {}, []):
        report.fault("empty", at(item), "this list is empty", f"Add a {key.section}.")
    elif not isinstance(item.value, list):
        remedy = f"Start each {key.section} with `- `."
        report.refuse("type", at(item), "this must be a list", remedy)
    elif not item.value:
        report.refuse("empty", at(item), "this list is empty", f"Add a {key.section}.")
    else:
        for child in item.value:
            check_section(child, key.section, report)


def _check_time(item: Item, key: Key, report: Findings) -> None:
    read = fields.time_of(item.value)
    if read is None:
        raise Refused("this must be a time", "empty")
    if isinstance(item.value, datetime):
        if item.value.time() != time() or item.value.tzinfo is not None:
            message = "an unquoted time loses its time of day and its offset on the platform"
            report.advise("time-unquoted", at(item), message, f"{_TIME_EXAMPLE}.")
    elif isinstance(item.value, date):
        return
    elif _OFFSET.search(item.value.strip()):
        message = "the platform drops the offset and takes the rest as UTC"
        remedy = f"Convert it to UTC and leave the offset out. {_TIME_EXAMPLE}."
        report.advise("time-zone", at(item), message, remedy)
    elif not _TIME.fullmatch(item.value.strip()):
        message = f"this can be read in several ways; the platform reads {read:%Y-%m-%d %H:%M:%S}"
        report.advise("time-ambiguous", at(item), message, f"{_TIME_EXAMPLE}.")


_VALUE_CHECKS: Mapping[str, Callable[[Item, Key, Findings], None]] = {
    "text": _check_text,
    "path": _check_path,
    "email": _check_email,
    "whole": _check_whole,
    "flag": _check_flag,
    "list": _check_list,
    "time": _check_time,
}


def at(item: Item, value: str = "") -> Location:
    """Return the location of a value in ``competition.yaml``."""
    location = Location.of(COMPETITION_FILE, item)
    return Location(location.file, location.line, location.key, value or location.value)


def child_key(item: Item, name: str) -> str:
    """Return the full name of a key in a mapping."""
    return f"{item.key}.{name}" if item.key else name


def time_of(item: Item | None) -> datetime | None:
    """Return the time that the platform reads, or None if there is none."""
    try:
        return None if item is None else fields.time_of(item.value)
    except Refused:
        return None


def is_key(value: Any) -> bool:
    """Return whether this can be the key of something on the platform."""
    try:
        uuid.UUID(value)
    except (ValueError, AttributeError, TypeError):
        return False
    return True


def iterated(item: Item) -> list[Item] | None:
    """Return what the platform gets when it goes through a value; None if it can not.

    A text gives its characters, a mapping its keys.
    """
    if isinstance(item.value, list):
        return item.value
    if isinstance(item.value, (str, dict)):
        return [Item(part, item.line, item.key) for part in item.value]
    return None


def _needs(section: str) -> str:
    required = [name for name, key in SECTIONS[section].items() if key.required]
    return f"Write {', '.join(f'`{name}:`' for name in required)}."
