"""The reference implementation's interface to an ingestion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from HiggsML.datasets.reader import Data
from HiggsML.errors import SettingsError, SubmissionError
from HiggsML.pseudo_experiments.seeds import (
    Purpose,
    draw_order,
    experiment_nuisances,
    seed_sequence,
)
from HiggsML.pseudo_experiments.store import EventStore
from HiggsML.results import Predictions, write_duration, write_predictions
from HiggsML.submission.model import PREDICTION_KEYS, check_prediction, make_model
from HiggsML.systematics import DEFAULT_SEED, systematics
from HiggsML.timer import Timer

__all__ = ["Ingestion"]


class Ingestion(Timer):
    """The reference implementation's interface: a Model in this process, step by step.

    Parameters
    ----------
    data : Data
        The dataset.

    Attributes
    ----------
    results_dict : dict
        After :meth:`predict_submission` a list of answers per set; after
        :meth:`process_results_dict` a dict of lists per set.
    """

    def __init__(self, data: Data | None = None) -> None:
        super().__init__()
        self.data = data
        self.model: Any = None
        self.results_dict: dict[int, Any] = {}

    def save_duration(self, output_dir: str | Path) -> None:
        """Write ``ingestion_duration.json`` (fractional minutes)."""
        duration = self.get_duration()
        if duration is None:
            raise SettingsError("call start_timer and stop_timer before save_duration")
        write_duration(Path(output_dir), duration.total_seconds())

    def load_train_set(self, **keywords: Any) -> pd.DataFrame:
        """Load and return training events; see :meth:`HiggsML.datasets.Data.load_train_set`."""
        self._data().load_train_set(**keywords)
        frame = self._data().get_train_set()
        assert frame is not None  # noqa: S101 (just loaded)
        return frame

    def init_submission(self, Model: type, model_type: str = "sample_model") -> None:  # noqa: N803
        """Build the Model; ``model_type`` is passed on if the Model accepts it."""
        self.model = make_model(Model, self.load_train_set, systematics, model_type=model_type)
        self._data().delete_train_set()

    def fit_submission(self) -> None:
        """Fit the Model."""
        self._model().fit()

    def predict_submission(
        self, test_settings: Mapping[str, Any], initial_seed: int = DEFAULT_SEED
    ) -> None:
        """Have the Model measure every pseudo-experiment, in random order.

        Parameters
        ----------
        test_settings : mapping
            ``num_of_sets``, ``num_pseudo_experiments``, ``systematics`` (name to bool) and
            ``ground_truth_mus`` (by set index).
        initial_seed : int
            Seed of order, nuisances and events.
        """
        model, truth = self._model(), test_settings["ground_truth_mus"]
        n_sets = int(test_settings["num_of_sets"])
        n_experiments = int(test_settings["num_pseudo_experiments"])
        store = EventStore.from_data(self._data())
        self.results_dict = {index: [] for index in range(n_sets)}
        for task in draw_order(initial_seed, n_sets, n_experiments):
            experiment = store.pseudo_experiment(
                mu=float(truth[task[0]]),
                nuisances=experiment_nuisances(initial_seed, *task, test_settings["systematics"]),
                seed=seed_sequence(initial_seed, Purpose.EVENTS, *task),
            )
            answer = check_prediction(model.predict(experiment))
            self.results_dict[task[0]].append({**answer, "test_set_index": task[1]})

    def process_results_dict(self) -> None:
        """Turn the answers of each set into lists in the order of its pseudo-experiments."""
        for index, answers in self.results_dict.items():
            ordered = sorted(answers, key=lambda answer: int(answer["test_set_index"]))
            lists = {key: [answer[key] for answer in ordered] for key in PREDICTION_KEYS}
            self.results_dict[index] = {
                "mu_hats": lists["mu_hat"],
                "delta_mu_hats": lists["delta_mu_hat"],
                # Both forms of the reference implementation are served.
                **dict.fromkeys(("p16", "p16s"), lists["p16"]),
                **dict.fromkeys(("p84", "p84s"), lists["p84"]),
            }

    compute_result = process_results_dict

    def save_result(self, output_dir: str | Path) -> None:
        """Write one ``result_{set}.json`` per set."""
        for record in Path(output_dir).glob("ingestion_record*.json"):
            record.unlink()  # of a judged run, whose results are replaced now
        write_predictions(
            Path(output_dir),
            {
                index: Predictions(
                    *(np.array(lists[key]) for key in ("mu_hats", "delta_mu_hats", "p16", "p84"))
                )
                for index, lists in self.results_dict.items()
            },
        )

    def _data(self) -> Data:
        if self.data is None:
            raise SettingsError("Ingestion needs a Data object")
        return self.data

    def _model(self) -> Any:
        if self.model is None:
            raise SubmissionError("call init_submission first")
        return self.model
