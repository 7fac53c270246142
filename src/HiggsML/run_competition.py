"""Run a submission as the reference implementation's program of this name does.

``python -m HiggsML.run_competition --submission DIR`` runs it in this process, without isolation;
``higgsml run`` is the judged form.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from HiggsML.datasets import Data, download_dataset
from HiggsML.ingestion import Ingestion
from HiggsML.schema import MU_RANGE, NUISANCES
from HiggsML.score import Scoring
from HiggsML.submission.model import load_model_class
from HiggsML.submission.value import Submission

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, predict and score a submission; the flags are those of the reference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--input", "-i", type=Path, help="dataset (default: download blackSwan)")
    parser.add_argument("--model-type", "-m", default="sample_model", help="handed to the Model")
    parser.add_argument("--output", "-o", type=Path, default=Path("sample_result_submission"))
    parser.add_argument("--submission", "-s", type=Path, default=Path("sample_code_submission"))
    parser.add_argument("--codabench", action="store_true", help="use the platform's folders")
    for name in NUISANCES:
        flag = f"--systematics-{name.replace('_', '-')}"
        parser.add_argument(flag, action="store_true", dest=name, help=f"draw {name}")
    parser.add_argument("--num-pseudo-experiments", type=int, default=25)
    parser.add_argument("--num-of-sets", type=int, default=25)
    given = parser.parse_args(arguments)
    if given.codabench:
        given.output, given.submission = Path("/app/output"), Path("/app/ingested_program")
    data = download_dataset("blackSwan_data") if given.input is None else Data(given.input)
    ingestion = Ingestion(data)
    ingestion.start_timer()
    model = load_model_class(Submission.of(given.submission).model_file)
    ingestion.init_submission(model, model_type=given.model_type)
    ingestion.fit_submission()
    settings = {
        "systematics": {name: getattr(given, name) for name in NUISANCES},
        "num_pseudo_experiments": given.num_pseudo_experiments,
        "num_of_sets": given.num_of_sets,
        "ground_truth_mus": np.random.default_rng().uniform(*MU_RANGE, given.num_of_sets).tolist(),
    }
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / "test_settings.json").write_text(json.dumps(settings), encoding="utf-8")
    data.load_test_set()
    ingestion.predict_submission(settings)
    ingestion.process_results_dict()
    ingestion.save_result(given.output)
    ingestion.stop_timer()
    ingestion.show_duration()
    ingestion.save_duration(given.output)
    scoring = Scoring()
    scoring.load_ingestion_duration(given.output / "ingestion_duration.json")
    scoring.load_ingestion_results(given.output, given.output)
    scoring.compute_scores(settings)
    scoring.write_scores()
    for name, score in scoring.scores_dict.items():
        print(f"{name:20} {score}")  # noqa: T201 (a program's output)


if __name__ == "__main__":
    main()
