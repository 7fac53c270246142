"""A submission in this process, for a debugger: what a sandbox does, without any protection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from HiggsML.datasets.cached_file import Progress
from HiggsML.datasets.reader import Data, TrainSet
from HiggsML.isolation.inside.generators import held_generators, seed_generators
from HiggsML.pseudo_experiments.store import features_frame, unit_weights
from HiggsML.results import Answer
from HiggsML.schema import FEATURES
from HiggsML.submission.model import answer_of, check_calls, load_model_class, make_model
from HiggsML.submission.value import Submission
from HiggsML.systematics import systematics

__all__ = ["InThisProcess"]


class InThisProcess:
    """Has the methods of :class:`HiggsML.isolation.sandbox.Sandbox`; errors pass through.

    Parameters
    ----------
    submission : Submission
        Its ``model.py`` is imported here.
    """

    def __init__(self, submission: Submission) -> None:
        self.report: dict[str, str] = {}
        self._model_file: Path = submission.model_file
        self._blocks: dict[int, NDArray[np.float32]] = {}
        self._model: Any = None
        self._generators: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """There is no process to end."""

    def fit(
        self,
        data: Data,
        *,
        seed: int = 0,
        timeout: float | None = None,
        imported: Callable[[], None] = lambda: None,
        progress: Progress | None = None,
    ) -> None:
        """Import the submission, build its Model and fit it."""
        seed_generators(seed, ())
        loaded = load_model_class(self._model_file)
        imported()
        self._model = make_model(loaded, TrainSet(data), systematics)
        check_calls(self._model)
        self._model.fit()
        self._generators = held_generators(self._model, self._model_file.parent)

    def block(self, n_events: int, number: int = 0) -> NDArray[np.float32]:
        """Return memory of shape (28, n_events) to fill for :meth:`predict`."""
        self._blocks[number] = np.empty((len(FEATURES), n_events), dtype=np.float32)
        return self._blocks[number]

    def predict(
        self, n_events: int, number: int = 0, *, seed: int = 0, timeout: float | None = None
    ) -> Answer:
        """Have the Model measure the events in :meth:`block`."""
        seed_generators(seed, self._generators)
        test_set = {
            "data": features_frame(self._blocks[number]),
            "weights": unit_weights(n_events),
        }
        return answer_of(self._model, test_set)

    def kill(self) -> None:
        """There is no process to end."""

    close = kill
