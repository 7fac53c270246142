"""What is measured of this implementation; see ``measure.py``."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from HiggsML.datasets import Data
from HiggsML.derived_quantities import DER_data
from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.pseudo_experiments import EventStore
from HiggsML.schema import FEATURES, NUISANCES, PRI_COLUMNS
from HiggsML.score import run_scoring
from HiggsML.systematics import systematics

SHIFTS = {"tes": 1.002, "jes": 0.998, "soft_met": 1.5}
RATES = {"ttbar_scale": 1.01, "diboson_scale": 0.9, "bkg_scale": 1.001}


def nothing():
    """Prepare nothing."""


def open_test_set(data):
    return nothing, lambda _: EventStore.from_data(Data(data, 1.0))


def pseudo_experiment(data, threads=1, keep=False):
    """Blocks that are kept are not used again: each experiment then gets fresh memory."""
    store = EventStore.from_data(Data(data, 1.0))
    seeds = iter(range(1000))
    kept = []

    def run(seed):
        made = store.pseudo_experiment(mu=1.5, nuisances=SHIFTS | RATES, seed=seed, threads=threads)
        if keep:
            kept.append(made)
        return made

    return lambda: next(seeds), run


def limit(data, fresh=False):
    """The least that a pseudo-experiment has to do: gather its rows, write its output."""
    n_events = 1_050_000
    store = EventStore.from_data(Data(data, 1.0))
    rows = np.zeros((len(store), len(PRI_COLUMNS)), dtype=np.float32)
    rows += 1.0  # touched
    source = np.ones((len(FEATURES), n_events), dtype=np.float32)
    output = np.ones_like(source)  # touched: the memory of a block that is used again
    indices = np.random.default_rng(1).integers(len(rows), size=n_events)
    gathered = np.empty((n_events, rows.shape[1]), dtype=np.float32)

    def run(_):
        rows.take(indices, axis=0, out=gathered, mode="clip")
        if fresh:
            return source.copy()
        np.copyto(output, source)
        return None

    return nothing, run


def command(arguments):
    """Run ``higgsml`` in a new process, results in a new directory where OUTPUT stands."""

    def run(output):
        with output:
            filled = [a.replace("OUTPUT", f"{output.name}/out") for a in arguments]
            done = subprocess.run(
                [sys.executable, "-m", "HiggsML", *filled], capture_output=True, text=True
            )
            if done.returncode:
                raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])

    return tempfile.TemporaryDirectory, run


def _frame(data, rows):
    return pd.read_parquet(next(Path(data).glob("*.parquet"))).iloc[:rows].copy()


def shifted_frame(data, rows):
    frame = _frame(data, rows)
    return frame.copy, lambda events: systematics(events, **SHIFTS, seed=1)


def derived_frame(data, rows):
    frame = _frame(data, rows)
    return frame.copy, DER_data


def training_set(data):
    return lambda: Data(data, 0.3), lambda one: one.load_train_set()


def whole_ingestion(data, submission, experiments, workers):
    def run(output):
        with output:
            run_ingestion(
                IngestionOptions(
                    input_dir=Path(data),
                    submission=Path(submission),
                    output=Path(output.name) / "out",
                    num_of_sets=1,
                    num_pseudo_experiments=experiments,
                    systematics=dict.fromkeys(NUISANCES, True),
                    seed=1,
                    workers=workers,
                )
            )

    return tempfile.TemporaryDirectory, run


def scoring(predictions):
    def run(output):
        with output:
            run_scoring(Path(predictions), Path(output.name))

    return tempfile.TemporaryDirectory, run
