"""The ``higgsml`` command: parse, call, print."""

from __future__ import annotations

import logging
from difflib import get_close_matches
from importlib import import_module
from typing import NamedTuple

import click

import HiggsML.installation  # noqa: F401 (first: it refuses a mixture of two packages)

# isort: split
from HiggsML import __version__
from HiggsML.cli.console import fail_cleanly, log_to_stderr

__all__ = ["main"]


class _Entry(NamedTuple):
    """Where a command is, and what it does."""

    module: str
    function: str
    summary: str


_COMMANDS = {
    "bundle": _Entry("bundle", "bundle", "Build and validate what an organizer uploads."),
    "compare": _Entry("study", "compare", "Print the scores of runs side by side."),
    "doctor": _Entry("doctor", "doctor", "Show which protections hold on this machine."),
    "dry-run": _Entry("bundle", "dry_run", "Rehearse the competition as the platform runs it."),
    "explore": _Entry("explore", "explore_command", "Draw the standard plots of a dataset."),
    "four-lepton": _Entry(
        "explore", "four_lepton_command", "Make files for the four-lepton exercise."
    ),
    "generate": _Entry("generate", "generate", "Make a dataset of simulated events."),
    "information": _Entry("information", "information", "Estimate the information limit."),
    "rank": _Entry("rank", "rank", "Rank many submissions on the same pseudo-experiments."),
    "run": _Entry("run", "run", "Fit a submission, measure pseudo-experiments, and score it."),
    "runs": _Entry("runs", "runs", "List runs with their scores, the best first."),
    "score": _Entry("run", "score", "Score the result files of a run again."),
    "study": _Entry("study", "study", "Study a submission where the truth is chosen."),
    "submission": _Entry("bundle", "submission", "Check and pack what a participant uploads."),
}


class _Commands(click.Group):
    """Imports a command's module when it is called: libraries of the others take seconds."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, function, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"{__name__}.{module}"), function)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            close = get_close_matches(args[0], _COMMANDS, n=1, cutoff=0.5)
            did_you_mean = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"No such command {args[0]!r}.{did_you_mean}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in _COMMANDS.items()])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="higgsml")
def _cli() -> None:
    """The HiggsML Uncertainty Challenge: measure the Higgs signal strength with honest intervals.

    \b
    higgsml run sample_submission        fit, measure, score and report a submission
    higgsml generate --output my_data    make a dataset
    """  # noqa: D301 (click's mark for a paragraph that is not to be wrapped)


def main() -> None:
    """Run the command; an error of ours is one message and exit code 1, never a traceback."""
    log_to_stderr(logging.WARNING)
    with fail_cleanly():
        _cli()
