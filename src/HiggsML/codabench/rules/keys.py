"""Rules about single keys of ``competition.yaml``: known, present, of the right type and size."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from HiggsML.codabench.contract import SECTIONS, Key
from HiggsML.codabench.rules.findings import Findings, Place
from HiggsML.codabench.rules.located_yaml import Item

__all__ = ["COMPETITION_FILE", "at", "check_section", "child_key", "parse_time"]

COMPETITION_FILE = "competition.yaml"

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2})?)?")
_TIME_EXAMPLE = 'Write a quoted UTC time such as "2026-12-01 00:00:00"'
_OFFSET = re.compile(r"\d{2}:\d{2}(:\d{2})?(\.\d+)?\s*(Z|UTC|[+-]\d{2}:?\d{0,2})$")


def check_section(item: Item, section: str, report: Findings) -> None:
    """Check a mapping, and all below it, against the keys of its section."""
    keys = SECTIONS[section]
    if not isinstance(item.value, dict):
        report.error(
            "type", at(item), f"a {section} is a mapping of keys to values", _needs(section)
        )
        return
    for name, child in item.value.items():
        if name not in keys:
            _unknown_key(name, child, section, report)
        else:
            _check_value(child, keys[name], report)
    for name, key in keys.items():
        if key.required and name not in item.value:
            place = Place(COMPETITION_FILE, item.line, child_key(item, name))
            extra = _MISSING.get((section, name), f"Add `{name}:` to this {section}.")
            report.error("missing-key", place, "this key is required", extra)


_MISSING = {
    ("competition", "version"): "Add `version: 2`; without it the platform reads another format."
}


def _unknown_key(name: str, child: Item, section: str, report: Findings) -> None:
    close = difflib.get_close_matches(name.lower(), SECTIONS[section], n=1, cutoff=0.7)
    elsewhere = [other for other, keys in SECTIONS.items() if name in keys]
    if elsewhere:
        remedy = f"This key belongs to a {elsewhere[0]}: move it there."
    elif close:
        remedy = f"Did you mean `{close[0]}`?"
    else:
        remedy = f"Remove it; a {section} has {', '.join(SECTIONS[section])}."
    place = Place(COMPETITION_FILE, child.line, child.key, name)
    report.error("unknown-key", place, "the platform ignores this key without a word", remedy)


def _check_value(item: Item, key: Key, report: Findings) -> None:
    _VALUE_CHECKS[key.kind](item, key, report)


def _check_text(item: Item, key: Key, report: Findings) -> None:
    if not isinstance(item.value, str):
        report.error("type", at(item), "this must be a text", "Write a text, in quotes.")
    elif not item.value.strip():
        if key.required or key.choices:
            report.error("empty", at(item, "''"), "this must not be empty", "Write a text.")
    elif key.longest is not None and len(item.value) > key.longest:
        report.error(
            "too-long",
            at(item),
            f"{len(item.value)} characters are more than the {key.longest} allowed",
            f"Shorten it to {key.longest} characters.",
        )
    elif key.choices and item.value not in key.choices:
        lowered = {choice.lower(): choice for choice in key.choices}
        close = difflib.get_close_matches(item.value.lower(), lowered, n=1, cutoff=0.5)
        listed = ", ".join(key.choices)
        remedy = f"Did you mean `{lowered[close[0]]}`? " if close else ""
        report.error("choice", at(item), "this value is not known", f"{remedy}Use one of {listed}.")


def _check_whole(item: Item, key: Key, report: Findings) -> None:
    if not isinstance(item.value, int) or isinstance(item.value, bool):
        remedy = "Write a whole number without quotes."
        if item.key == "version":
            remedy = "Write `version: 2`."
        report.error("type", at(item), "this must be a whole number", remedy)
    elif (key.least is not None and item.value < key.least) or (
        key.most is not None and item.value > key.most
    ):
        span = f"{key.least}" if key.least == key.most else f"{key.least} to {key.most}"
        report.error("range", at(item), f"this must be {span}", f"Write {span}.")


def _check_flag(item: Item, key: Key, report: Findings) -> None:
    if not isinstance(item.value, bool):
        report.error(
            "type", at(item), "this must be true or false", "Write true or false without quotes."
        )


def _check_mapping(item: Item, key: Key, report: Findings) -> None:
    if not isinstance(item.value, dict):
        report.error("type", at(item), "this must hold keys and values", "Write a mapping.")


def _check_list(item: Item, key: Key, report: Findings) -> None:
    if not isinstance(item.value, list):
        report.error(
            "type", at(item), "this must be a list", f"Start each {key.section} with `- `."
        )
    elif not item.value:
        report.error("empty", at(item), "this list is empty", f"Add a {key.section}.")
    else:
        for child in item.value:
            check_section(child, key.section, report)


def _check_wholes(item: Item, key: Key, report: Findings) -> None:
    if not isinstance(item.value, list):
        report.error("type", at(item), "this must be a list of indices", "Write `[0]`.")
    elif not item.value:
        report.error("empty", at(item), "this list is empty", "Name at least one index.")
    else:
        seen: set[int] = set()
        for child in item.value:
            _check_whole(child, Key("whole", least=0), report)
            if isinstance(child.value, int) and child.value in seen:
                report.error("duplicate-index", at(child), "listed twice", "Remove one.")
            if isinstance(child.value, int):
                seen.add(child.value)


def _check_time(item: Item, key: Key, report: Findings) -> None:
    if not isinstance(item.value, str):
        if isinstance(item.value, datetime) or hasattr(item.value, "isoformat"):
            message = "an unquoted time loses its time of day on the platform"
            report.error("time-unquoted", at(item), message, f"{_TIME_EXAMPLE}.")
        else:
            report.error("type", at(item), "this must be a time", f"{_TIME_EXAMPLE}.")
    elif _OFFSET.search(item.value.strip()):
        report.error(
            "time-zone",
            at(item),
            "the platform drops the offset and takes the rest as UTC",
            f"Convert it to UTC and leave the offset out. {_TIME_EXAMPLE}.",
        )
    elif parse_time(item.value) is None:
        report.error("time", at(item), "this is not a time", f"{_TIME_EXAMPLE}.")


_VALUE_CHECKS: Mapping[str, Callable[[Item, Key, Findings], None]] = {
    "text": _check_text,
    "path": _check_text,
    "whole": _check_whole,
    "flag": _check_flag,
    "mapping": _check_mapping,
    "list": _check_list,
    "wholes": _check_wholes,
    "time": _check_time,
}


def at(item: Item, value: str = "") -> Place:
    """Return the place of a value in ``competition.yaml``."""
    place = Place.of(COMPETITION_FILE, item)
    return Place(place.file, place.line, place.key, value or place.value)


def child_key(item: Item, name: str) -> str:
    """Return the full name of a key in a mapping."""
    return f"{item.key}.{name}" if item.key else name


def parse_time(value: Any) -> datetime | None:
    """Return a time that the platform reads as it is written, or None."""
    if not isinstance(value, str) or not _TIME.fullmatch(value.strip()):
        return None
    try:
        return datetime.fromisoformat(value.strip()).replace(tzinfo=UTC)
    except ValueError:
        return None


def _needs(section: str) -> str:
    required = [name for name, key in SECTIONS[section].items() if key.required]
    return f"Write {', '.join(f'`{name}:`' for name in required)}."
