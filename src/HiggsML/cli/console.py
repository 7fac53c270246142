"""What commands print, beside their results: errors, logs and tables."""

from __future__ import annotations

import logging
import signal
import sys
import textwrap
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from HiggsML.errors import MARK, HiggsMLError, printable

__all__ = [
    "fail_cleanly",
    "log_to_stderr",
    "output_console",
    "print_log",
    "say",
    "say_unprotected",
    "show_scores",
    "stderr",
    "table",
    "wrapped",
]


class _PlainConsole(Console):
    """A console to which texts, such as names of files, can not send control characters."""

    def render_str(self, text: str, **keywords: Any) -> Text:
        return super().render_str(printable(text), **keywords)


class _PlainFormatter(logging.Formatter):
    """The same for the log."""

    def format(self, record: logging.LogRecord) -> str:
        return wrapped(printable(super().format(record)))


stderr = _PlainConsole(stderr=True)
"""Standard error: all that is not a result."""


def wrapped(text: str) -> str:
    """Break a sentence between its words on a terminal; in a log it stays in one piece.

    Further lines are indented: none of what a name holds looks like a message of its own. A word
    that is longer than a line, such as a path, stays whole.
    """
    if not stderr.is_terminal or "\n" in text:
        return text
    return textwrap.fill(
        text,
        stderr.width,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def say(text: str, style: str | None = None) -> None:
    """Print a sentence on standard error; brackets in it are no markup."""
    stderr.print(wrapped(text), style=style, markup=False, highlight=False, soft_wrap=True)


def say_unprotected(submission: Path) -> None:
    """Tell that a submission's code is about to run in this process."""
    say(
        f"{submission} runs in this process, with all of your rights and without isolation: only "
        "for code that you trust ('higgsml run' isolates)"
    )


class _CurrentStderr(logging.StreamHandler[Any]):
    """Writes to what standard error is now: above the progress while that is shown."""

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, value: Any) -> None:
        """It is never another one."""


def log_to_stderr(level: int) -> None:
    """Have messages of at least this level printed."""
    handler = _CurrentStderr()
    handler.setFormatter(_PlainFormatter("%(levelname)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


@contextmanager
def fail_cleanly() -> Iterator[None]:
    """Print a named error and exit with code 1; clean up when asked to end, as by Ctrl-C."""
    _end_cleanly()
    try:
        yield
    except HiggsMLError as error:
        # The participant's own lines stay as they are.
        # Only our own sentence begins a line without a mark: a name may hold a line's end.
        first, *rest = str(error).split("\n")
        lines = [line if not line or line.startswith(MARK) else f"| {line}" for line in rest]
        stderr.print(
            "\n".join([wrapped(f"Error: {printable(first)}"), *lines]),
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
        else f"{of_limit} of the limit",
        "ingestion_duration": "minutes",
        "isolation": "1 complete, 0.5 essential, 0 off",
        "repeatable": "1 yes, 0.5 unknown, 0 no",
    }
    row = Table(title="Leaderboard row", title_justify="left", box=SIMPLE_HEAD, show_header=False)
    row.add_column("quantity")
    row.add_column("value", justify="right")
    row.add_column("what")
    first = ("quantiles_score", "coverage", "interval")
    for name in (*first, *(name for name in scores if name not in first)):
        value = f"{scores[name]:.4f}"
        if errors and name in errors:
            value += f" ± {errors[name]:.4f}"
        elif errors:
            value += " " * 9  # the values stand below each other
        row.add_row(name.replace("_", " "), value, remarks.get(name, ""))
    console = output_console()
    console.print(row)
    console.print(f"Report: {report}", soft_wrap=True, highlight=False)


def table(title: str, *columns: str, left: Collection[str] = ()) -> Table:
    """Return a table without rows that stays narrow: names are folded, numbers never.

    Parameters
    ----------
    title : str
        Above it.
    columns : str
        Headings. The first column, and those in ``left``, hold text; the others numbers.
    left : collection of str
        Further columns of text.

    Examples
    --------
    >>> table("Runs", "run", "width").row_count
    0
    """
    narrow = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for number, heading in enumerate(columns):
        if number == 0 or heading in left:
            narrow.add_column(heading, overflow="fold")
        else:
            narrow.add_column(heading, justify="right", no_wrap=True)
    return narrow


def print_log(stage: str, line: str) -> None:
    """Print a line that a container or a program wrote."""
    stderr.print(f"[{stage}] {line}", style="dim", markup=False, highlight=False, soft_wrap=True)


def output_console() -> Console:
    """Return a console for tables: as wide as the terminal, or as a page where there is none.

    It takes text in brackets for what it is: a unit, or part of a directory's name.
    """
    return _PlainConsole(width=None if sys.stdout.isatty() else 110, markup=False)
