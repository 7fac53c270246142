"""The commands ``higgsml study`` and ``higgsml compare``: parse, call, print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from HiggsML.cli.console import output_console, say_unprotected, table
from HiggsML.cli.options import (
    DIRECTORY,
    EXISTING,
    input_option,
    nuisance_names,
)
from HiggsML.cli.progress import progress_bar

if TYPE_CHECKING:
    from rich.table import Table

    from HiggsML.studies.comparison import ComparedRun
    from HiggsML.studies.study import Difference, Study

__all__ = ["compare", "study"]

_SMALLEST_P_VALUE = 1e-12
"""No sum of some thousand terms is normal further out."""


def _mus(context: click.Context, parameter: click.Parameter, value: str) -> list[float]:
    try:
        mus = [float(part) for part in value.split(",") if part.strip()]
    except ValueError:
        raise click.BadParameter(f"{value!r} is no comma-separated list of numbers") from None
    if not all(0 <= mu < 100 for mu in mus):
        raise click.BadParameter("every mu must lie between 0 and 100")
    return mus


def _nuisances(context: click.Context, parameter: click.Parameter, value: str) -> list[str]:
    return nuisance_names(value, "nuisances")


@click.command()
@click.argument("submission", type=EXISTING)
@input_option
@click.option(
    "--output",
    type=DIRECTORY,
    default=Path("outputs/study"),
    show_default=True,
    help="Where study.json and study.png go.",
)
@click.option(
    "--pseudo-experiments",
    "experiments",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Pseudo-experiments at each point.",
)
@click.option(
    "--mus",
    callback=_mus,
    default="0.1,0.5,1,1.5,2,2.5,3",
    show_default=True,
    help="Values of mu to fix.",
)
@click.option(
    "--nuisances",
    metavar="all|none|NAME,...",
    callback=_nuisances,
    default="all",
    show_default=True,
    help="Nuisance parameters to fix at -2 .. 2 sigma, one at a time.",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Root seed.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=None,
    help="Processes that measure, where they are worth their start; changes no answer.  "
    "[default: as many as there are processors]",
)
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="study.json of another submission: drawn beside this one and compared with it.",
)
def study(
    submission: Path,
    input_dir: Path,
    output: Path,
    experiments: int,
    mus: list[float],
    nuisances: list[str],
    seed: int,
    workers: int | None,
    against: Sequence[Path],
) -> None:
    """Study coverage, bias and widths of SUBMISSION where the truth is chosen.

    The submission runs in this process, without any protection: study code that you trust.
    """
    say_unprotected(submission)
    with progress_bar("import") as progress:
        from HiggsML.datasets.reader import Data
        from HiggsML.isolation.budget.budgets import available_processors
        from HiggsML.pseudo_experiments.store import EventStore
        from HiggsML.studies.figures import study_plot
        from HiggsML.studies.study import (
            fit_submission,
            grid,
            load_study,
            paired_differences,
            run_study,
            save_study,
        )
        from HiggsML.studies.workers import run_study_in_processes, worthwhile_workers

        others = {path.parent.name: load_study(path) for path in against}
        data = Data(input_dir)
        model = fit_submission(submission, data, imported=lambda: progress("fit", 0, None))
        progress("read", 0, None)
        points = tuple(grid(mus, nuisances=nuisances))
        wanted: dict[str, Any] = {
            "points": points,
            "experiments": experiments,
            "seed": seed,
            "progress": lambda done, total: progress("predict", done, total),
        }
        processes = worthwhile_workers(
            workers or available_processors(), points=len(points), experiments=experiments
        )
        if processes == 1:
            measured = run_study(model, EventStore.from_data(data), **wanted)
        else:
            measured = run_study_in_processes(
                model, submission=submission, input_dir=input_dir, workers=processes, **wanted
            )
        progress("draw", 0, None)
        save_study(measured, output / "study.json")
        figure = study_plot({submission.name: measured, **others})
        figure.savefig(output / "study.png", dpi=120)
        numbers = _study_table(measured)
    console = output_console()
    console.print(numbers)
    for name, other in others.items():
        differences = paired_differences(other.pooled("drawn"), measured.pooled("drawn"))
        console.print(_difference_table(f"{submission.name} minus {name}", differences))
    console.print(f"Study: {output / 'study.json'}, figure: {output / 'study.png'}", soft_wrap=True)


@click.command()
@click.argument("runs", type=EXISTING, nargs=-1, required=True)
@click.option("--markdown", is_flag=True, help="Print a table for a README.")
def compare(runs: tuple[Path, ...], markdown: bool) -> None:
    """Print the scores of RUNS (output directories of 'higgsml run') side by side.

    With the same seed and settings all runs have the same pseudo-experiments; each is then compared
    with the first one, experiment by experiment.
    """
    with progress_bar("runs", brief=True):
        from HiggsML.studies.comparison import compare_runs, markdown_table

        compared, differences = compare_runs(runs)
    if markdown:
        click.echo(markdown_table(compared))
        return
    console = output_console()
    console.print(_run_table(compared))
    for name, changes in differences.items():
        console.print(_difference_table(f"{name} minus {compared[0].name}", changes))


def _study_table(summarized: Study) -> Table:
    from HiggsML.studies.study import summarize

    headings = ("point", "cover-\nage [%]", "bias", "pull", "width", "interval\nscore")
    rows = table("Study", *headings)
    for point, measured in zip(summarized.points, summarized.measurements, strict=True):
        s = summarize(measured)
        rows.add_row(
            point.name.replace(" = ", " ").replace(" sigma", "\N{GREEK SMALL LETTER SIGMA}"),
            f"{100 * s.coverage:.1f} ± {100 * s.coverage_error:.1f}",
            f"{s.bias:+.4f} ± {s.bias_error:.4f}",
            f"{s.pull_mean:+.2f}, {s.pull_width:.2f}",
            f"{s.width:.4f}",
            f"{s.interval_score:.4f}",
        )
    return rows


def _run_table(runs: Sequence[ComparedRun]) -> Table:
    rows = table("Runs", "run", "score", "coverage [%]", "width", "of limit")
    for run in runs:
        rows.add_row(
            run.name,
            f"{run.quantiles_score:.2f} ± {run.score_error:.2f}",
            f"{100 * run.coverage:.1f} ± {100 * run.coverage_error:.1f}",
            f"{run.width:.4f} ± {run.width_error:.4f}",
            run.of_limit or "",
        )
    first = runs[0].beside
    if first is not None:
        rows.add_section()
        for row in first.rows[1:]:
            rows.add_row(
                row.name.lower(),
                row.score,
                row.coverage.removesuffix("\N{NO-BREAK SPACE}%"),
                row.width,
                row.of_limit,
            )
    return rows


def _difference_table(title: str, differences: Sequence[Difference]) -> Table:
    headings = ("quantity", "difference", "significance", "p-value")
    rows = table(f"{title} (same pseudo-experiments)", *headings)
    for d in differences:
        rows.add_row(
            d.quantity,
            f"{d.mean:+.4f} ± {d.error:.4f}",
            f"{d.significance:+.1f} sigma",
            f"{d.p_value:.2g}" if d.p_value >= _SMALLEST_P_VALUE else f"< {_SMALLEST_P_VALUE:g}",
        )
    return rows
