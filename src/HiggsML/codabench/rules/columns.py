"""Rules about the columns of a leaderboard: unique, computed from others, written by scoring."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from HiggsML.codabench.contract import SORTING_OF_SCORES
from HiggsML.codabench.rules import fields
from HiggsML.codabench.rules.fields import Refused
from HiggsML.codabench.rules.findings import Findings
from HiggsML.codabench.rules.keys import at, iterated
from HiggsML.codabench.rules.located_yaml import Item

__all__ = ["check_columns"]


def check_columns(board: Item, report: Findings, score_keys: Collection[str]) -> None:
    """Check all columns of a leaderboard."""
    listed = board.value.get("columns")
    if listed is None or not isinstance(listed.value, list):
        return  # reported by its type
    columns = [column for column in listed.value if isinstance(column.value, dict)]
    _unique(columns, "index", "duplicate-index", report)
    _unique(columns, "key", "duplicate-column-key", report)
    indices = {_stored(column, "index") for column in columns} - {None}
    for column in columns:
        computation, operands = _computation(column), column.value.get("computation_indexes")
        if operands is not None and operands.value is not None:
            _check_operands(column, operands, indices, report)
        if computation is not None and operands is None:
            message = "this needs `computation_indexes` beside it"
            remedy = "Add `computation_indexes:`, or remove this key."
            report.refuse("computation", at(computation, "computation"), message, remedy)
        elif computation is not None and not (iterated(operands) if operands else None):
            message = "no column is named that this computes from"
            report.fault("computation", at(computation), message, "Name the columns.")
        elif computation is None and operands is None:
            _check_score_key(column.value.get("key"), report, score_keys)
            _check_sorting(column, report)


def _computation(column: Item) -> Item | None:
    item = column.value.get("computation")
    return None if item is None or item.value is None else item


def _check_operands(
    column: Item, operands: Item, indices: set[int | str | None], report: Findings
) -> None:
    parts = iterated(operands)
    if parts is None or operands.value == "":
        report.refuse("type", at(operands), "this must be a list of indices", "Write `[0, 1]`.")
        return
    if parts and "computation" not in column.value:
        message = "this needs `computation` beside it"
        remedy = "Add `computation:`, or remove this key."
        report.refuse("computation", at(operands, "computation_indexes"), message, remedy)
    # The platform joins them with commas, and splits at commas again.
    own = _stored(column, "index")
    for part in parts:
        for index in str(part.plain()).split(","):
            try:
                is_other = int(index) in indices and index != str(own)
            except ValueError:
                is_other = False
            if not is_other:
                message = "this is not the index of another column"
                remedy = "Name the columns that are combined."
                report.refuse("computation-index", at(part), message, remedy)


def _unique(columns: list[Item], name: str, rule: str, report: Findings) -> None:
    seen: dict[int | str, int] = {}
    for column in columns:
        value = _stored(column, name)
        if value is None:
            continue
        child = column.value[name]
        if value in seen:
            message = f"the same {name} as in line {seen[value]}"
            report.refuse(rule, at(child), message, f"Give each its own {name}.")
        seen.setdefault(value, child.line)


def _stored(column: Item, name: str) -> int | str | None:
    item = column.value.get(name)
    try:
        if item is None:
            return None
        return fields.whole(item.value) if name == "index" else fields.text(item.value)
    except Refused:
        return None


def _check_score_key(key: Item | None, report: Findings, score_keys: Collection[str]) -> None:
    if key is None or not isinstance(key.value, str) or key.value in score_keys:
        return
    close = difflib.get_close_matches(key.value.lower(), score_keys, n=1, cutoff=0.6)
    hint = f"Did you mean `{close[0]}`? " if close else ""
    report.need(
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
        location = sorting if sorting is not None else column.value["key"]
        report.need(
            "sorting", at(location), "the worst would come first", f"Write `sorting: {best}`."
        )
