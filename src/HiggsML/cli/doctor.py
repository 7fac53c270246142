"""``higgsml doctor``: which protections against a submission's code hold on this machine."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.table import Table

from HiggsML.files import size_text
from HiggsML.isolation.budget.budgets import Budgets
from HiggsML.isolation.cage.restrict import ESSENTIAL, MECHANISMS, isolation_level, missing, probe

__all__ = ["doctor", "verdict"]

_VERDICTS = {
    1.0: "complete: every protection holds. A hostile submission gets events, and nothing else.",
    0.5: "partial: all essential protections hold. A hostile submission gets events, and nothing "
    "else; what is missing would be a second wall, see above.",
    0.0: "NOT SAFE for submissions of others: an essential protection is missing. Use a container "
    "on a newer kernel, or run only code that you trust.",
}


def verdict(level: float) -> str:
    """Say what a level of isolation (1, 0.5 or 0) promises."""
    return _VERDICTS[level]


@click.command()
@click.option(
    "--require", is_flag=True, help="Exit with code 1 if an essential protection is missing."
)
def doctor(require: bool) -> None:
    """Show which protections against a submission's code hold on this machine.

    Everything is tried out by a process that then ends; nothing is changed.
    """
    from HiggsML.isolation.sandbox import not_enforced

    report = probe()
    table = Table(title="Protections", title_justify="left")
    for heading in ("protection", "what it gives", "here"):
        table.add_column(heading)
    for name, what in MECHANISMS.items():
        state = report[name]
        if state == "on":
            shown = "[green]on[/green]"
        else:
            shown = f"[red]{state}[/red]" if name in ESSENTIAL else f"[yellow]{state}[/yellow]"
        table.add_row(f"{name} *" if name in ESSENTIAL else name, what, shown)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    console.print("* essential: --isolation require refuses to run without it", highlight=False)
    if problem := not_enforced():
        console.print(f"Note: {problem}", highlight=False)
    budgets = Budgets().resolved()
    console.print(
        f"Budgets of a submission by default: {size_text(budgets.memory_bytes or 0)} of memory, "
        f"{budgets.tasks} processes and threads, {size_text(budgets.disk_bytes)} of temporary "
        f"files, {budgets.predict_seconds:g} s for one prediction",
        highlight=False,
    )
    console.print(f"Isolation here is {verdict(isolation_level(report))}", highlight=False)
    if require and missing(report):
        sys.exit(1)
