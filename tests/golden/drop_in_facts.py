"""What code that was written for the reference sees of it, as JSON.

Run by test_reference_facts.py with the reference's interpreter and with ours; only what both have
is called.

    python drop_in_facts.py DATASET_DIRECTORY OUTPUT_DIRECTORY
"""

import contextlib
import io
import json
import logging
import sys
import warnings
from pathlib import Path

import numpy as np

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")


class Model:
    """Answers with more than it must, and once in two times with swapped ends."""

    def __init__(self, get_train_set, systematics, model_type="sample_model"):
        self.train = get_train_set(train_size=30)

    def fit(self):
        pass

    def predict(self, test_set):
        weights = test_set["weights"]
        self.seen = [type(weights).__name__, str(weights.dtype), float(test_set["data"].size > 0)]
        return {"mu_hat": 1.0, "delta_mu_hat": 0.2, "p16": 1.2, "p84": 0.9, "tes_hat": 1.01}


def shifts(frame):
    from HiggsML.systematics import systematics

    labeled = frame.copy()
    labeled.index = np.random.RandomState(1).permutation(len(frame)) * 3 + 2
    facts = {}
    for cuts in (False, True):
        shifted = systematics(labeled.copy(), tes=0.97, soft_met=-1.0, dopostprocess=cuts)
        facts[f"index, cuts {cuts}"] = [int(label) for label in shifted.index]
    parts = {"data": labeled.drop(columns=["weights", "labels", "detailed_labels"])}
    parts["weights"] = np.ones(len(frame))
    result = systematics(parts, tes=np.float64(1.02), jes=np.array([0.99]), dopostprocess=False)
    facts["weights of a dict"] = [type(result["weights"]).__name__, str(result["weights"].dtype)]
    facts["index in a dict"] = [int(label) for label in result["weights"].index]
    mixed = shifted["PRI_met"] - frame["PRI_met"]
    facts["rows mixed by label"] = int(mixed.notna().sum())
    return facts


def loop(data, directory):
    from HiggsML.ingestion import Ingestion
    from HiggsML.score import Scoring

    ingestion = Ingestion(data)
    ingestion.start_timer()
    ingestion.init_submission(Model)
    ingestion.fit_submission()
    data.load_test_set()
    names = ("tes", "jes", "soft_met", "ttbar_scale", "diboson_scale", "bkg_scale")
    settings = {"systematics": dict.fromkeys(names, False), "num_of_sets": 2}
    settings |= {"num_pseudo_experiments": 3, "ground_truth_mus": [1.0, 2.0]}
    ingestion.predict_submission(settings)
    ingestion.process_results_dict()
    ingestion.save_result(directory)
    for stranger in (".DS_Store", "random_mu.json", "plot.png"):
        (Path(directory) / stranger).write_text("{}")
    scoring = Scoring()
    facts = {
        "start time is naive": ingestion.start_time.tzinfo is None,
        "seen": ingestion.model.seen,
    }
    for _ in range(2):
        scoring.load_ingestion_results(directory, directory)
        loaded = scoring.ingestion_results
        with contextlib.redirect_stdout(io.StringIO()):
            scoring.compute_scores(settings)
    facts["loaded"] = [one["tes_hats"] + one["p16s"] + one["p84s"] for one in loaded]
    scores = scoring.scores_dict
    facts["scores"] = {name: round(float(scores[name]), 4) for name in scores if scores[name]}
    return facts


def facts_of(directory, output):
    from HiggsML.datasets import Data

    data = Data(directory)
    np.random.seed(5)
    data.load_train_set(train_size=40)
    frame = data.get_train_set()
    chosen = [round(float(value), 3) for value in frame["PRI_lep_eta"]]
    data.load_train_set(selected_indices=[3, 0, 9])
    selected = [round(float(value), 3) for value in data.get_train_set()["PRI_lep_eta"]]
    data.load_train_set()
    everything = shifts(data.get_train_set())
    return {"chosen": chosen, "selected": selected, **everything, **loop(data, output)}


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        found = facts_of(*sys.argv[1:])
    print(json.dumps(found))
