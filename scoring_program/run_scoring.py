"""Scoring program of the competition bundle: parse flags, call :mod:`HiggsML.score`."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from HiggsML.cli.console import fail_cleanly, log_to_stderr, show_scores
from HiggsML.errors import IngestionFailedError, ResultsError

ROOT = Path(__file__).resolve().parents[1]


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; the flags are those of the reference implementation."""
    parser = argparse.ArgumentParser(
        description="Score the results of an ingestion.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--prediction",
        "-p",
        type=Path,
        default=ROOT / "outputs" / "predictions",
        help="directory that the ingestion has filled",
    )
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        default=ROOT / "outputs" / "scores",
        help="where scores.json and detailed_results.html go",
    )
    parser.add_argument(
        "--reference",
        "-r",
        type=Path,
        default=None,
        help="directory with settings.json, which a complete result must meet; without it, "
        "results must meet their own test_settings.json",
    )
    parser.add_argument(
        "--submission",
        "-s",
        type=Path,
        default=None,
        help="directory of the submission: its files are ignored among the results, and it must "
        "bring none that is called like a result",
    )
    parser.add_argument(
        "--codabench", action="store_true", help="use the platform's directories instead"
    )
    parser.add_argument(
        "--phase-2",
        action="store_true",
        help="add the final phase's bootstrap over sets; final_phase in the reference's "
        "settings.json does the same",
    )
    return parser.parse_args(arguments)


def main() -> None:
    """Run the scoring."""
    flags = parse_arguments()
    log_to_stderr(logging.INFO)
    # Imported here: whoever asks for help, or mistypes a flag, waits for no library.
    from HiggsML.reports.failure_page import render_failure
    from HiggsML.score import run_scoring

    if flags.codabench:
        flags.prediction, flags.output = Path("/app/input/res"), Path("/app/output")
        flags.reference = Path("/app/input/ref")
        # Mounted since the worker of mid-2026, which copies the submission between the results.
        ingested = Path("/app/ingested_program")
        flags.submission = ingested if ingested.is_dir() else None
    report = flags.output / "detailed_results.html"
    with fail_cleanly():
        try:
            scores = run_scoring(
                flags.prediction,
                flags.output,
                reference=flags.reference,
                submission=flags.submission,
                phase_2=flags.phase_2,
            )
        except IngestionFailedError as error:
            render_failure(report, error.reason, by_ingestion=True)
            raise
        except ResultsError as error:
            # The platform shows this page; elsewhere the message is enough.
            if flags.codabench:
                render_failure(report, str(error), by_ingestion=False)
            raise
        show_scores(scores, report)


if __name__ == "__main__":
    main()
