"""First stage: take the output, open the dataset and start the submission's processes."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from contextlib import ExitStack

from HiggsML.datasets.identity import data_identity
from HiggsML.datasets.reader import Data
from HiggsML.errors import SettingsError
from HiggsML.ingestion.checkpoint import (
    Checkpoint,
    RunIdentity,
    begin,
    checkpoint_path,
    exposed_to_submission,
)
from HiggsML.ingestion.identity import software_identity
from HiggsML.ingestion.options import IngestionOptions
from HiggsML.ingestion.output import reserved
from HiggsML.ingestion.stages.processes import start_all, start_one
from HiggsML.ingestion.stages.state import Progress, Run
from HiggsML.ingestion.workers import Surroundings, check_cluster
from HiggsML.isolation.cage.system_paths import opening
from HiggsML.isolation.sandbox import check_system, not_enforced
from HiggsML.seal import Recorder
from HiggsML.submission.value import Submission

__all__ = ["prepare"]

logger = logging.getLogger(__name__)


def prepare(
    options: IngestionOptions,
    submission: Submission,
    progress: Progress,
    held: ExitStack,
    recorder: Recorder,
    around: Surroundings,
) -> Run:
    """Return a run that can begin; ``held`` ends what it holds."""
    progress("read", 0, 1)
    check_system()
    if problem := not_enforced():
        logger.warning("%s", problem)
    if options.isolation != "off":
        _refuse_overlap(options, submission)
    data = Data(options.input_dir, options.test_size)
    held.enter_context(reserved(options.output, empty=options.empty_output))
    recorder.begin()
    if options.scheduler is not None:
        check_cluster(options.scheduler, data, options.test_size)
    processes = held.enter_context(ExitStack())
    sandbox = processes.enter_context(start_one(options, submission, data, around))
    run = Run(
        options=options,
        progress=progress,
        around=around,
        submission=submission,
        data=data,
        processes=processes,
        sandbox=sandbox,
        checkpoint=held.enter_context(_checkpoint(options, submission, data, sandbox.report)),
        protections=dict(sandbox.report),
    )
    if run.left:
        run.checkpoint.prepare()
        _start_others(run)
    _ = run.store  # the processes import their libraries while the test events are read
    progress("read", 1, 1)
    return run


def _start_others(run: Run) -> None:
    """Start the processes that the fitted Model goes to, or one that is asked again."""
    options = run.options
    if options.processes > 1:
        run.worker_sandboxes = run.processes.enter_context(
            start_all(options, run.submission, run.around, options.processes)
        )
    elif run.may_have_spare:
        run.spare = run.processes.enter_context(
            start_one(options, run.submission, run.data, run.around)
        )


def _checkpoint(
    options: IngestionOptions,
    submission: Submission,
    data: Data,
    protections: Mapping[str, str],
) -> Checkpoint:
    """Return the state of the run: a fresh one, or that of the run that is to be resumed."""
    seed = secrets.randbits(128) if options.seed is None else options.seed
    identity = RunIdentity(
        settings={
            "num_of_sets": options.num_of_sets,
            "num_pseudo_experiments": options.num_pseudo_experiments,
            "systematics": ",".join(n for n, on in options.enabled.items() if on) or "none",
            "seed": options.seed,
            "test_size": options.test_size,
            "isolation": options.isolation,
        },
        data=data_identity(data),
        submission=submission.identity,
        software=software_identity(),
    )
    if not options.checkpoint:
        return Checkpoint(identity, seed)
    path = checkpoint_path(options.output)
    exposed = exposed_to_submission(path, submission.folder, protections)
    if options.seed is None and exposed:  # a seed is no secret: it was on the command line
        message = f"no checkpoint without a seed: it would hold the truth, and {exposed}"
        if options.resume:
            raise SettingsError(message)
        logger.info(message)
        return Checkpoint(identity, seed)
    return begin(path, identity, seed, resume=options.resume)


def _refuse_overlap(options: IngestionOptions, submission: Submission) -> None:
    """Refuse a dataset, or a directory for results, where the submission may read."""
    folder = submission.folder
    for what, path in (("dataset", options.input_dir), ("output", options.output)):
        if path.resolve().is_relative_to(folder):
            raise SettingsError(
                f"the {what} directory {path} lies inside the submission's, {folder}, all of which "
                "the submission can read: keep them apart"
            )
        if (open_directory := opening(path)) is not None:
            raise SettingsError(
                f"the {what} directory {path} lies in {open_directory}, which is open to every "
                "submission (system, Python, libraries, shared memory): use another directory"
            )
