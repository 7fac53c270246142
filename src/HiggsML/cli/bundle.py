"""Commands around the bundle, containers and submissions: parse, call, print."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from HiggsML.cli.console import print_log, say, stderr
from HiggsML.cli.options import (
    ANY_PATH,
    DIRECTORY,
    EXISTING,
    FILE,
    SUBMISSION,
    input_option_looked_at_later,
    needed_dataset,
)
from HiggsML.cli.progress import progress_bar
from HiggsML.errors import IsolationError

if TYPE_CHECKING:
    from HiggsML.codabench.dry_run import Step
    from HiggsML.codabench.rules.findings import Finding

__all__ = ["bundle", "dry_run", "submission"]


@click.group()
def bundle() -> None:
    """Build and validate the zip that an organizer uploads."""


@bundle.command()
@click.option(
    "--output",
    type=FILE,
    default=Path("dist/bundle.zip"),
    show_default=True,
    help="The zip to write.",
)
@click.option(
    "--input",
    "input_data",
    type=EXISTING,
    default=None,
    help="The competition's private dataset; input_data/ by default.",
)
@click.option("--competition", is_flag=True, help="Refuse a dataset whose events are public.")
def build(output: Path, input_data: Path | None, competition: bool) -> None:
    """Validate the checkout and write the bundle; same input, same bytes."""
    with progress_bar("build", brief=True):
        from HiggsML.codabench.bundle.build import build_bundle
        from HiggsML.codabench.bundle.source import find_checkout

        built = build_bundle(
            find_checkout(), output, input_data=input_data, competition=competition
        )
    _print_findings(built.findings)
    if built.path is None:
        stderr.print("No bundle was written.", style="bold red")
        sys.exit(1)
    click.echo(f"Bundle: {built.path} ({built.files} files, {built.size / 1e6:.1f} MB)")
    click.echo(f"SHA-256: {built.digest}")


@bundle.command()
@click.argument("path", type=ANY_PATH, default=Path())
@click.option("--competition", is_flag=True, help="A dataset whose events are public is an error.")
@click.option("--general", is_flag=True, help="Leave out what only this challenge needs.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def validate(path: Path, competition: bool, general: bool, as_json: bool) -> None:
    """Check the bundle at PATH, a zip, a directory or a checkout, against the platform's contract.

    The exit code is 1 if the platform refuses something, 3 if it takes all but this challenge needs
    something, and 0 if there is nothing but advice. A bundle of another competition is held to the
    platform's rules only.
    """
    with progress_bar("rules", brief=True):
        from HiggsML.codabench.rules.findings import KINDS, exit_code
        from HiggsML.codabench.rules.validate import validate_path

        findings = validate_path(path, competition=competition, general=general)
    code = exit_code(findings)
    if as_json:
        content = {
            "valid": code == 0,
            "accepted_by_platform": code != 1,
            "findings": [finding.as_dict() for finding in findings],
        }
        click.echo(json.dumps(content, indent=2))
    else:
        _print_findings(findings)
        counts = Counter(finding.kind for finding in findings)
        listed = ", ".join(f"{KINDS[kind]}: {counts[kind]}" for kind in KINDS)
        click.echo(f"{path}: {listed}")
    if code:
        sys.exit(code)


@bundle.command("starting-kit")
@click.option(
    "--output",
    type=FILE,
    default=Path("dist/starting_kit.zip"),
    show_default=True,
    help="The zip to write.",
)
def starting_kit(output: Path) -> None:
    """Write the participants' starting kit as a zip of its own; the bundle holds it too."""
    with progress_bar("build", brief=True):
        from HiggsML.codabench.bundle.build import build_starting_kit
        from HiggsML.codabench.bundle.source import find_checkout

        build_starting_kit(find_checkout(), output)
    click.echo(f"Starting kit: {output} ({output.stat().st_size / 1e6:.1f} MB)")


@click.command("dry-run")
@click.option(
    "--output",
    type=DIRECTORY,
    default=Path("outputs/dry_run"),
    show_default=True,
    help="Gets the bundle and what every run wrote.",
)
@click.option("--input", "input_data", type=EXISTING, default=None, help="The private dataset.")
@click.option("--competition", is_flag=True, help="Refuse a dataset whose events are public.")
@click.option("--quick", is_flag=True, help="2 sets of 3 pseudo-experiments.")
@click.option("--without-docker", is_flag=True, help="End after unpacking; no solution is run.")
@click.option("--base-image", default=None, help="For building the image, if it is not there.")
@click.option("--network", default=None, help="Network for building the image, such as host.")
def dry_run(output: Path, without_docker: bool, **options: object) -> None:
    """Rehearse the competition: build it and run its solutions as the platform would."""
    marks = {True: ("ok", "green"), False: ("failed", "bold red"), None: ("skipped", "yellow")}
    console = Console(soft_wrap=True)

    def on_step(step: Step) -> None:
        mark, style = marks[step.ok]
        console.print(f"{mark:8}", style=style, end="")
        text = f": {step.detail}" if step.detail else ""
        console.print(f"{step.name} ({step.seconds:.0f} s){text}", markup=False, highlight=False)

    with progress_bar("rules", brief=True) as progress:
        from HiggsML.codabench.bundle.source import find_checkout
        from HiggsML.codabench.dry_run import DryRunOptions
        from HiggsML.codabench.dry_run import dry_run as run_dry_run

        result = run_dry_run(
            DryRunOptions(
                source=find_checkout(),
                output=output,
                docker=not without_docker,
                **options,  # type: ignore[arg-type]
            ),
            on_start=lambda name: progress(name, 0, None),
            on_step=on_step,
            log=print_log,
        )
    _print_findings(result.findings)
    if result.questions:
        click.echo("\nOpen questions, before the upload:")
        for question in result.questions:
            click.echo(f"  [ ] {question}")
    click.echo(f"\nDry run {'passed' if result.passed else 'FAILED'}; results are in {output}")
    if not result.passed:
        sys.exit(1)


@click.group()
def submission() -> None:
    """Check and pack what a participant uploads."""


@submission.command()
@click.argument("path", type=SUBMISSION)
@input_option_looked_at_later
@click.option(
    "--pseudo-experiments",
    type=click.IntRange(1),
    default=6,
    show_default=True,
    help="How many to measure in the trial.",
)
@click.option("--static", is_flag=True, help="Look at the files only, run nothing.")
@click.option(
    "--image",
    type=click.Choice(["small", "frameworks"]),
    default="frameworks",
    show_default=True,
    help="The image whose packages count.",
)
@click.option(
    "--image-packages",
    type=FILE,
    default=None,
    help="What another image has: the output of `pip freeze` or `pip list` in it.",
)
def check(
    path: Path,
    input_dir: Path,
    pseudo_experiments: int,
    static: bool,
    image: str,
    image_packages: Path | None,
) -> None:
    """Check the submission at PATH, a directory or a zip: layout, imports, a short trial run."""
    with progress_bar("files", brief=True):
        from HiggsML.codabench.images import image_packages as packages_of
        from HiggsML.codabench.images import read_packages
        from HiggsML.codabench.rules.findings import errors_of
        from HiggsML.codabench.rules.submission import check_layout
        from HiggsML.codabench.trial_run import trial_run
        from HiggsML.isolation.sandbox import check_system

        packages = packages_of(image) if image_packages is None else read_packages(image_packages)
        findings = check_layout(path, packages=packages)
    _print_findings(findings)
    if errors_of(findings):
        sys.exit(1)
    click.echo("Files and imports: fine")
    if static:
        return
    try:
        check_system()
    except IsolationError as error:
        click.echo(f"No trial run: {error}")
        return
    input_dir = needed_dataset(input_dir)
    with progress_bar("read", brief=True) as progress:
        timing = trial_run(path, input_dir, experiments=pseudo_experiments, progress=progress)
    click.echo(f"Trial run: fine, {pseudo_experiments} pseudo-experiments measured and scored")
    click.echo(timing.verdict)
    if timing.verdict.startswith("Too slow"):
        sys.exit(1)


@submission.command("pack")
@click.argument("directory", type=EXISTING)
@click.option("--output", type=FILE, default=None, help="The zip; DIRECTORY.zip by default.")
def pack_command(directory: Path, output: Path | None) -> None:
    """Write the zip of the submission in DIRECTORY, with model.py at its top."""
    target = output or Path(f"{directory.resolve().name}.zip")
    with progress_bar("pack", brief=True):
        from HiggsML.codabench.trial_run import pack

        names = pack(directory, target)
    click.echo(f"{target}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}")


def _print_findings(findings: Iterable[Finding]) -> None:
    from HiggsML.codabench.rules.findings import KINDS

    styles = {"platform": "bold red", "challenge": "red", "advice": "yellow"}
    for finding in findings:
        say(f"{KINDS[finding.kind]}: {finding}", styles[finding.kind])
