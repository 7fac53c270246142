"""The judged form of an ingestion: the submission runs in processes of its own."""

from __future__ import annotations

import logging
import os
import platform
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from HiggsML.datasets.identity import data_identity
from HiggsML.datasets.reader import Data
from HiggsML.errors import BudgetError, ResultsError, SettingsError
from HiggsML.files import remove_tree
from HiggsML.ingestion.checkpoint import (
    Checkpoint,
    RunIdentity,
    begin,
    checkpoint_path,
    exposed_to_submission,
)
from HiggsML.ingestion.identity import package_version, software_identity, submission_identity
from HiggsML.ingestion.options import IngestionOptions
from HiggsML.ingestion.workers import (
    Answer,
    DaskCluster,
    Draws,
    Executor,
    LocalProcesses,
    Task,
    ThisProcess,
    Worker,
    WorkerSettings,
    check_cluster,
    deadline_in,
    seconds_left,
)
from HiggsML.isolation.cage.restrict import isolation_level
from HiggsML.isolation.cage.system_paths import opening
from HiggsML.isolation.sandbox import Sandbox
from HiggsML.pseudo_experiments.seeds import draw_mu, draw_order
from HiggsML.pseudo_experiments.store import EventStore
from HiggsML.results import (
    DURATION_FILE,
    SETTINGS_FILE,
    Predictions,
    Settings,
    write_duration,
    write_predictions,
    write_settings,
)
from HiggsML.schema import NUISANCES
from HiggsML.submission.archive import unpacked
from HiggsML.submission.model import PREDICTION_KEYS, find_model

__all__ = ["run_ingestion"]

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with a stage ("fit", "predict"), and how many of how many steps are done."""

MIN_REPEATS = 20.0
"""Stored test events per expected event below which results are poor; see physics notes in
``pages/data.md``."""


def run_ingestion(options: IngestionOptions, progress: Progress | None = None) -> Settings:
    """Run a submission and write its results; nothing is written unless everything succeeds.

    Returns
    -------
    Settings
        What was run, with the true mus.

    Raises
    ------
    HiggsMLError
        If the data, the options or the submission are at fault; the message names the
        pseudo-experiment and quotes the participant's traceback.
    """
    if options.submission.is_file():
        with unpacked(options.submission) as folder:
            return run_ingestion(replace(options, submission=folder), progress)
    if options.isolation != "off":
        _refuse_overlap(options)
    started = time.monotonic()
    deadline = deadline_in(options.deadline)
    report = progress or (lambda *_: None)
    _clear(options.output, everything=options.empty_output)
    data = Data(options.input_dir, options.test_size)
    if options.scheduler is not None:
        check_cluster(options.scheduler, data, options.test_size)
    enabled = {name: bool(options.systematics.get(name, False)) for name in NUISANCES}
    with ExitStack() as stack:
        budgets = options.budgets.resolved()
        with (
            Sandbox(options.submission, isolation=options.isolation, budgets=budgets) as sandbox,
            ExitStack() as workers,
        ):
            kept = stack.enter_context(_checkpoint(options, data, enabled, sandbox.report))
            entropy = kept.entropy
            order = draw_order(entropy, options.num_of_sets, options.num_pseudo_experiments)
            todo = [task for task in map(Task._make, order) if task not in kept.answers]
            protections = dict(sandbox.report)
            stack.enter_context(_told_how_far(kept.answers, len(order), options.deadline))
            # The workers' processes import their libraries while the test events are read.
            sandboxes = workers.enter_context(_sandboxes_of_workers(options)) if todo else []
            store = EventStore.from_data(data)
            if todo:
                report("fit", 0, 1)
                sandbox.fit(data, timeout=seconds_left(deadline))
                report("fit", 1, 1)
                draws = Draws(entropy, enabled)
                here, *others = (
                    Worker(store, one, draws, deadline) for one in (sandbox, *sandboxes)
                )
                executor = _executor(options, sandbox, here, others)
                kept.start()
                with closing(executor.run(todo)) as results:
                    for task, answer in results:
                        kept.append(task, answer, kept.earlier + time.monotonic() - started)
                        report("predict", len(kept.answers), len(order))
                protections |= executor.lacking
        # Nothing of the submission runs any more.
        run = Settings(
            num_of_sets=options.num_of_sets,
            num_pseudo_experiments=options.num_pseudo_experiments,
            systematics=enabled,
            mus={index: draw_mu(entropy, index) for index in range(options.num_of_sets)},
            details=_details(options, protections, data),
            notices=tuple(_notices(store)),
        )
        try:
            write_predictions(options.output, _by_set(kept.answers, options))
            write_duration(options.output, kept.earlier + time.monotonic() - started)
            write_settings(options.output, run)  # the truth last
        except OSError as error:
            raise ResultsError(
                f"{options.output}: the results can not be written ({error.strerror}): make room"
            ) from error
        kept.remove()
    return run


def _checkpoint(
    options: IngestionOptions,
    data: Data,
    enabled: Mapping[str, bool],
    protections: Mapping[str, str],
) -> Checkpoint:
    """Return the state of the run: a fresh one, or that of the run that is to be resumed."""
    entropy = secrets.randbits(128) if options.seed is None else options.seed
    identity = RunIdentity(
        settings={
            "num_of_sets": options.num_of_sets,
            "num_pseudo_experiments": options.num_pseudo_experiments,
            "systematics": ",".join(name for name in enabled if enabled[name]) or "none",
            "seed": options.seed,
            "test_size": options.test_size,
            "isolation": options.isolation,
        },
        data=data_identity(data),
        submission=submission_identity(find_model(options.submission).parent),
        software=software_identity(),
    )
    if not options.checkpoint:
        return Checkpoint(identity, entropy)
    path = checkpoint_path(options.output)
    exposed = exposed_to_submission(path, options.submission, protections)
    if options.seed is None and exposed:  # a seed is no secret: it was on the command line
        message = f"no checkpoint without a seed: it would hold the truth, and {exposed}"
        if options.resume:
            raise SettingsError(message)
        logger.info(message)
        return Checkpoint(identity, entropy)
    return begin(path, identity, entropy, resume=options.resume)


@contextmanager
def _sandboxes_of_workers(options: IngestionOptions) -> Iterator[list[Sandbox]]:
    """Start the sandboxes that will get the fitted Model, if several workers are wanted here."""
    if options.workers == 1:
        yield []
        return
    budgets = options.budgets.resolved(workers=options.workers)
    threads = max(1, (os.cpu_count() or 1) // options.workers)
    with ExitStack() as stack:

        def start(_: int) -> Sandbox:
            sandbox = Sandbox(
                options.submission, isolation=options.isolation, threads=threads, budgets=budgets
            )
            return stack.enter_context(sandbox)

        with ThreadPoolExecutor(options.workers) as pool:
            sandboxes = list(pool.map(start, range(options.workers)))
        yield sandboxes


def _executor(
    options: IngestionOptions, sandbox: Sandbox, here: Worker, others: list[Worker]
) -> Executor:
    """Choose where to run, after the fit in ``sandbox``, with ``here`` or with all ``others``."""
    if options.scheduler is None and options.workers == 1:
        return ThisProcess(here)
    state = sandbox.state(timeout=seconds_left(here.deadline))
    if isinstance(state, str):
        logger.warning(
            "the fitted Model can not be pickled (%s): one worker makes all predictions", state
        )
        for worker in others:
            worker.kill()
        return ThisProcess(here)
    sandbox.close()
    if options.scheduler is None:
        return LocalProcesses(others, state)
    # Dask gives each of its threads one task at a time; memory is that of the worker's machine.
    settings = WorkerSettings(
        input_dir=options.input_dir,
        test_size=options.test_size,
        submission=options.submission,
        state=state,
        draws=here.draws,
        isolation=options.isolation,
        threads=1,
        deadline=here.deadline,
        budgets=options.budgets,
    )
    return DaskCluster(settings, options.scheduler)


@contextmanager
def _told_how_far(
    answers: Mapping[Task, object], total: int, deadline: float | None
) -> Iterator[None]:
    """Add to the message of an exceeded budget how far the submission came."""
    try:
        yield
    except BudgetError as error:
        how_far = f"{len(answers):,} of {total:,} predictions were done"
        if deadline is not None:
            how_far += f"; the whole run had {deadline:g} s"
        raise type(error)(f"{error} ({how_far})") from None


def _clear(output: Path, *, everything: bool) -> None:
    """Remove former results, or all that is there; links are removed, never followed."""
    if output.exists() and not output.is_dir():
        raise SettingsError(f"output {output} is not a directory: name one for the results")
    if not output.is_dir():
        return
    if everything:
        remove_tree(output, keep_top=True)
        if left := sorted(path.name for path in output.iterdir()):
            raise SettingsError(f"{output / left[0]} can not be removed: is it another user's?")
        return
    for path in output.iterdir():
        if path.name in (SETTINGS_FILE, DURATION_FILE) or path.match("result_*.json"):
            if path.is_dir() and not path.is_symlink():
                raise SettingsError(f"{path} is a directory where a result goes: remove it")
            path.unlink()


def _refuse_overlap(options: IngestionOptions) -> None:
    """Refuse a dataset, or a place for results, in a directory that the submission may read."""
    folder = find_model(options.submission).parent.resolve()
    for what, path in (("dataset", options.input_dir), ("output", options.output)):
        if path.resolve().is_relative_to(folder):
            raise SettingsError(
                f"the {what} directory {path} lies inside the submission's, {folder}, all of which "
                "the submission can read: keep them apart"
            )
        if (place := opening(path)) is not None:
            raise SettingsError(
                f"the {what} directory {path} lies in {place}, which is open to every submission "
                "(system, Python, libraries, shared memory): use another directory"
            )


def _by_set(answers: Mapping[Task, Answer], options: IngestionOptions) -> dict[int, Predictions]:
    count = range(options.num_pseudo_experiments)
    return {
        index: Predictions(
            *(np.array([answers[Task(index, j)][key] for j in count]) for key in PREDICTION_KEYS)
        )
        for index in range(options.num_of_sets)
    }


def _details(
    options: IngestionOptions, protections: Mapping[str, str], data: Data
) -> dict[str, str]:
    """Say how the run was made, for the report; nothing here helps to guess the truth."""
    missing = [name for name, state in protections.items() if state != "on"]
    if not protections:
        isolation = "off"
    else:
        isolation = f"partial, without {', '.join(missing)}" if missing else "complete"
    packages = ("numpy", "pandas", "scikit-learn", "pyarrow")
    return {
        "isolation": isolation,
        "isolation level": f"{isolation_level(protections):g}",
        "dataset": str(data.metadata.get("scenario", data.path.name)),
        "python": platform.python_version(),
        "HiggsML": package_version("higgsml-uncertainty"),
        **{name: package_version(name) for name in packages},
    }


def _notices(store: EventStore) -> list[str]:
    poor = {name: n for name, n in store.effective_repeats().items() if n < MIN_REPEATS}
    if not poor:
        return []
    listed = ", ".join(f"{name} {number:.2g}" for name, number in poor.items())
    return [
        "The test set is small: it holds fewer than "
        f"{MIN_REPEATS:.0f} simulated events per expected event ({listed}). Pseudo-experiments "
        "repeat the same events, so these scores test the software, not a method."
    ]
