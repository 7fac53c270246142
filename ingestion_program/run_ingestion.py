"""Ingestion program of the competition bundle: parse flags, call :mod:`HiggsML.ingestion`."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

from HiggsML.cli.console import fail_cleanly, log_to_stderr, progress_bar
from HiggsML.datasets import download_dataset
from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.isolation.budget.budgets import BUDGET_FLAGS, Budgets, parse_amount
from HiggsML.schema import NUISANCES

ROOT = Path(__file__).resolve().parents[1]


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; the flags are those of the reference implementation, and more."""
    parser = argparse.ArgumentParser(
        description="Fit a submission and have it measure pseudo-experiments.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--input", "-i", type=Path, default=ROOT / "input_data", help="dataset directory"
    )
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        default=ROOT / "outputs" / "predictions",
        help="where results go; former results there are removed",
    )
    parser.add_argument(
        "--submission",
        "-s",
        type=Path,
        default=ROOT / "sample_submission",
        help="directory with model.py",
    )
    parser.add_argument(
        "--codabench", action="store_true", help="use the platform's directories instead"
    )
    parser.add_argument(
        "--public-dataset",
        action="store_true",
        help="download the official public dataset (6.5 GB) and use it as input",
    )
    for name, nuisance in NUISANCES.items():
        parser.add_argument(
            f"--systematics-{name.replace('_', '-')}",
            action="store_true",
            help=f"vary the {nuisance.description}",
        )
    parser.add_argument("--num-of-sets", type=int, default=10, help="sets, one true mu each")
    parser.add_argument(
        "--num-pseudo-experiments", type=int, default=100, help="pseudo-experiments per set"
    )
    parser.add_argument(
        "--random-seed",
        type=int,
        default=None,
        help="makes a run repeatable; without it every run draws a new truth",
    )
    parser.add_argument(
        "--parallel", action="store_true", help="as many workers as there are processors"
    )
    parser.add_argument(
        "--workers", type=int, default=None, help="processes that make pseudo-experiments"
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        default=None,
        help="make pseudo-experiments on the Dask cluster with this scheduler",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with an interrupted run of the same command; the model is fitted again",
    )
    parser.add_argument(
        "--deadline", type=float, default=None, help="seconds for the whole ingestion"
    )
    budgets = parser.add_argument_group(
        "budgets of the submission", "what exceeds one is ended as a whole; see SECURITY.md"
    )
    for flag, (name, metavar, text) in BUDGET_FLAGS.items():
        budgets.add_argument(
            flag,
            dest=name,
            type=parse_amount,
            metavar=metavar,
            default=argparse.SUPPRESS,
            help=text.replace("%", "%%"),
        )
    parser.add_argument(
        "--isolation",
        choices=("require", "prefer", "off"),
        default="prefer",
        help="what to do when a protection against the submission's code is not available",
    )
    return parser.parse_args(arguments)


def main() -> None:
    """Run the ingestion."""
    flags = parse_arguments()
    log_to_stderr(logging.INFO)
    if flags.codabench:
        flags.input, flags.output = Path("/app/input_data"), Path("/app/output")
        flags.submission = Path("/app/ingested_program")
    with fail_cleanly(), progress_bar() as progress:
        if flags.public_dataset:
            flags.input = download_dataset("neurips2024_data").input_dir
        workers = flags.workers or ((os.cpu_count() or 1) if flags.parallel else 1)
        settings = run_ingestion(
            IngestionOptions(
                input_dir=flags.input,
                submission=flags.submission,
                output=flags.output,
                num_of_sets=flags.num_of_sets,
                num_pseudo_experiments=flags.num_pseudo_experiments,
                systematics={name: getattr(flags, f"systematics_{name}") for name in NUISANCES},
                seed=flags.random_seed,
                workers=workers,
                scheduler=flags.scheduler,
                deadline=flags.deadline,
                isolation=flags.isolation,
                budgets=Budgets.from_flags(
                    {name: getattr(flags, name, None) for name, _, _ in BUDGET_FLAGS.values()}
                ),
                empty_output=flags.codabench,
                # The platform starts a run once, and everything it keeps may be published.
                checkpoint=not flags.codabench,
                resume=flags.resume,
            ),
            progress,
        )
    for notice in settings.notices:
        logging.warning(notice)
    total = settings.num_of_sets * settings.num_pseudo_experiments
    logging.info("%d pseudo-experiments measured; results are in %s", total, flags.output)


if __name__ == "__main__":
    main()
