"""Ingestion program of the competition bundle: parse flags, call :mod:`HiggsML.ingestion`."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from HiggsML.cli.console import fail_cleanly, log_to_stderr
from HiggsML.cli.progress import progress_bar
from HiggsML.ingestion.arguments import add_options, read_options
from HiggsML.ingestion.options import IngestionOptions

ROOT = Path(__file__).resolve().parents[1]


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; the flags are those of the reference implementation, and more."""
    parser = argparse.ArgumentParser(
        description="Fit a submission and have it measure pseudo-experiments.",
    )
    parser.add_argument(
        "--input", "-i", type=Path, default=ROOT / "input_data", help="dataset directory"
    )
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        default=ROOT / "outputs" / "predictions",
        help="where results go; former results there are replaced",
    )
    parser.add_argument(
        "--submission",
        "-s",
        type=Path,
        default=ROOT / "sample_submission",
        help="directory with model.py",
    )
    add_options(parser)
    return parser.parse_args(arguments)


def main() -> None:
    """Run the ingestion."""
    flags = parse_arguments()
    log_to_stderr(logging.INFO)
    if flags.codabench:
        flags.input, flags.output = Path("/app/input_data"), Path("/app/output")
        flags.submission = Path("/app/ingested_program")
    with fail_cleanly(), progress_bar() as progress:
        options = read_options(flags)
        from HiggsML.datasets import download_dataset
        from HiggsML.ingestion import run_ingestion

        if flags.public_dataset:
            flags.input = download_dataset("neurips2024_data").input_dir
        settings = run_ingestion(
            IngestionOptions(
                flags.input,
                flags.submission,
                flags.output,
                **options,
                empty_output=flags.codabench,
                # The platform starts a run once, and everything it keeps may be published.
                checkpoint=not flags.codabench,
            ),
            progress,
        )
    for notice in settings.notices:
        logging.warning(notice)
    total = settings.num_of_sets * settings.num_pseudo_experiments
    logging.info("%d pseudo-experiments measured; results are in %s", total, flags.output)


if __name__ == "__main__":
    main()
