"""Before a participant submits: is it packed right, would it run, and how long would it take.

Examples
--------
>>> from HiggsML.codabench.trial_run import clock
>>> clock(135)
'2 min 15 s'
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from HiggsML.codabench.bundle.tree import Tree, write_zip
from HiggsML.codabench.rules.submission import check_layout
from HiggsML.errors import SubmissionError
from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.schema import NUISANCES
from HiggsML.score import run_scoring
from HiggsML.submission.layout import read_folder

__all__ = ["Timing", "clock", "pack", "trial_run"]

FULL_SIZE = 1000
"""Pseudo-experiments of a submission on the platform."""
WORKERS = 2
"""Processes that predict there."""
DEADLINE = 540.0
"""Seconds that training and predictions have there."""

_SAFE_SHARE = 0.7  # of the deadline: the platform's machine may be slower


@dataclass(frozen=True)
class Timing:
    """Seconds that a trial took, and what the whole would take.

    Attributes
    ----------
    fit : float
        Loading and training, start-up included.
    predict : float
        One pseudo-experiment: making and measuring it.
    full : float
        A whole submission on the platform, if its machine is as fast as this one.
    scores : dict of str to float
        Of the trial; too few pseudo-experiments to mean anything.
    """

    fit: float
    predict: float
    full: float
    scores: dict[str, float]

    @property
    def verdict(self) -> str:
        """One sentence about the time."""
        text = (
            f"training {clock(self.fit)}, then {self.predict:.2f} s for each pseudo-experiment: "
            f"about {clock(self.full)} for all {FULL_SIZE} with {WORKERS} workers, "
            f"of {clock(DEADLINE)}"
        )
        if self.full > DEADLINE:
            return f"Too slow: {text}"
        if self.full > _SAFE_SHARE * DEADLINE:
            return f"Tight (the platform's machine may be slower): {text}"
        return f"In time: {text}"


def trial_run(
    path: Path,
    input_dir: Path,
    *,
    experiments: int = 6,
    seed: int | None = None,
    isolation: str = "prefer",
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Timing:
    """Run a submission on a few pseudo-experiments and say how long all would take.

    Parameters
    ----------
    path : Path
        The directory or zip.
    input_dir : Path
        Dataset.
    experiments : int
        Pseudo-experiments, in two sets.
    seed : int, optional
        Makes the trial repeatable.
    isolation : {"require", "prefer", "off"}
        As in :func:`HiggsML.ingestion.run_ingestion`.
    progress : callable
        Called with a stage, and how many of how many steps of it are done.

    Raises
    ------
    SubmissionError
        If the submission fails; the message quotes its traceback.
    """
    marks: list[float] = []  # the end of the fit, then that of every prediction

    def told(stage: str, done: int, total: int) -> None:
        if done and stage in ("fit", "predict"):
            marks.append(time.monotonic())
        progress(stage, done, total)

    with tempfile.TemporaryDirectory(prefix="higgsml-check-") as temporary:
        predictions, scores = Path(temporary, "predictions"), Path(temporary, "scores")
        started = time.monotonic()
        run_ingestion(
            IngestionOptions(
                input_dir=input_dir,
                submission=path,
                output=predictions,
                num_of_sets=2,
                num_pseudo_experiments=max(1, (experiments + 1) // 2),
                systematics=dict.fromkeys(NUISANCES, True),
                seed=seed,
                workers=1,
                isolation=isolation,  # type: ignore[arg-type]
            ),
            told,
        )
        written = run_scoring(predictions, scores)
    fitted, first, *later = marks
    # The first prediction warms caches up, so it counts only where it is the only one.
    predict = (later[-1] - first) / len(later) if later else first - fitted
    fit = fitted - started
    return Timing(fit, predict, fit + FULL_SIZE * predict / WORKERS, written)


def pack(directory: Path, output: Path) -> list[str]:
    """Write a submission's zip with ``model.py`` at its top, and return the names of its files.

    Raises
    ------
    SubmissionError
        If there is no model.py, or the zip would be refused.
    """
    layout = read_folder(directory)
    layout.check(directory)
    for finding in check_layout(directory):
        # What is installed here tells nothing of the image in which the zip will run.
        if finding.severity == "error" and finding.rule != "import":
            raise SubmissionError(str(finding))
    files = dict(layout.own)
    folder = (directory / layout.folder).resolve()
    if output.resolve().is_relative_to(folder):
        files.pop(output.resolve().relative_to(folder).as_posix(), None)
    write_zip(Tree(files), output)
    return list(files)


def clock(seconds: float) -> str:
    """Return seconds as people say them."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
