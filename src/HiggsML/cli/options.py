"""Options and arguments that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import click

from HiggsML.ingestion.options import BUDGET_OPTIONS, OPTIONS, Option
from HiggsML.isolation.budget.budgets import Budgets, parse_amount
from HiggsML.schema import NUISANCES

__all__ = [
    "ANY_PATH",
    "DIRECTORY",
    "EXISTING",
    "FILE",
    "SUBMISSION",
    "image_option",
    "input_option",
    "input_option_looked_at_later",
    "needed_dataset",
    "nuisance_names",
    "run_options",
]


class _Existing(click.Path):
    """A directory; where the model.py in it is named instead, says so."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        path = Path(value)
        if path.name == "model.py" and path.is_file():
            self.fail(f"{value} is a file of a submission: name its folder, {path.parent}")
        if not path.exists():
            self.fail(f"{str(value)!r} does not exist{_near(path)}", param, ctx)
        return super().convert(value, param, ctx)


def _near(path: Path) -> str:
    """Return a hint: what has nearly that name in its folder, else the folders with a model.py."""
    folder = path.parent
    if not folder.is_dir():
        return f", nor does its folder {str(folder)!r}; the current one is {Path.cwd()}"
    names = [one.name for one in folder.iterdir() if not one.name.startswith(".")]
    if close := get_close_matches(path.name, names, n=1):
        return f"; did you mean {str(folder / close[0])!r}?"
    models = sorted(name for name in names if (folder / name / "model.py").is_file())
    where = f" in {Path.cwd()}" if folder == Path() else ""
    return f"{where}; submissions here: {', '.join(models[:5])}" if models else where


EXISTING = _Existing(exists=True, file_okay=False, path_type=Path)
"""A directory that is there."""


class _Submission(_Existing):
    """A submission: its folder, or a zip file; another file is refused before anything is read."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        path = super().convert(value, param, ctx)
        if path.is_file() and path.suffix != ".zip" and not is_zipfile(path):
            self.fail(
                f"{value} is a file: a submission is a folder with model.py, or a zip of it",
                param,
                ctx,
            )
        return path


SUBMISSION = _Submission(exists=True, path_type=Path)
"""A submission: its folder, or a zip file."""

DIRECTORY = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
ANY_PATH = click.Path(path_type=Path)


class _Dataset(click.Path):
    """The directory of a dataset; where there is none, says how to make one."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if not Path(value).exists():
            self.fail(
                f"there is no dataset at {str(value)!r}. Make one in a minute: "
                f"higgsml generate --scenario mini --events 480000 --output {value}",
                param,
                ctx,
            )
        return super().convert(value, param, ctx)


_DATASET = _Dataset(exists=True, file_okay=False, path_type=Path)


def _input_option(kind: click.Path) -> Callable[..., Any]:
    return click.option(
        "--input",
        "input_dir",
        type=kind,
        default=Path("input_data"),
        show_default=True,
        help="Dataset in the official layout.",
    )


input_option = _input_option(_DATASET)
input_option_looked_at_later = _input_option(ANY_PATH)
"""For a command that needs no dataset in some of its ways: ``needed_dataset`` looks at it."""
image_option = click.option(
    "--image", default=None, help="Image for --docker; the competition's by default."
)


def needed_dataset(input_dir: Path) -> Path:
    """Return a dataset's directory; where there is none, say how to make one.

    Raises
    ------
    click.BadParameter
        If it does not exist.
    """
    return Path(_DATASET.convert(input_dir, None, click.get_current_context(silent=True)))


def nuisance_names(value: str, what: str) -> list[str]:
    """Read ``all``, ``none`` or a comma-separated list of nuisance parameters.

    Raises
    ------
    click.BadParameter
        If there is another name; ``what`` is the word for them in the message.
    """
    if value in ("all", "none"):
        return list(NUISANCES) if value == "all" else []
    names = [name.strip() for name in value.split(",")]
    if unknown := sorted(set(names) - set(NUISANCES)):
        known = ", ".join(NUISANCES)
        raise click.BadParameter(f"unknown {what} {', '.join(unknown)}; known are {known}")
    return names


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a run; budgets go, as one value, into the parameter ``budgets``."""

    @functools.wraps(command)
    def with_budgets(**values: Any) -> Any:
        budgets = {option.name: values.pop(option.name) for option in BUDGET_OPTIONS}
        return command(budgets=Budgets.from_flags(budgets), **values)

    for option in reversed((*OPTIONS, *BUDGET_OPTIONS)):
        with_budgets = _click_option(option)(with_budgets)
    return with_budgets


def _click_option(option: Option) -> Callable[..., Any]:
    kind: Any = option.kind
    if option.choices:
        kind = click.Choice(option.choices)
    elif option.kind is Budgets:
        kind = parse_amount
    elif option.kind is dict:
        kind = None
    elif option.least is not None:
        kind = click.IntRange(option.least)
    elif option.above is not None:
        kind = click.FloatRange(option.above, min_open=True)
    return click.option(
        option.flag,
        option.name,
        type=None if option.kind is bool else kind,
        is_flag=option.kind is bool,
        default=option.default,
        show_default=option.default is not None and option.kind is not bool,
        metavar=option.metavar,
        callback=_systematics if option.kind is dict else None,
        help=option.help,
    )


def _systematics(context: click.Context, parameter: click.Parameter, value: str) -> dict[str, bool]:
    """Turn ``all``, ``none`` or a comma-separated list of nuisance parameters into a dict."""
    wanted = nuisance_names(value, "systematics")
    return {name: name in wanted for name in NUISANCES}
