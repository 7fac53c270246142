"""What examples in docstrings may use without making it: a tiny dataset and what comes of it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from HiggsML.datasets import Data
from HiggsML.derived_quantities import DER_data
from HiggsML.four_lepton import SAMPLES
from HiggsML.four_lepton.events import four_lepton_events
from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.pseudo_experiments import EventStore
from HiggsML.results import load_predictions
from HiggsML.submission.model import load_model_class
from HiggsML.systematics import systematics

MODEL = '''
class Model:
    """Answers the same to every question."""

    def __init__(self, get_train_set, systematics):
        pass

    def fit(self):
        pass

    def predict(self, test_set):
        return {"mu_hat": 1.0, "delta_mu_hat": 0.5, "p16": 0.5, "p84": 1.5}
'''

EVENT = {
    "PRI_lep_pt": 30.0,
    "PRI_lep_eta": 0.5,
    "PRI_lep_phi": 0.0,
    "PRI_had_pt": 40.0,
    "PRI_had_eta": 1.0,
    "PRI_had_phi": 3.0,
    "PRI_jet_leading_pt": 60.0,
    "PRI_jet_leading_eta": 2.0,
    "PRI_jet_leading_phi": -1.0,
    "PRI_jet_subleading_pt": 35.0,
    "PRI_jet_subleading_eta": -1.5,
    "PRI_jet_subleading_phi": 2.0,
    "PRI_n_jets": 2,
    "PRI_jet_all_pt": 95.0,
    "PRI_met": 20.0,
    "PRI_met_phi": 1.0,
}


def doctest_names(folder, events):
    """Return the names, and put a dataset, a submission and a run into ``folder``.

    ``events`` are those of the dataset, as tests/conftest.py makes them.
    """
    (folder / "dataset").mkdir()
    DER_data(events).to_parquet(folder / "dataset" / "events.parquet", index=False)
    metadata = {"total_rows": len(events), "columns": list(events), "sum_weights": 400.0}
    (folder / "dataset" / "events_metadata.json").write_text(json.dumps(metadata))
    (folder / "submission").mkdir()
    (folder / "submission" / "model.py").write_text(MODEL.lstrip())
    settings = run_ingestion(
        IngestionOptions(
            *(folder / name for name in ("dataset", "submission", "run/predictions")),
            num_of_sets=2,
            num_pseudo_experiments=5,
            seed=7,
            isolation="off",
            repeatable="off",
            checkpoint=False,
            debug=True,
        )
    )
    data = Data(folder / "dataset")
    data.load_train_set()
    data.load_test_set()
    model_class = load_model_class(folder / "submission" / "model.py")
    return {
        "np": np,
        "pd": pd,
        "Path": Path,
        "folder": folder,
        "data": data,
        "events": data.get_train_set(),
        "event": pd.DataFrame([EVENT]),
        "test_set": data.get_test_set(),
        "store": EventStore.from_data(data),
        "systematics": systematics,
        "Model": model_class,
        "model": model_class(None, systematics),
        "predictions": load_predictions(folder / "run" / "predictions", settings),
        "mus": settings.mus,
        "four_leptons": {name: four_lepton_events(name, 200, seed=1) for name in SAMPLES},
    }
