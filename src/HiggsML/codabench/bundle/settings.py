"""What a competition's runs are: ``settings`` in ``competition.yaml``, and what follows from them.

The platform knows no such key. The builder makes of it the ingestion's command, the
``settings.json`` that scoring holds results to, and the numbers in the pages.

Examples
--------
>>> document = {"tasks": [{"ingestion_program": "i/"}], "phases": [{"tasks": [0]}]}
>>> plan = run_plan(document | {"settings": {"num_of_sets": 3, "systematics": ["tes"]}})
>>> plan.of_directory["i"].words()
['--systematics-tes', '--num-of-sets', '3', '--deadline', '540']
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from HiggsML.codabench.contract import MAX_EXECUTION_TIME
from HiggsML.errors import SettingsError
from HiggsML.ingestion.arguments import words
from HiggsML.ingestion.options import BUDGET_OPTIONS, OPTIONS, IngestionOptions, Option
from HiggsML.isolation.budget.budgets import Budgets, parse_amount
from HiggsML.schema import NUISANCES

__all__ = [
    "PAGE_MARK",
    "SETTINGS_KEY",
    "RunPlan",
    "RunSettings",
    "read_settings",
    "run_plan",
    "without_settings",
]

SETTINGS_KEY = "settings"
"""The key of ``competition.yaml`` itself, or of one of its tasks."""

_SPARE_SECONDS = 60
"""What a run's deadline leaves of the time limit, to start up and to write results."""

_KNOWN: Mapping[str, Option] = {
    option.name: option
    for option in (*OPTIONS, *BUDGET_OPTIONS)
    if option.elsewhere and option.name != "seed"  # which would make the truth public
}
_FINAL_PHASE = "final_phase"
PAGE_MARK = re.compile(r"<!--=(\w+)-->(.*?)<!--/-->")
"""Where a page shows a setting: its name, and the value for whoever reads it in the checkout."""


@dataclass(frozen=True)
class RunSettings:
    """What the runs of a task are.

    Attributes
    ----------
    options : IngestionOptions
        Those of the ingestion; its paths mean nothing.
    stated : frozenset of str
        Which of them are written, and so stand in the command even if they are the defaults.
    final_phase : bool
        Whether the report has the section of the final phase.
    """

    options: IngestionOptions
    stated: frozenset[str]
    final_phase: bool

    def words(self) -> list[str]:
        """Return the words that follow in the command of the ingestion program."""
        return [*words(self.options, stated=self.stated)]

    def reference(self) -> str:
        """Return the text of the reference data's ``settings.json``."""
        content = {
            "num_of_sets": self.options.num_of_sets,
            "num_pseudo_experiments": self.options.num_pseudo_experiments,
            _FINAL_PHASE: self.final_phase,
            "systematics": self.options.enabled,
        }
        return json.dumps(content, indent=2) + "\n"

    def fill(self, page: str) -> str:
        """Return a page with values for marks such as ``<!--=deadline-->540<!--/-->``.

        The name is one of a setting, or ``predictions``; a mark of another stays as it is.
        """
        options = self.options
        values = {name: getattr(options, name) for name in _KNOWN if hasattr(options, name)}
        values["predictions"] = options.num_of_sets * options.num_pseudo_experiments

        def value(mark: re.Match[str]) -> str:
            found = values.get(mark[1], mark[0])
            return f"{found:,.10g}" if isinstance(found, (int, float)) else str(found)

        return PAGE_MARK.sub(value, page)


@dataclass(frozen=True)
class RunPlan:
    """The settings of all tasks.

    Attributes
    ----------
    of_directory : mapping of str to RunSettings
        By the path of a program or of reference data, without the slash at its end.
    of_pages : RunSettings or None
        Those that the pages speak of: what holds for all tasks; None if there are none.
    """

    of_directory: Mapping[str, RunSettings]
    of_pages: RunSettings | None


def run_plan(document: Mapping[str, Any]) -> RunPlan:
    """Return the settings of all tasks of a competition that says them.

    Raises
    ------
    SettingsError
        If a setting is wrong, or if tasks whose settings differ share a directory.
    """
    common = document.get(SETTINGS_KEY)
    plan: dict[str, RunSettings] = {}
    for task in _mappings(document.get("tasks")):
        own = task.get(SETTINGS_KEY)
        if common is None and own is None:
            continue
        settings = read_settings(_merged(common, own), _time_limit(document, own))
        for role in ("ingestion_program", "reference_data"):
            if not isinstance(task.get(role), str):
                continue
            path = task[role].rstrip("/")
            if plan.setdefault(path, settings) != settings:
                raise SettingsError(
                    f"tasks with different settings share {role}: {task[role]}: name another "
                    f"directory in one of them, such as {path}_{task.get('index')}/, which is made"
                )
    of_pages = None if common is None else read_settings(common, _time_limit(document, None))
    return RunPlan(plan, of_pages)


def read_settings(content: Any, time_limit: float = MAX_EXECUTION_TIME) -> RunSettings:
    """Return settings as they are written in ``competition.yaml``.

    Parameters
    ----------
    content : object
        A mapping of names of :class:`IngestionOptions`, of budgets, and ``final_phase``.
    time_limit : float
        Seconds that the platform grants a run; the default deadline leaves a minute of it.

    Raises
    ------
    SettingsError
        If a name is unknown, or a value is impossible.
    """
    if not isinstance(content, Mapping):
        raise SettingsError(f"{SETTINGS_KEY} holds names and values, got {content!r}")
    given = {"deadline": max(time_limit - _SPARE_SECONDS, time_limit / 2)} | dict(content)
    final_phase = given.pop(_FINAL_PHASE, False)
    if not isinstance(final_phase, bool):
        raise SettingsError(f"{_FINAL_PHASE} must be true or false, got {final_phase!r}")
    unknown = [str(name) for name in given if name not in _KNOWN]
    if unknown:
        raise SettingsError(
            f"there is no setting {unknown[0]}: known are {', '.join([*_KNOWN, _FINAL_PHASE])}"
        )
    values = {name: _value(_KNOWN[name], value) for name, value in given.items()}
    budgets = {name: values.pop(name) for name in [*values] if _KNOWN[name].kind is Budgets}
    here = Path()
    options = IngestionOptions(
        here, here, here, **({"systematics": dict.fromkeys(NUISANCES, True)} | values)
    )
    options = IngestionOptions(**vars(options) | {"budgets": Budgets.from_flags(budgets)})
    return RunSettings(options, frozenset(values), final_phase)


def without_settings(text: str) -> str:
    """Return ``competition.yaml`` as it is uploaded: settings are comments; every line stays."""
    lines, inside = [], None
    for line in text.splitlines(keepends=True):
        indent = len(line) - len(line.lstrip(" "))
        if inside is not None and line.strip() and indent <= inside:
            inside = None
        if re.match(rf" *{SETTINGS_KEY} *:", line):
            inside = indent
        written = inside is not None and line.strip() and not line.lstrip().startswith("#")
        lines.append(f"{line[:indent]}# {line[indent:]}" if written else line)
    return "".join(lines)


def _value(option: Option, value: Any) -> Any:
    """Return a value as :class:`IngestionOptions` takes it."""
    if option.kind is dict:
        return _systematics(value)
    if option.kind is Budgets:
        return parse_amount(str(value))
    allowed: Any = (int, float) if option.kind is float else option.kind
    if not isinstance(value, allowed) or (isinstance(value, bool) and option.kind is not bool):
        kind = option.kind.__name__
        raise SettingsError(f"{option.name} must be of type {kind}, got {value!r}")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _systematics(value: Any) -> dict[str, bool]:
    if value in ("all", "none"):
        return dict.fromkeys(NUISANCES, value == "all")
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, Collection) or not all(name in NUISANCES for name in names):
        known = ", ".join(NUISANCES)
        raise SettingsError(f"systematics must be all, none or some of {known}, got {value!r}")
    return {name: name in names for name in NUISANCES}


def _merged(common: Any, own: Any) -> Any:
    if isinstance(common, Mapping) and isinstance(own, Mapping):
        return {**common, **own}
    return common if own is None else own


def _time_limit(document: Mapping[str, Any], own: Any) -> float:
    """Return the shortest time limit of the phases that run tasks with such own settings."""
    tasks = _mappings(document.get("tasks"))
    indices = [task.get("index") for task in tasks if task.get(SETTINGS_KEY) == own]
    limits = [
        phase.get("execution_time_limit") or MAX_EXECUTION_TIME
        for phase in _mappings(document.get("phases"))
        if isinstance(phase.get("tasks"), list) and any(one in indices for one in phase["tasks"])
    ]
    return min(
        (limit for limit in limits if isinstance(limit, (int, float))), default=MAX_EXECUTION_TIME
    )


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
