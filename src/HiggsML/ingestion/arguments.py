"""The command line of the ingestion program, made from the table of options.

Examples
--------
>>> known_flags()["--num-of-sets"], known_flags()["--codabench"]
(True, False)
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from typing import Any

from HiggsML.errors import SettingsError
from HiggsML.ingestion.options import BUDGET_OPTIONS, OPTIONS, IngestionOptions
from HiggsML.isolation.budget.budgets import Budgets, parse_amount
from HiggsML.schema import NUISANCES

__all__ = ["PROGRAM_FLAGS", "add_options", "known_flags", "read_options", "words"]

PROGRAM_FLAGS: Mapping[str, str] = {
    "--codabench": "use the platform's directories instead",
    "--public-dataset": "download the official public dataset (6.5 GB) and use it as input",
    "--parallel": "as many workers as there are processors, as is the default",
}
"""Flags that only the program has."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run, under the names of the reference implementation."""
    for flag, text in PROGRAM_FLAGS.items():
        parser.add_argument(flag, action="store_true", help=text)
    for name, nuisance in NUISANCES.items():
        parser.add_argument(
            _flag_of(name), action="store_true", help=f"vary the {nuisance.description}"
        )
    for option in (*OPTIONS, *BUDGET_OPTIONS):
        if option.kind is dict:
            continue
        default = "" if option.default in (None, False) else f" (default: {option.default})"
        keywords: dict[str, Any] = {
            "dest": option.name,
            "default": option.default,
            "help": (option.help.rstrip(".") + default).replace("%", "%%"),
        }
        if option.kind is bool:
            keywords["action"] = "store_true"
        else:
            keywords |= {
                "type": parse_amount if option.kind is Budgets else option.kind,
                "metavar": option.metavar,
                "choices": option.choices or None,
            }
        parser.add_argument(option.program_flag, **keywords)


def read_options(flags: argparse.Namespace) -> dict[str, Any]:
    """Return the parsed options by their names in :class:`IngestionOptions`."""
    given = {
        option.name: getattr(flags, option.name) for option in OPTIONS if option.kind is not dict
    }
    if flags.parallel and given["workers"]:
        raise SettingsError("--parallel and --workers exclude each other: give one")
    budgets = {option.name: getattr(flags, option.name) for option in BUDGET_OPTIONS}
    return {
        **given,
        "systematics": {name: getattr(flags, f"systematics_{name}") for name in NUISANCES},
        "budgets": Budgets.from_flags(budgets),
    }


def words(options: IngestionOptions, *, stated: Collection[str] = ()) -> tuple[str, ...]:
    """Return the words of a command line for the program that ask for the same run elsewhere.

    Options that have their defaults are left out, unless they are among those ``stated``.
    """
    listed: list[str] = [_flag_of(name) for name in NUISANCES if options.enabled[name]]
    for option in OPTIONS:
        if option.kind is dict:
            continue
        value = getattr(options, option.name)
        if option.elsewhere and (value != option.default or option.name in stated):
            listed += (
                [option.program_flag] if option.kind is bool else [option.program_flag, str(value)]
            )
    return (*listed, *options.budgets.as_flags())


def known_flags() -> dict[str, bool]:
    """Return the program's flags, and whether a value follows each."""
    return {
        **dict.fromkeys(("--input", "-i", "--output", "-o", "--submission", "-s"), True),
        **dict.fromkeys(PROGRAM_FLAGS, False),
        **{_flag_of(name): False for name in NUISANCES},
        **{
            option.program_flag: option.kind is not bool
            for option in (*OPTIONS, *BUDGET_OPTIONS)
            if option.kind is not dict
        },
    }


def _flag_of(nuisance: str) -> str:
    return f"--systematics-{nuisance.replace('_', '-')}"
