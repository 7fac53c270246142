"""What is measured of the reference implementation (PyPI HiggsML); see ``measure.py``."""

import contextlib
import importlib.util
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from HiggsML.datasets import Data
from HiggsML.derived_quantities import DER_data
from HiggsML.ingestion import Ingestion
from HiggsML.score import Scoring
from HiggsML.systematics import get_bootstrapped_dataset, get_systematics_dataset, systematics

SHIFTS = {"tes": 1.002, "jes": 0.998, "soft_met": 1.5}
RATES = {"ttbar_scale": 1.01, "diboson_scale": 0.9, "bkg_scale": 1.001}
NAMES = ("tes", "jes", "soft_met", "ttbar_scale", "diboson_scale", "bkg_scale")


def nothing():
    """Prepare nothing."""


def _test_set(data):
    one = Data(str(data), test_size=1.0)
    one.load_test_set()
    return one.get_test_set()


def open_test_set(data):
    return nothing, lambda _: _test_set(data)


def pseudo_experiment(data):
    test_set = _test_set(data)
    seeds = iter(range(1000))

    def run(seed):
        events = get_bootstrapped_dataset(test_set, mu=1.5, seed=seed, **RATES)
        return get_systematics_dataset(events, **SHIFTS)

    return lambda: next(seeds), run


def _frame(data, rows):
    return pd.read_parquet(next(Path(data).glob("*.parquet"))).iloc[:rows].copy()


def shifted_frame(data, rows):
    frame = _frame(data, rows)
    return frame.copy, lambda events: systematics(events, **SHIFTS, seed=1)


def derived_frame(data, rows):
    frame = _frame(data, rows).drop(columns=["weights", "labels", "detailed_labels"])
    return frame.copy, DER_data


def training_set(data):
    return lambda: Data(str(data), test_size=0.3), lambda one: one.load_train_set()


def _model(submission):
    spec = importlib.util.spec_from_file_location("model", Path(submission) / "model.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["model"] = module
    spec.loader.exec_module(module)
    return module.Model


def start():
    """Import what a run needs, in a new process."""
    code = "import HiggsML.datasets, HiggsML.ingestion, HiggsML.score"
    return nothing, lambda _: subprocess.run([sys.executable, "-c", code], check=True)


def whole_run(data, submission, experiments, sets):
    """Fit, measure and score, as ``higgsml run`` does; the Model is made with what it takes."""
    sys.path.insert(0, submission)
    model = _model(submission)

    def made(get_train_set, systematics, **_):
        return model(get_train_set, systematics)

    measure = _ingestion(data, made, experiments, sets)

    def run(output):
        with output:
            settings = measure(output.name)
            with contextlib.redirect_stdout(io.StringIO()):
                judge = Scoring()
                judge.load_ingestion_duration(str(Path(output.name) / "ingestion_duration.json"))
                judge.load_ingestion_results(output.name, output.name)
                judge.compute_scores(settings)
                judge.write_scores()

    return tempfile.TemporaryDirectory, run


def whole_ingestion(data, submission, experiments):
    measure = _ingestion(data, _model(submission), experiments, sets=1)

    def run(output):
        with output:
            measure(output.name)

    return tempfile.TemporaryDirectory, run


def _ingestion(data, model, experiments, sets):
    settings = {
        "systematics": dict.fromkeys(NAMES, True),
        "num_pseudo_experiments": experiments,
        "num_of_sets": sets,
        "ground_truth_mus": [1.5] * sets,
    }

    def run(output):
        with contextlib.redirect_stdout(io.StringIO()):
            ingestion = Ingestion(Data(str(data), test_size=0.3))
            ingestion.start_timer()
            ingestion.init_submission(model)
            ingestion.fit_submission()
            ingestion.data.load_test_set()
            ingestion.predict_submission(settings)
            ingestion.process_results_dict()
            ingestion.stop_timer()
            ingestion.save_result(output)
            ingestion.save_duration(output)
        return settings

    return run


def scoring(predictions):
    settings = json.loads((Path(predictions) / "test_settings.json").read_text(encoding="utf-8"))

    def run(output):
        with output, contextlib.redirect_stdout(io.StringIO()):
            judge = Scoring()
            judge.load_ingestion_duration(str(Path(predictions) / "ingestion_duration.json"))
            judge.load_ingestion_results(str(predictions), output.name)
            judge.compute_scores(settings)
            judge.write_scores()

    return tempfile.TemporaryDirectory, run
