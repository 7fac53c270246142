"""The command ``higgsml information``: parse, call, print."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from HiggsML.cli.console import output_console, table
from HiggsML.cli.options import DIRECTORY, EXISTING, FILE
from HiggsML.cli.progress import Report, progress_bar

if TYPE_CHECKING:
    from rich.table import Table

    from HiggsML.studies.information_limit import ExpectedCounts, Limit

__all__ = ["information"]

_LEAST_EVENTS = 300_000
"""Fewer give a limit that is further from the true one than its error says: 60,000 by three."""


@click.command()
@click.option(
    "--events",
    type=click.IntRange(_LEAST_EVENTS),
    default=1_200_000,
    show_default=True,
    help="Simulated events of each half; 70 % of them are used.",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the events.")
@click.option(
    "--output",
    type=DIRECTORY,
    default=Path("outputs/information"),
    show_default=True,
    help="Where information.json, information.png and the events go.",
)
@click.option(
    "--mini-run",
    "mini_runs",
    type=EXISTING,
    multiple=True,
    help="Output of 'higgsml run' on mini data: its width as a ratio of the limit.",
)
@click.option(
    "--official-run",
    "official_runs",
    type=EXISTING,
    multiple=True,
    help="The same at official yields.",
)
@click.option(
    "--reference",
    type=FILE,
    help="Also write the numbers that reports and 'compare' show beside a run; the first run of "
    "each scenario is the sample submission's.",
)
def information(
    events: int,
    seed: int,
    output: Path,
    mini_runs: tuple[Path, ...],
    official_runs: tuple[Path, ...],
    reference: Path | None,
) -> None:
    """Estimate the information limit: how short honest intervals can be, and what costs how much.

    Generates two datasets from separate halves of the generator's library, trains large classifiers
    on the first, and takes the Fisher information of mu from the second, for both scenarios.
    """
    with progress_bar("generate") as progress:
        limits, ratios = _compute(
            output,
            events,
            seed,
            {"mini": mini_runs, "official": official_runs},
            reference,
            progress,
        )
    console = output_console()
    console.print(_limit_table(limits))
    for scenario, one in limits.items():
        console.print(_impact_table(scenario, one))
    if ratios:
        console.print(_run_table(ratios))
    console.print(
        f"Numbers: {output / 'information.json'}, figure: {output / 'information.png'}",
        soft_wrap=True,
    )


def _compute(
    output: Path,
    events: int,
    seed: int,
    runs: dict[Literal["mini", "official"], tuple[Path, ...]],
    reference: Path | None,
    progress: Report,
) -> tuple[dict[str, Limit], list[dict[str, Any]]]:
    """Write numbers and figure; return the limit of each scenario, and runs compared with it."""
    from HiggsML.results import write_json
    from HiggsML.studies.figures import impact_plot
    from HiggsML.studies.information_limit import counts_of_scenario, library_counts, limit

    output.mkdir(parents=True, exist_ok=True)
    halves = library_counts(output, events=events, seed=seed, progress=progress)
    progress("limit", 0, None)
    limits: dict[str, Limit] = {}
    ratios: list[dict[str, Any]] = []
    for scenario, directories in runs.items():
        first, second = (counts_of_scenario(counts, scenario) for counts in halves)
        limits[scenario] = limit((first, second))
        ratios += [_ratio(scenario, run, (first, second)) for run in directories]
    content = {
        "events": events,
        "seed": seed,
        "limits": {name: asdict(one) for name, one in limits.items()},
        "runs": ratios,
    }
    write_json(output / "information.json", content)
    if reference is not None:
        write_json(reference, _reference(content, halves))
    impact_plot({name: one.nominal for name, one in limits.items()}).savefig(
        output / "information.png", dpi=120
    )
    return limits, ratios


def _ratio(
    scenario: str, directory: Path, halves: tuple[ExpectedCounts, ExpectedCounts]
) -> dict[str, Any]:
    """Compare a run's mean width with the limit at its own true signal strengths."""
    from HiggsML.statistics.reference import ratio
    from HiggsML.studies.comparison import load_run
    from HiggsML.studies.information_limit import limit

    run = load_run(directory)
    bound, bound_error = limit(halves, mus=list(run.settings.mus.values())).profiled
    return {
        "run": run.name,
        "scenario": scenario,
        "sets": run.settings.num_of_sets,
        "experiments": run.settings.num_pseudo_experiments,
        "width": [run.width, run.width_error],
        "coverage": [run.coverage, run.coverage_error],
        "limit": [bound, bound_error],
        "ratio": list(ratio((run.width, run.width_error), (bound, bound_error))),
    }


def _reference(
    content: dict[str, Any], halves: tuple[ExpectedCounts, ExpectedCounts]
) -> dict[str, Any]:
    """Return what reference.json holds: the limit by mu, and the first run of each scenario."""
    from HiggsML.studies.information_limit import counts_of_scenario, limit_by_mu

    scenarios: dict[str, Any] = {}
    names: tuple[Literal["mini", "official"], ...] = ("mini", "official")
    for scenario in names:
        first, second = (counts_of_scenario(counts, scenario) for counts in halves)
        runs = [run for run in content["runs"] if run["scenario"] == scenario]
        sample = {name: runs[0][name] for name in ("ratio", "coverage")} if runs else {}
        scenarios[scenario] = {**limit_by_mu((first, second)), "sample": sample}
    made = f"higgsml information --events {content['events']} --seed {content['seed']}"
    return {"made by": made, "scenarios": scenarios}


def _number(pair: tuple[float, float] | list[float]) -> str:
    return f"{pair[0]:.4f} ± {pair[1]:.4f}"


def _limit_table(limits: dict[str, Limit]) -> Table:
    rows = table("Mean width of the best division found", "scenario", "all known", "none known")
    for name, one in limits.items():
        rows.add_row(name, _number(one.known), _number(one.profiled))
    return rows


def _impact_table(scenario: str, one: Limit) -> Table:
    headings = ("nuisance parameter", "shift of mu", "width if known", "error [prior widths]")
    rows = table(f"Impacts at mu = 1, {scenario}", *headings)
    rows.add_row("(none known)", "", f"{one.nominal.width_profiled:.4f}", "")
    for name, impact in one.nominal.impacts.items():
        width = f"{one.nominal.width_without(name):.4f}"
        rows.add_row(name, f"{impact:+.4f}", width, f"{one.nominal.constraints[name]:.3f}")
    return rows


def _run_table(ratios: list[dict[str, Any]]) -> Table:
    headings = ("run", "scenario", "width", "limit at its mu", "ratio")
    rows = table("Runs and the limit", *headings, left=("scenario",))
    for one in ratios:
        numbers = (_number(one[name]) for name in ("width", "limit", "ratio"))
        rows.add_row(one["run"], one["scenario"], *numbers)
    return rows
