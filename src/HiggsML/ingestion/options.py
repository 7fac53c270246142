"""What an ingestion is to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from HiggsML.errors import SettingsError
from HiggsML.isolation.budget.budgets import Budgets
from HiggsML.isolation.sandbox import IsolationMode
from HiggsML.schema import NUISANCES

__all__ = ["IngestionOptions"]


@dataclass(frozen=True)
class IngestionOptions:
    """What to run.

    Attributes
    ----------
    input_dir, submission, output : Path
        Dataset, directory (or zip file) with ``model.py``, and where results go.
    num_of_sets, num_pseudo_experiments : int
        Sets (one true mu each) and pseudo-experiments in each.
    systematics : mapping of str to bool
        Which nuisance parameters vary; an absent name means no.
    seed : int, optional
        Makes a run repeatable. Without it, truth and events come from the operating system's
        entropy, as they must in a competition.
    workers : int
        Processes that make pseudo-experiments, each with a submission of its own.
    scheduler : str, optional
        Address of a Dask scheduler, whose cluster then makes them.
    deadline : float, optional
        Seconds for the whole ingestion; for this part of it, when one is resumed.
    isolation : {"require", "prefer", "off"}
        See :class:`HiggsML.isolation.sandbox.Sandbox`.
    test_size : float or int
        Share or number of rows of the dataset that form the test set.
    empty_output : bool
        Remove everything that is in ``output``, not only former results. The platform copies a
        submission's files there, which could pose as results.
    budgets : Budgets
        What the submission may use.
    checkpoint : bool
        Keep finished pseudo-experiments in a hidden file beside ``output`` until all are finished.
    resume : bool
        Go on with an interrupted run, if there is one. The Model is fitted again.
    """

    input_dir: Path
    submission: Path
    output: Path
    num_of_sets: int = 10
    num_pseudo_experiments: int = 100
    systematics: Mapping[str, bool] = field(default_factory=dict)
    seed: int | None = None
    workers: int = 1
    scheduler: str | None = None
    deadline: float | None = None
    isolation: IsolationMode = "prefer"
    test_size: float = 0.3
    empty_output: bool = False
    budgets: Budgets = field(default_factory=Budgets)
    checkpoint: bool = True
    resume: bool = False

    def __post_init__(self) -> None:
        for name in ("num_of_sets", "num_pseudo_experiments", "workers"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.deadline is not None and not self.deadline > 0:
            raise SettingsError(f"deadline must be positive seconds, got {self.deadline}")
        if self.seed is not None and self.seed < 0:
            raise SettingsError(f"the seed must not be negative, got {self.seed}")
        if self.scheduler is not None and self.workers > 1:
            raise SettingsError("workers and scheduler exclude each other: a cluster has its own")
        if self.resume and not self.checkpoint:
            raise SettingsError("resume needs a checkpoint, which is turned off")
        unknown = sorted(set(self.systematics) - set(NUISANCES))
        if unknown:
            raise SettingsError(f"unknown systematics {unknown}; known are {', '.join(NUISANCES)}")
