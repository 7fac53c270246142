"""Third stage: have the fitted Model measure every pseudo-experiment."""

from __future__ import annotations

import logging
from contextlib import closing

from HiggsML.errors import SubmissionError
from HiggsML.ingestion.stages.processes import cluster, fitted_again, in_one, workers
from HiggsML.ingestion.stages.state import Run
from HiggsML.ingestion.workers import Executor, LocalProcesses

__all__ = ["measure"]

logger = logging.getLogger(__name__)


def measure(run: Run) -> None:
    """Collect an answer to every pseudo-experiment that has none yet."""
    executor = _executor(run)
    try:
        _collect(run, executor)
    except SubmissionError as error:
        # Files that fit has saved beside model.py come along with the Model; others do not.
        signs = ("FileNotFoundError", "PermissionError", "Read-only file system")
        closed = any(sign in str(error) for sign in signs)
        lost = closed and isinstance(executor, LocalProcesses)
        if run.measured or not lost:
            raise
        logger.warning(
            "only the process that has fitted the Model finds its files (save them beside "
            "model.py): one worker makes all predictions"
        )
        with fitted_again(run) as one_process:
            _collect(run, one_process)
    for sandbox in (run.sandbox, *run.worker_sandboxes):
        if sandbox is not run.spare and not run.options.debug:
            sandbox.close()


def _collect(run: Run, executor: Executor) -> None:
    with closing(executor.run(run.tasks())) as results:
        for task, answer in results:
            run.checkpoint.append(task, answer, run.seconds())
            run.measured.append(task)
            run.progress("predict", len(run.checkpoint.answers), run.total)
    run.protections |= executor.lacking


def _executor(run: Run) -> Executor:
    """Choose where to run after the fit: in its process, in several others, or on a cluster."""
    others = run.worker_sandboxes
    if run.options.scheduler is None and not others:
        return in_one(run, run.sandbox)
    if isinstance(run.model_state, str):
        logger.warning(
            "the fitted Model can not be pickled (%s): one worker makes all predictions",
            run.model_state,
        )
        for sandbox in others:
            sandbox.kill()
        return in_one(run, run.sandbox)
    if run.spare is None and others and run.options.repeatable != "off" and run.sandbox.is_small():
        run.sandbox.pause()  # it has seen no pseudo-experiment, and must see nothing of the workers
        run.spare = run.sandbox
    else:
        run.sandbox.close()
    if not others:
        return cluster(run, run.model_state)
    return LocalProcesses(workers(run, others), run.model_state)
