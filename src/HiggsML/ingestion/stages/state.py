"""What a run has come to between its stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial

from HiggsML.datasets.reader import Data
from HiggsML.errors import BudgetError
from HiggsML.ingestion.checkpoint import Checkpoint
from HiggsML.ingestion.options import IngestionOptions
from HiggsML.ingestion.workers import Draws, Surroundings, Task, seconds_left
from HiggsML.isolation.sandbox import Sandbox
from HiggsML.pseudo_experiments.seeds import draw_order
from HiggsML.pseudo_experiments.store import EventStore
from HiggsML.submission.value import Submission

__all__ = ["Progress", "Run"]

Progress = Callable[[str, int, int], None]
"""Called with a stage and how many of how many steps are done.

Stages are "read", "import", "fit", "predict" and "repeat"; within "fit" also "training", while the
training events of a large dataset are converted.
"""


@dataclass
class Run:
    """A run between its stages.

    Attributes
    ----------
    options : IngestionOptions
        What is run.
    progress : Progress
        Is told of each step.
    around : Surroundings
        What it has for itself, or shares with other runs.
    submission : Submission
        What is judged.
    data : Data
        The dataset.
    processes : ExitStack
        Ends the submission's processes.
    sandbox : Sandbox
        Fits the Model.
    checkpoint : Checkpoint
        The seed of the truth, and the answers so far.
    protections : dict of str to str
        Those of the submission's processes, and what each of them lacks.
    worker_sandboxes : list of Sandbox
        Get the fitted Model, if several are wanted.
    spare : Sandbox or None
        A process that has seen no pseudo-experiment, to be asked again.
    model_state : bytes or str
        The fitted Model before its first prediction, or why there is none.
    fit_seconds : float
        How long the fit has taken.
    measured : list of Task
        Pseudo-experiments that this fitted Model has measured: not those before an interruption.
    """

    options: IngestionOptions
    progress: Progress
    around: Surroundings
    submission: Submission
    data: Data
    processes: ExitStack
    sandbox: Sandbox
    checkpoint: Checkpoint
    protections: dict[str, str]
    worker_sandboxes: list[Sandbox] = field(default_factory=list)
    spare: Sandbox | None = None
    model_state: bytes | str = "nothing was fitted"
    fit_seconds: float = 0.0
    measured: list[Task] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Number of pseudo-experiments."""
        return self.options.num_of_sets * self.options.num_pseudo_experiments

    @property
    def left(self) -> int:
        """How many of them have no answer yet."""
        return self.total - len(self.checkpoint.answers)

    @property
    def seed(self) -> int:
        """Source of the truth: the option, or drawn."""
        return self.checkpoint.seed

    @property
    def draws(self) -> Draws:
        """What decides the truth of every pseudo-experiment."""
        return Draws(self.seed, self.options.enabled)

    @cached_property
    def store(self) -> EventStore:
        """The test events."""
        return self.around.store(self.data, partial(self.progress, "read"))

    @property
    def deadline(self) -> float | None:
        """When everything must have ended, on the clock of :func:`time.monotonic`."""
        return self.around.deadline

    @property
    def may_have_spare(self) -> bool:
        """Whether a process may wait here to be asked again."""
        options = self.options
        here = options.scheduler is None and not options.debug
        return here and options.repeatable != "off" and not self.around.shared

    def tasks(self) -> Iterator[Task]:
        """Yield the pseudo-experiments that have no answer yet, in random order."""
        options = self.options
        order = draw_order(self.seed, options.num_of_sets, options.num_pseudo_experiments)
        return (task for task in map(Task._make, order) if task not in self.checkpoint.answers)

    def seconds(self) -> float:
        """Return how long the run has taken, with what was before an interruption."""
        return self.checkpoint.earlier + self.around.seconds()

    def seconds_left(self) -> float | None:
        """Return the seconds until the deadline; None without one."""
        return seconds_left(self.deadline)

    @contextmanager
    def told_how_far(self) -> Iterator[None]:
        """Add to the message of an exceeded budget how far the submission came."""
        try:
            yield
        except BudgetError as error:
            how_far = f"{len(self.checkpoint.answers):,} of {self.total:,} predictions were done"
            if self.options.deadline is not None:
                how_far += f"; the whole run had {self.options.deadline:g} s"
            raise type(error)(f"{error} ({how_far})") from None
