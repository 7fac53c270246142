"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

from HiggsML.schema import NUISANCES

__all__ = [
    "ANY_PATH",
    "DIRECTORY",
    "EXISTING",
    "FILE",
    "input_option",
    "nuisance_names",
]

EXISTING = click.Path(exists=True, file_okay=False, path_type=Path)
"""A directory that is there."""

DIRECTORY = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
ANY_PATH = click.Path(path_type=Path)

input_option = click.option(
    "--input",
    "input_dir",
    type=EXISTING,
    default=Path("input_data"),
    show_default=True,
    help="Dataset in the official layout.",
)


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
