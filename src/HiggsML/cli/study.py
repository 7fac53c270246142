"""The commands ``higgsml study`` and ``higgsml compare``: parse, call, print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from HiggsML.cli.console import output_console
from HiggsML.cli.options import (
    DIRECTORY,
    EXISTING,
    input_option,
    nuisance_names,
)
from HiggsML.cli.progress import progress_bar

if TYPE_CHECKING:
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
    against: Sequence[Path],
) -> None:
    """Study coverage, bias and widths of SUBMISSION where the truth is chosen.

    The submission runs in this process, without any protection: study code that you trust.
    """
    with progress_bar("import") as progress:
        from HiggsML.datasets.reader import Data
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

        others = {path.parent.name: load_study(path) for path in against}
        data = Data(input_dir)
        model = fit_submission(submission, data, imported=lambda: progress("fit", 0, None))
        progress("read", 0, None)
        store = EventStore.from_data(data)
        found = run_study(
            model,
            store,
            grid(mus, nuisances=nuisances),
            experiments=experiments,
            seed=seed,
            progress=lambda done, total: progress("predict", done, total),
        )
        progress("draw", 0, None)
        save_study(found, output / "study.json")
        figure = study_plot({submission.name: found, **others})
        figure.savefig(output / "study.png", dpi=120)
        table = _study_table(found)
    console = output_console()
    console.print(table)
    for name, other in others.items():
        differences = paired_differences(other.pooled("drawn"), found.pooled("drawn"))
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


def _study_table(found: Study) -> Table:
    from HiggsML.studies.study import summarize

    table = Table(title="Study", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    columns = ("point", "coverage", "bias", "pull", "width", "interval\nscore")
    for column in columns:
        table.add_column(column, justify="left" if column == "point" else "right")
    for point, measured in zip(found.points, found.measurements, strict=True):
        s = summarize(measured)
        table.add_row(
            point.name,
            f"{s.coverage:.3f} ± {s.coverage_error:.3f}",
            f"{s.bias:+.4f} ± {s.bias_error:.4f}",
            f"{s.pull_mean:+.2f}, {s.pull_width:.2f}",
            f"{s.width:.4f}",
            f"{s.interval_score:.4f}",
        )
    return table


def _run_table(runs: Sequence[ComparedRun]) -> Table:
    table = Table(title="Runs", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("run", "score", "coverage [%]", "width", "of limit", "interval\nscore"):
        table.add_column(
            column,
            justify="left" if column == "run" else "right",
            overflow="fold",
            no_wrap=column != "run",
        )
    for run in runs:
        table.add_row(
            run.name,
            f"{run.quantiles_score:.2f} ± {run.score_error:.2f}",
            f"{100 * run.coverage:.1f} ± {100 * run.coverage_error:.1f}",
            f"{run.width:.4f} ± {run.width_error:.4f}",
            run.of_limit or "",
            f"{run.summary.interval_score:.4f}",
        )
    first = runs[0].beside
    if first is not None:
        table.add_section()
        for row in first.rows[1:]:
            name = row.name.lower()
            table.add_row(
                name,
                row.score,
                row.coverage.removesuffix("\N{NO-BREAK SPACE}%"),
                row.width,
                row.of_limit,
                "",
            )
    return table


def _difference_table(title: str, differences: Sequence[Difference]) -> Table:
    table = Table(title=f"{title} (same pseudo-experiments)", title_justify="left")
    for column in ("quantity", "difference", "significance", "p-value"):
        table.add_column(column, justify="left" if column == "quantity" else "right")
    for d in differences:
        table.add_row(
            d.quantity,
            f"{d.mean:+.4f} ± {d.error:.4f}",
            f"{d.significance:+.1f} sigma",
            f"{d.p_value:.2g}" if d.p_value >= _SMALLEST_P_VALUE else f"< {_SMALLEST_P_VALUE:g}",
        )
    return table
