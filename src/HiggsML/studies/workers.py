"""The points of a study, shared between processes."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from HiggsML.datasets.reader import Data
from HiggsML.errors import SubmissionError
from HiggsML.pseudo_experiments.store import EventStore
from HiggsML.statistics.measurements import Measurements
from HiggsML.studies.study import Point, Study, measure
from HiggsML.submission.model import load_model_class
from HiggsML.submission.value import Submission

__all__ = ["run_study_in_processes", "worthwhile_workers"]

_WORTH_A_PROCESS = 50
"""Pseudo-experiments that take about as long as a process needs to start."""

_mine: tuple[Any, EventStore] | None = None
"""The fitted Model and the test events of this process."""


def worthwhile_workers(wanted: int, *, points: int, experiments: int) -> int:
    """Return how many processes are worth their start.

    Examples
    --------
    >>> worthwhile_workers(8, points=3, experiments=1000)
    3
    >>> worthwhile_workers(8, points=3, experiments=10)
    1
    """
    return max(1, min(wanted, points, points * experiments // _WORTH_A_PROCESS))


def run_study_in_processes(
    model: Any,
    *,
    submission: Path,
    input_dir: Path,
    points: Sequence[Point],
    experiments: int,
    seed: int,
    workers: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Study:
    """Measure at every point; the same answers as those of one process.

    Parameters
    ----------
    model : Model
        Fitted.
    submission : Path
        The folder that it was loaded from.
    input_dir : Path
        Dataset.
    points : sequence of Point
        The truths.
    experiments : int
        Pseudo-experiments at each.
    seed : int
        Root of all randomness.
    workers : int
        Processes.
    progress : callable
        Called with (pseudo-experiments done, pseudo-experiments in all) after every point.

    Raises
    ------
    SubmissionError
        If the fitted Model can not be pickled.

    Examples
    --------
    >>> run_study_in_processes(                             # doctest: +SKIP
    ...     model, submission=Path("mine"), input_dir=Path("input_data"),
    ...     points=grid([1.0]), experiments=1000, seed=1, workers=8,
    ... )
    """
    try:
        state = pickle.dumps(model)
    except Exception as error:  # whatever a participant's __reduce__ raises
        raise SubmissionError(
            f"the fitted Model can not be pickled ({error}): use --workers 1"
        ) from error
    measured: dict[int, Measurements] = {}
    total = len(points) * experiments
    with ProcessPoolExecutor(
        workers, get_context("spawn"), _begin, (submission, input_dir, state)
    ) as pool:
        places = {
            pool.submit(_measure, point, experiments, seed, index): index
            for index, point in enumerate(points)
        }
        progress(0, total)
        try:
            for future in as_completed(places):
                measured[places[future]] = future.result()
                progress(len(measured) * experiments, total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return Study(tuple(points), tuple(measured[index] for index in range(len(points))), seed)


def _begin(submission: Path, input_dir: Path, state: bytes) -> None:
    global _mine
    load_model_class(Submission.of(submission).model_file)
    _mine = pickle.loads(state), EventStore.from_data(Data(input_dir))  # noqa: S301 (our own)


def _measure(point: Point, experiments: int, seed: int, index: int) -> Measurements:
    assert _mine is not None  # noqa: S101 (_begin came first)
    return measure(*_mine, point, experiments=experiments, seed=seed, index=index)
