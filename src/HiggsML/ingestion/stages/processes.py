"""The submission's processes, and what makes pseudo-experiments for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import cast

from HiggsML.datasets.reader import Data
from HiggsML.datasets.training_store import mapped_bytes
from HiggsML.ingestion.in_process import InThisProcess
from HiggsML.ingestion.options import IngestionOptions
from HiggsML.ingestion.stages.state import Run
from HiggsML.ingestion.workers import DaskCluster, Surroundings, ThisProcess, Worker, WorkerSettings
from HiggsML.isolation.budget.budgets import available_processors
from HiggsML.isolation.sandbox import Sandbox
from HiggsML.pseudo_experiments.seeds import model_seed
from HiggsML.submission.value import Submission

__all__ = ["cluster", "fit_in", "fitted_again", "in_one", "start_all", "start_one", "workers"]


def start_one(
    options: IngestionOptions, submission: Submission, data: Data, around: Surroundings
) -> Sandbox:
    """Start a sandbox with all of the machine for itself."""
    if options.debug:
        return cast(Sandbox, InThisProcess(submission))
    budgets = options.budgets.resolved()
    sandbox = Sandbox(
        submission,
        isolation=options.isolation,
        budgets=budgets,
        mapped_bytes=mapped_bytes(data),
        log=around.log,
    )
    around.add(sandbox)
    return sandbox


@contextmanager
def start_all(
    options: IngestionOptions, submission: Submission, around: Surroundings, count: int
) -> Iterator[list[Sandbox]]:
    """Start sandboxes that share the machine as all workers do."""
    budgets = options.budgets.resolved(workers=options.processes)
    threads = _threads_each(options.processes) if options.processes > 1 else None
    with ExitStack() as stack:

        def start(_: int) -> Sandbox:
            sandbox = Sandbox(
                submission,
                isolation=options.isolation,
                threads=threads,
                budgets=budgets,
                log=around.log,
            )
            stack.enter_context(sandbox)
            around.add(sandbox)
            return sandbox

        with ThreadPoolExecutor(max(1, count)) as pool:
            sandboxes = list(pool.map(start, range(count)))
        yield sandboxes


def fit_in(sandbox: Sandbox, run: Run, *, imported: Callable[[], None] = lambda: None) -> None:
    """Import and fit the Model there, with the seed of every fit of this run."""
    sandbox.fit(
        run.data,
        seed=model_seed(run.seed),
        timeout=run.seconds_left(),
        imported=imported,
        progress=partial(run.progress, "training"),
    )


@contextmanager
def fitted_again(run: Run) -> Iterator[ThisProcess]:
    """Fit the Model once more, in a fresh process, and give what measures with it."""
    with ExitStack() as started:
        with run.around.turn():
            sandbox = started.enter_context(
                start_one(run.options, run.submission, run.data, run.around)
            )
            fit_in(sandbox, run)
        yield in_one(run, sandbox)


def in_one(run: Run, sandbox: Sandbox) -> ThisProcess:
    """Return what measures all pseudo-experiments in the process of a fitted Model."""
    (worker,) = workers(run, [sandbox])
    return ThisProcess(worker)


def workers(run: Run, sandboxes: Sequence[Sandbox]) -> list[Worker]:
    """Return workers that make pseudo-experiments for these sandboxes, all at the same time."""
    threads = _threads_each(len(sandboxes))
    return [run.around.worker(run.store, sandbox, run.draws, threads) for sandbox in sandboxes]


def _threads_each(count: int) -> int:
    """Return the threads of each of so many that share the machine's processors."""
    return max(1, available_processors() // max(1, count))


def cluster(run: Run, model_state: bytes) -> DaskCluster:
    """Return what makes pseudo-experiments on the cluster of the option ``scheduler``."""
    options = run.options
    assert options.scheduler is not None  # noqa: S101 (the callers have looked)
    # Dask gives each of its threads one task at a time; memory is that of the worker's machine.
    settings = WorkerSettings(
        input_dir=options.input_dir,
        test_size=options.test_size,
        submission=run.submission,
        state=model_state,
        draws=run.draws,
        isolation=options.isolation,
        threads=1,
        deadline=run.deadline,
        budgets=options.budgets,
    )
    return DaskCluster(settings, options.scheduler)
