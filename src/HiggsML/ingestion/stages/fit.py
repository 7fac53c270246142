"""Second stage: import and fit the Model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from HiggsML.ingestion.stages.processes import fit_in
from HiggsML.ingestion.stages.state import Run

__all__ = ["fit"]


def fit(run: Run) -> None:
    """Import and fit the Model, and take its state if another process will need it."""
    run.progress("import", 0, 1)
    began = time.monotonic()

    def imported() -> None:
        run.progress("import", 1, 1)
        run.progress("fit", 0, 1)

    with _preloaded(run):
        fit_in(run.sandbox, run, imported=imported)
    run.fit_seconds = time.monotonic() - began
    run.progress("fit", 1, 1)
    options = run.options
    if options.repeatable != "off" or options.scheduler is not None or run.worker_sandboxes:
        run.model_state = run.sandbox.state(timeout=run.seconds_left())
    run.checkpoint.start()


@contextmanager
def _preloaded(run: Run) -> Iterator[None]:
    """Have the workers import the submission meanwhile; a failure shows in what comes after."""
    with ThreadPoolExecutor(max(1, len(run.worker_sandboxes))) as pool:
        for worker in run.worker_sandboxes:
            pool.submit(worker.preload, timeout=run.seconds_left())
        try:
            yield
        except BaseException:
            for worker in run.worker_sandboxes:
                worker.kill()
            raise
