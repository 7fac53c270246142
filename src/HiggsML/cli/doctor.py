"""``higgsml doctor``: which protections against a submission's code hold on this machine."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import click
from rich.text import Text

from HiggsML.cli.console import output_console, table
from HiggsML.cli.progress import progress_bar
from HiggsML.files import cache_directories, converted_files, size_text
from HiggsML.isolation.budget.budgets import Budgets
from HiggsML.isolation.cage.privileges import NAMESPACES
from HiggsML.isolation.cage.restrict import ESSENTIAL, MECHANISMS, isolation_level, missing, probe
from HiggsML.machine import NO_LIMIT, machine_memory

__all__ = ["doctor", "remedies", "verdict"]

_NAMESPACES = (
    "let users make namespaces: sysctl kernel.unprivileged_userns_clone=1 (Debian), or "
    "kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 24.04); a container needs a seccomp "
    "profile that allows unshare"
)
_REMEDIES = {
    **dict.fromkeys(NAMESPACES, _NAMESPACES),
    "process-limit": "run higgsml as an ordinary user, not as root",
    "landlock-files": "Linux 5.13 or newer, with landlock in the kernel's list lsm=",
    "landlock-network": "Linux 6.7 or newer, with landlock in the kernel's list lsm=",
    "landlock-scope": "Linux 6.12 or newer, with landlock in the kernel's list lsm=",
    "system-call-filter": "a kernel with seccomp filters, on x86-64 or 64-bit ARM",
    "parent-tracer": "a kernel with Yama, in its list lsm=",
}


def remedies(report: Mapping[str, str]) -> list[str]:
    """Return a line for each way to get what is missing.

    Examples
    --------
    >>> remedies({"process-limit": "no", "umask": "on"})
    ['process-limit: run higgsml as an ordinary user, not as root']
    """
    by_extra: dict[str, list[str]] = {}
    for name, state in report.items():
        if state != "on" and name in _REMEDIES:
            by_extra.setdefault(_REMEDIES[name], []).append(name)
    return [f"{', '.join(names)}: {remedy}" for remedy, names in by_extra.items()]


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


def converted_events(directory: Path) -> str:
    """Say how much converted events take in a directory, and how to remove them."""
    files = converted_files(directory)
    if not files:
        return f"{directory}: none"
    count = "one file" if len(files) == 1 else f"{len(files)} files"
    return (
        f"{directory}: {count}, {size_text(sum(files.values()))}; "
        f"removed with rm -r {shlex.quote(str(directory))}, and made anew when needed"
    )


@click.command()
@click.option(
    "--input",
    "input_dir",
    type=click.Path(path_type=Path),
    default=Path("input_data"),
    show_default=True,
    help="Dataset whose converted events are listed.",
)
@click.option(
    "--require", is_flag=True, help="Exit with code 1 if an essential protection is missing."
)
def doctor(input_dir: Path, require: bool) -> None:
    """Show which protections against a submission's code hold on this machine.

    And how much disk the converted events of large datasets take.

    Everything is tried out by a process that then ends; nothing is changed.
    """
    from HiggsML.isolation.sandbox import not_enforced

    with progress_bar("probe", brief=True):
        report = probe()
    rows = table("Protections", "protection", "what it gives", "here", left=("what it gives",))
    for name, what in MECHANISMS.items():
        on, essential = report[name] == "on", name in ESSENTIAL
        shown = Text("on" if on else "no", "green" if on else "red" if essential else "yellow")
        rows.add_row(f"{name} *" if essential else name, what, shown)
    console = output_console()
    console.print(rows)
    for name, state in report.items():
        if state != "on":
            console.print(f"No {name} here: {state}", highlight=False)
    console.print("* essential: --isolation require refuses to run without it", highlight=False)
    for line in remedies(report):
        console.print(f"To get {line}", highlight=False)
    if problem := not_enforced():
        console.print(f"Note: {problem}", highlight=False)
    budgets = Budgets().resolved()
    # A machine that does not tell its memory would get a share of an absurd number.
    known = machine_memory() < NO_LIMIT
    memory = f"{size_text(budgets.memory_bytes or 0)} of memory" if known else "no limit of memory"
    console.print(
        f"Budgets of a submission by default: {memory}, "
        f"{budgets.tasks} processes and threads, {size_text(budgets.disk_bytes)} of temporary "
        f"files, {budgets.predict_seconds:g} s for one prediction",
        highlight=False,
    )
    for directory in cache_directories(input_dir):
        console.print(
            f"Converted events in {converted_events(directory)}", highlight=False, soft_wrap=True
        )
    console.print(f"Isolation here is {verdict(isolation_level(report))}", highlight=False)
    if require and missing(report):
        sys.exit(1)
