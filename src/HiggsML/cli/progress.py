"""A live line on a terminal while a command works: step, how far, elapsed, how long to go."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import IO

from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from HiggsML.cli import console
from HiggsML.errors import MARK, printable

__all__ = ["Report", "progress_bar"]

logger = logging.getLogger(__name__)

Report = Callable[[str, int, int | None], None]
"""Takes a stage, and how many of how many steps of it are done; None if nobody knows."""

_NAMES = {
    "read": "Reading the events",
    "import": "Importing the model",
    "fit": "Fitting the model",
    "training": "Training events",
    "predict": "Pseudo-experiments",
    "repeat": "Some of them again",
    "score": "Scores and report",
    "draw": "Figures",
    "generate": "Events",
    "learn": "Classifiers",
    "count": "Histograms",
    "limit": "Information limit",
    "rank": "Ranking",
    "board": "Board",
    "runs": "Runs",
    "rules": "Rules of the bundle",
    "files": "Files and imports",
    "build": "Building",
    "probe": "Protections",
    "pack": "Packing",
}
_WITHIN = frozenset({"training"})  # stages during another, which goes on


class _HowFar(MofNCompleteColumn):
    """Steps done of how many; nothing where that says nothing."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.total is not None and task.total > 1 else Text("")


class _Left(TimeRemainingColumn):
    """How long to go, where that can be said."""

    def render(self, task: Task) -> Text:
        if task.finished or task.total is None or task.time_remaining is None:
            return Text("")
        return Text("left ", "progress.remaining") + super().render(task)


class _Middle(ProgressColumn):
    """A bar; where nobody knows how far it is, what the Model has printed last."""

    def __init__(self) -> None:
        super().__init__(Column(ratio=1, no_wrap=True, overflow="ellipsis"))
        self._bar = BarColumn(bar_width=None)

    def render(self, task: Task) -> object:  # type: ignore[override]
        # A bar without a step done is a full line where a terminal shows no colors.
        if task.total is None or task.total <= 1 or not task.completed:
            said: str = task.fields["said"]
            return Text(said, "dim", no_wrap=True, overflow="ellipsis")
        return self._bar.render(task)


class _Heard(io.TextIOBase):
    """An output that notices which line a submission has printed last, by its mark."""

    def __init__(self, stream: IO[str], hear: Callable[[str], None], mark: str = "") -> None:
        self._stream, self._hear, self._mark = stream, hear, mark
        # By this name rich finds the terminal below what it has put in its place.
        self.rich_proxied_file = getattr(stream, "rich_proxied_file", stream)

    def write(self, text: str) -> int:
        if text.startswith(self._mark) and (line := text.removeprefix(self._mark).strip()):
            self._hear(line)
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()


class _Bars:
    """One line for each stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def report(self, stage: str, done: int, total: int | None) -> None:
        """Show how far a stage is; the ones before it are over."""
        if stage not in self._bars:
            if stage not in _WITHIN:
                self.finish()
            self._bars[stage] = self._progress.add_task(
                _NAMES.get(stage, escape(printable(stage))), total=None, said=""
            )
        # A single step has no "how far": it is unknown until it is done.
        single = total == 1 and done < 1
        self._progress.update(self._bars[stage], completed=done, total=None if single else total)

    def hear(self, line: str) -> None:
        """Show a line beside the stage that goes on."""
        for bar in self._bars.values():
            if not self._task(bar).finished:
                self._progress.update(bar, said=printable(line))

    def finish(self) -> None:
        """End the stages whose length nobody knew."""
        for bar in self._bars.values():
            if self._task(bar).total is None:
                self._progress.update(bar, total=1, completed=1, said="")

    def _task(self, bar: TaskID) -> Task:
        return self._progress.tasks[self._progress.task_ids.index(bar)]


@contextmanager
def progress_bar(first: str | None = None, *, brief: bool = False) -> Iterator[Report]:
    """Show the progress of named stages: live on a terminal, a few lines of the log elsewhere.

    Parameters
    ----------
    first : str, optional
        A stage that begins at once, and whose length nobody knows.
    brief : bool
        Take the lines away at the end.

    Yields
    ------
    callable
        Takes a stage, and how many of how many steps of it are done, None if unknown.
    """
    columns = (
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.description:19}"),
        _Middle(),
        _HowFar(table_column=Column(no_wrap=True, min_width=9, justify="right")),
        TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
        _Left(compact=True, table_column=Column(no_wrap=True, min_width=11)),
    )
    live = console.stderr.is_terminal
    progress = Progress(
        *columns, console=console.stderr, disable=not live, transient=brief, expand=True
    )
    bars = _Bars(progress)

    def report(stage: str, done: int, total: int | None) -> None:
        bars.report(stage, done, total)
        # Whoever reads the log of a container shows progress from these lines.
        if total is not None and not live and (done == total or done % max(1, total // 20) == 0):
            logger.info("%s: %d of %d", stage, done, total)

    with ExitStack() as stack:
        stack.enter_context(progress)
        if live:
            stack.enter_context(redirect_stderr(_Heard(sys.stderr, bars.hear, f"{MARK} ")))
            # Where a Model runs in this process, all that is printed is its own.
            stack.enter_context(redirect_stdout(_Heard(sys.stdout, bars.hear)))
        if first is not None:
            report(first, 0, None)
        yield report
        bars.finish()
