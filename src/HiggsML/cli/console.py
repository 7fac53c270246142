"""What commands print, beside their results: errors, progress, logs and tables."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from HiggsML.errors import MARK, HiggsMLError, printable

__all__ = [
    "fail_cleanly",
    "log_to_stderr",
    "output_console",
    "print_log",
    "progress_bar",
    "show_scores",
    "stderr",
]

logger = logging.getLogger(__name__)


class _PlainConsole(Console):
    """A console to which texts, such as names of files, can not send control characters."""

    def render_str(self, text: str, **keywords: Any) -> Text:
        return super().render_str(printable(text), **keywords)


class _PlainFormatter(logging.Formatter):
    """The same for the log."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


stderr = _PlainConsole(stderr=True)
"""Standard error: all that is not a result."""


def log_to_stderr(level: int) -> None:
    """Have messages of at least this level printed."""
    handler = logging.StreamHandler()
    handler.setFormatter(_PlainFormatter("%(levelname)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


@contextmanager
def fail_cleanly() -> Iterator[None]:
    """Print a named error and exit with code 1; clean up when asked to end, as by Ctrl-C."""
    _end_cleanly()
    try:
        yield
    except HiggsMLError as error:
        # Not wrapped: file names and the participant's own lines stay in one piece in a log.
        # Only our own sentence begins a line without a mark: a name may hold a line's end.
        first, *rest = str(error).split("\n")
        lines = [line if not line or line.startswith(MARK) else f"| {line}" for line in rest]
        stderr.print(
            "\n".join([f"Error: {first}", *lines]),
            style="bold red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        sys.exit(1)


def _end_cleanly() -> None:
    """Let SIGTERM and SIGHUP unwind what is running: processes and temporary files are removed."""
    if threading.current_thread() is not threading.main_thread():
        return

    def end(number: int, frame: object) -> None:
        sys.exit(128 + number)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # What is ignored stays so: nohup asks for that.
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)


class _HowFar(MofNCompleteColumn):
    """Steps done of how many; nothing where that says nothing."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.total is not None and task.total > 1 else Text("")


def _finish(progress: Progress, bar: TaskID) -> None:
    """Fill the bar of a stage of unknown length when the next one begins."""
    task = progress.tasks[progress.task_ids.index(bar)]
    if task.total is None:
        progress.update(bar, total=1, completed=1)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show the progress of named stages: bars on a terminal, a few lines of the log elsewhere.

    What is given back takes a stage, and how many of how many steps are done, None if unknown.
    """
    names = {
        "fit": "Fitting the model",
        "predict": "Pseudo-experiments",
        "repeat": "Some of them again",
        "draw": "Figures",
        "read": "Reading the events",
        "generate": "Events",
        "count": "Histograms",
        "rank": "Ranking",
    }
    columns = (
        TextColumn("{task.description:20}"),
        BarColumn(),
        _HowFar(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=stderr, disable=not stderr.is_terminal) as progress:
        bars: dict[str, Any] = {}

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in bars:
                for earlier in bars.values():
                    _finish(progress, earlier)
                bars[stage] = progress.add_task(names.get(stage, stage), total=None)
            # A single step has no "how far": its bar moves to and fro until it is done.
            single = total == 1 and done < 1
            progress.update(bars[stage], completed=done, total=None if single else total)
            if total is None:
                return
            # Whoever reads the log of a container shows progress from these lines.
            if not stderr.is_terminal and (done == total or done % max(1, total // 20) == 0):
                logger.info("%s: %d of %d", stage, done, total)

        yield report


def show_scores(
    scores: Mapping[str, float],
    report: Path,
    *,
    errors: Mapping[str, float] | None = None,
    of_limit: str | None = None,
) -> None:
    """Print the leaderboard row, and where the report is.

    Parameters
    ----------
    scores : mapping of str to float
        What ``scores.json`` holds.
    report : Path
        The page.
    errors : mapping of str to float, optional
        Uncertainties of some of them.
    of_limit : str, optional
        The width in units of the information limit.
    """
    remarks = {
        "rmse": "the challenge's own; see the report",
        "mae": "the challenge's own; see the report",
        "coverage": "68.27 % is wanted",
        "interval": "in \N{GREEK SMALL LETTER MU}"
        if of_limit is None
        else f"{of_limit} of the information limit",
        "ingestion_duration": "minutes",
        "isolation": "1 complete, 0.5 essential, 0 off",
        "repeatable": "1 yes, 0.5 unknown, 0 no",
    }
    table = Table(title="Leaderboard row", title_justify="left", box=SIMPLE_HEAD, show_header=False)
    table.add_column("quantity")
    table.add_column("value", justify="right")
    table.add_column("what")
    first = ("quantiles_score", "coverage", "interval")
    for name in (*first, *(name for name in scores if name not in first)):
        value = f"{scores[name]:.4f}"
        if errors and name in errors:
            value += f" ± {errors[name]:.4f}"
        elif errors:
            value += " " * 9  # the values stand below each other
        table.add_row(name.replace("_", " "), value, remarks.get(name, ""))
    console = output_console()
    console.print(table)
    console.print(f"Report: {report}", soft_wrap=True, highlight=False)


def print_log(stage: str, line: str) -> None:
    """Print a line that a container or a program wrote."""
    stderr.print(f"[{stage}] {line}", style="dim", markup=False, highlight=False, soft_wrap=True)


def output_console() -> Console:
    """Return a console for tables: as wide as the terminal, or as a page where there is none.

    It takes text in brackets for what it is: a unit, or part of a directory's name.
    """
    return _PlainConsole(width=None if sys.stdout.isatty() else 110, markup=False)
