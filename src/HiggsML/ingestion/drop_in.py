"""The reference implementation's interface to an ingestion."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from HiggsML.datasets.reader import Data
from HiggsML.errors import PredictionError, SettingsError, SubmissionError
from HiggsML.files import folder_path, whole_file
from HiggsML.pseudo_experiments.seeds import (
    Purpose,
    draw_order,
    experiment_nuisances,
    seed_sequence,
)
from HiggsML.pseudo_experiments.store import EventStore
from HiggsML.results import Answer, required, write_duration
from HiggsML.submission.model import check_prediction, make_model
from HiggsML.systematics import DEFAULT_SEED, systematics
from HiggsML.timer import Timer

__all__ = ["DEFAULT_INGESTION_SEED", "Ingestion"]

DEFAULT_INGESTION_SEED = DEFAULT_SEED
"""Seed of :meth:`Ingestion.predict_submission`."""

_BOTH_SPELLINGS = {"p16": ("p16", "p16s"), "p84": ("p84", "p84s")}  # the bundle's, the package's


class Ingestion(Timer):
    """The reference implementation's interface: a Model in this process, step by step.

    The Model's code runs here without any isolation: use it for code that you trust, and
    :func:`HiggsML.ingestion.run_ingestion` for any other.

    Parameters
    ----------
    data : Data
        The dataset. Anything with ``load_train_set``, ``get_train_set``, ``delete_train_set`` and
        ``get_test_set`` will do.

    Attributes
    ----------
    results_dict : dict
        After :meth:`predict_submission` a list of answers per set; after
        :meth:`process_results_dict` a dict of lists per set.

    Examples
    --------
    >>> ingestion = Ingestion(data)
    >>> ingestion.init_submission(Model)
    >>> ingestion.fit_submission()
    >>> settings = {"num_of_sets": 1, "num_pseudo_experiments": 2, "ground_truth_mus": {0: 1.0}}
    >>> ingestion.predict_submission({**settings, "systematics": {"tes": True}})
    >>> ingestion.process_results_dict()
    >>> ingestion.results_dict[0]["mu_hats"]
    [1.0, 1.0]
    """

    def __init__(self, data: Data | None = None) -> None:
        super().__init__()
        if isinstance(data, (str, Path)):
            raise SettingsError(
                f"Ingestion takes the dataset itself: Ingestion(Data({str(data)!r}))"
            )
        self.data: Any = data
        self.model: Any = None
        self.results_dict: dict[int, Any] = {}

    def save_duration(self, output_dir: str | Path) -> None:
        """Write ``ingestion_duration.json`` (fractional minutes)."""
        duration = self.get_duration()
        if duration is None:
            raise SettingsError("call start_timer and stop_timer before save_duration")
        write_duration(Path(output_dir), duration.total_seconds())

    def load_train_set(self, **kwargs: Any) -> pd.DataFrame:
        """Load and return training events; see :meth:`HiggsML.datasets.Data.load_train_set`."""
        self._data().load_train_set(**kwargs)
        frame: pd.DataFrame = self._data().get_train_set()
        return frame

    def init_submission(self, Model: type, model_type: str = "sample_model") -> None:  # noqa: N803
        """Build the Model; ``model_type`` is passed on if the Model accepts it."""
        self.model = make_model(Model, self.load_train_set, systematics, model_type=model_type)
        self._data().delete_train_set()

    def fit_submission(self) -> None:
        """Fit the Model."""
        self._model().fit()

    def predict_submission(
        self, test_settings: Mapping[str, Any], initial_seed: int = DEFAULT_INGESTION_SEED
    ) -> None:
        """Have the Model measure every pseudo-experiment, in random order.

        Events are those that ``data.get_test_set()`` returns; if it returns None, those of the
        file.

        Parameters
        ----------
        test_settings : mapping
            ``num_of_sets``, ``num_pseudo_experiments``, ``systematics`` (name to bool) and
            ``ground_truth_mus`` (by set index).
        initial_seed : int
            Seed of order, nuisances and events.

        Raises
        ------
        PredictionError
            If an answer is no dict. One with numbers that a judged run would refuse is stored as it
            is, with a warning.
        """
        model = self._model()
        truth, n_experiments, enabled = _settings(test_settings)
        seed, n_sets = _whole(initial_seed, "initial_seed"), len(truth)
        store = self._event_store()
        self.results_dict = {index: [] for index in range(n_sets)}
        for task in draw_order(seed, n_sets, n_experiments):
            experiment = store.pseudo_experiment(
                mu=truth[task[0]],
                nuisances=experiment_nuisances(seed, *task, enabled),
                seed=seed_sequence(seed, Purpose.EVENTS, *task),
            )
            answer = _stored(model.predict(experiment), task)
            self.results_dict[task[0]].append({**answer, "test_set_index": task[1]})

    def process_results_dict(self) -> None:
        """Turn the answers of each set into lists in the order of its pseudo-experiments.

        Further answers of the Model, such as ``tes_hat``, become lists too (``tes_hats``).
        """
        self.results_dict = {
            index: answers if isinstance(answers, dict) else _as_lists(answers)
            for index, answers in self.results_dict.items()
        }

    compute_result = process_results_dict

    def save_result(self, output_dir: str | Path) -> None:
        """Write one ``result_{set}.json`` per set, with all answers."""
        folder = folder_path(output_dir, "output_dir")
        if not self.results_dict:
            warnings.warn("no results yet: call predict_submission first", stacklevel=2)
        self.process_results_dict()
        for index, lists in self.results_dict.items():
            with whole_file(folder / f"result_{index}.json") as file:
                file.write((json.dumps(lists, indent=2, default=_as_json) + "\n").encode())

    def _data(self) -> Any:
        if self.data is None:
            raise SettingsError("Ingestion needs a Data object")
        return self.data

    def _event_store(self) -> EventStore:
        data = self._data()
        test_set = data.get_test_set()
        if test_set is None and not isinstance(data, Data):
            data.load_test_set()
            test_set = data.get_test_set()
        return EventStore.from_data(data) if test_set is None else EventStore.from_frames(test_set)

    def _model(self) -> Any:
        if self.model is None:
            raise SubmissionError("call init_submission first")
        return self.model


def _whole(value: Any, name: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise SettingsError(f"{name} must be a whole number, not {value!r}") from error


def _settings(test_settings: Mapping[str, Any]) -> tuple[list[float], int, Mapping[str, bool]]:
    """Return true mu of each set, pseudo-experiments per set, and which nuisances are drawn."""
    truth = required(test_settings, "ground_truth_mus")
    n_sets = _whole(required(test_settings, "num_of_sets"), "num_of_sets")
    enabled = required(test_settings, "systematics")
    if not isinstance(enabled, Mapping):
        raise SettingsError(f"systematics must say True or False by name, not {enabled!r}")
    name = "num_pseudo_experiments"
    n_experiments = _whole(required(test_settings, name), name)
    try:
        return [float(truth[index]) for index in range(n_sets)], n_experiments, enabled
    except (LookupError, TypeError, ValueError) as error:
        raise SettingsError(
            f"ground_truth_mus must hold a number for each of {n_sets} sets, got {truth!r}"
        ) from error


def _stored(answer: Any, task: tuple[int, int]) -> dict[str, Any]:
    """Return an answer with its four numbers as floats where they are valid, and warn of others."""
    if not isinstance(answer, Mapping):
        check_prediction(answer)
    stored, remark = dict(answer), ""
    try:
        stored |= check_prediction(answer)._asdict()
        if stored["p16"] > stored["p84"]:
            remark = "predict returned p16 above p84, which scoring counts as a miss"
    except PredictionError as error:
        remark = f"{error}; the answer is stored as it is, but a judged run would end here"
    if remark:
        warnings.warn(f"set {task[0]}, pseudo-experiment {task[1]}: {remark}", stacklevel=3)
    return stored


def _as_lists(answers: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return lists by the plural of the answers' keys; one that is missing is left out of all."""
    ordered = sorted(answers, key=lambda answer: int(answer["test_set_index"]))
    keys = list(dict.fromkeys(key for answer in ordered for key in answer))
    lists: dict[str, list[Any]] = {}
    for key in sorted(keys, key=lambda name: name not in Answer._fields):
        if key == "test_set_index":
            continue
        plural = key if key.endswith("s") else f"{key}s"
        values = [answer.get(key) for answer in ordered]
        for name in _BOTH_SPELLINGS.get(key, (plural,)):
            lists[name] = values
    return lists


def _as_json(value: Any) -> Any:
    """Return NumPy's numbers and arrays, and anything else, as JSON knows them."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)
