"""Run every submission on the same pseudo-experiments, and keep what comes of it.

The entropy of a ranking is drawn once and kept where only its owner can read it. All submissions
get it, so all measure the same pseudo-experiments, those that join later, too. Each has a
checkpoint of its own: a ranking that is killed goes on where it was.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from HiggsML.datasets.identity import data_identity
from HiggsML.datasets.reader import Data
from HiggsML.errors import HiggsMLError, ResultsError, SettingsError, SubmissionError
from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.ingestion.checkpoint import checkpoint_path
from HiggsML.ingestion.identity import differences, software_identity
from HiggsML.pseudo_experiments.store import EventStore
from HiggsML.ranking.archive import Archive, RankingSettings, RunRecord
from HiggsML.ranking.refits import with_resampled_training
from HiggsML.results import SETTINGS_FILE
from HiggsML.schema import NUISANCES, SIGNAL
from HiggsML.score import run_scoring
from HiggsML.submission.value import Submission, open_submission

__all__ = ["Progress", "measure_all", "reproduce"]

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how many of how many steps are."""

Measure = Callable[[IngestionOptions, Progress | None], object]


def measure_all(
    archive: Archive,
    submissions: Mapping[str, Path],
    options: IngestionOptions,
    *,
    again: bool = False,
    refits: int = 0,
    progress: Progress | None = None,
    measure: Measure = run_ingestion,
) -> None:
    """Run all submissions that have no place in the ranking yet.

    Parameters
    ----------
    archive : Archive
        The ranking; begun if it does not exist.
    submissions : mapping of str to Path
        Zips and directories by name, see :func:`~HiggsML.ranking.submissions.find_submissions`.
    options : IngestionOptions
        Dataset, numbers, workers and budgets; its submission, output and seed are replaced.
    again : bool
        Run those again that have failed.
    refits : int
        Fit each so many times more, on training events that are drawn again.
    progress : callable, optional
        Told how far the ranking is, in pseudo-experiments of all its submissions.
    measure : callable
        What runs one submission.

    Raises
    ------
    SettingsError
        If the ranking was begun with other numbers or another dataset.
    """
    entropy = _begun(archive, options)
    waiting = {
        name: path
        for name, path in submissions.items()
        if name not in archive.names() or (again and archive.record(name).status == "failed")
    }
    steps = _Steps(progress, options, len(waiting))
    for name, path in waiting.items():
        folder = archive.run_folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        try:
            with open_submission(path) as submission:
                _score(
                    measure, options, submission, folder, entropy=entropy, progress=steps.of(name)
                )
                record = RunRecord(
                    "finished",
                    files=submission.identity,
                    software=software_identity(),
                    seconds=time.monotonic() - started,
                )
                archive.keep(name, record, submission.folder)
        except SubmissionError as error:
            logger.warning("%s has no place in the ranking: %s", name, error)
            _keep_failure(archive, name, path, str(error), time.monotonic() - started)
        steps.next()
    if refits:
        _refit(archive, options, entropy=entropy, refits=refits, progress=progress, measure=measure)


class _Steps:
    """Progress of one run told as that of the whole ranking."""

    def __init__(self, progress: Progress | None, options: IngestionOptions, runs: int) -> None:
        self._progress = progress
        self._each = options.num_of_sets * options.num_pseudo_experiments
        self._runs, self._ended = runs, 0

    def of(self, name: str) -> Progress | None:
        """Return what a run is to be given."""
        if self._progress is None:
            return None
        tell = self._progress

        def told(stage: str, done: int, total: int) -> None:
            share = done if stage == "predict" else 0
            tell("rank", self._ended * self._each + share, self._runs * self._each)

        return told

    def next(self) -> None:
        """Count a run that has ended."""
        self._ended += 1
        if self._progress is not None:
            self._progress("rank", self._ended * self._each, self._runs * self._each)


def _score(
    measure: Measure,
    options: IngestionOptions,
    submission: Submission,
    folder: Path,
    *,
    entropy: int,
    progress: Progress | None,
) -> None:
    """Run a submission and write its report."""
    mine = replace(
        options,
        submission=submission.folder,
        output=folder / "predictions",
        seed=entropy,
        resume=checkpoint_path(folder / "predictions").exists(),
    )
    measure(mine, progress)
    run_scoring(folder / "predictions", folder / "scores")


def _refit(
    archive: Archive,
    options: IngestionOptions,
    *,
    entropy: int,
    refits: int,
    progress: Progress | None,
    measure: Measure,
) -> None:
    """Have every submission measure again what it measured, fitted to other training events."""
    finished = [name for name in archive.names() if archive.record(name).status == "finished"]
    data = Data(options.input_dir, options.test_size)
    steps = _Steps(progress, options, refits * len(finished))
    for number in range(1, refits + 1):
        with TemporaryDirectory(prefix="higgsml-") as place:
            other = with_resampled_training(data, Path(place) / "data", seed=number)
            for name in finished:
                output = archive.refit_folder(name, number)
                if not (output / SETTINGS_FILE).is_file():
                    mine = replace(
                        options,
                        input_dir=other,
                        submission=archive.run_folder(name) / "submission",
                        output=output,
                        seed=entropy,
                        checkpoint=False,
                        resume=False,
                    )
                    try:
                        measure(mine, steps.of(name))
                    except HiggsMLError as error:
                        logger.warning("refit %d of %s: %s", number, name, error)
                steps.next()


def reproduce(
    archive: Archive, name: str, options: IngestionOptions, progress: Progress | None = None
) -> list[str]:
    """Run a row of a ranking again and compare the answers byte for byte.

    Returns
    -------
    list of str
        A sentence for each file that differs; none if the row is reproduced.

    Raises
    ------
    ResultsError
        If the run did not finish, or the archive is damaged.
    SettingsError
        If the dataset is another one.
    """
    record = archive.record(name)
    if record.status != "finished":
        raise ResultsError(
            f"{name} did not finish, so there is nothing to compare: {record.reason}"
        )
    settings = archive.settings()
    _same_data(settings, Data(options.input_dir, options.test_size), archive)
    for phrase in differences("software", software_identity(), record.software):
        logger.warning("%s: last digits may differ", phrase)
    kept = archive.run_folder(name)
    with TemporaryDirectory(prefix="higgsml-") as place:
        mine = replace(
            options,
            submission=kept / "submission",
            output=Path(place) / "predictions",
            seed=archive.entropy(),
            num_of_sets=settings.num_of_sets,
            num_pseudo_experiments=settings.num_pseudo_experiments,
            systematics=settings.systematics,
            checkpoint=False,
        )
        run_ingestion(mine, progress)
        return [
            f"{path.name} differs"
            for path in sorted((kept / "predictions").glob("result_*.json"))
            if path.read_bytes() != (mine.output / path.name).read_bytes()
        ]


def _begun(archive: Archive, options: IngestionOptions) -> int:
    """Return the entropy of a ranking that exists or begins."""
    data = Data(options.input_dir, options.test_size)
    systematics = {name: bool(options.systematics.get(name, False)) for name in NUISANCES}
    if archive.exists:
        before = archive.settings()
        wanted = {
            "num_of_sets": options.num_of_sets,
            "num_pseudo_experiments": options.num_pseudo_experiments,
            "systematics": systematics,
        }
        for name, value in wanted.items():
            if getattr(before, name) != value:
                raise SettingsError(
                    f"{archive.folder} ranks with {name} {getattr(before, name)}, not {value}: all "
                    "of a ranking measure the same; use another folder"
                )
        _same_data(before, data, archive)
        return archive.entropy()
    if archive.folder.exists() and any(archive.folder.iterdir()):
        raise SettingsError(f"{archive.folder} is not empty and holds no ranking: use a new folder")
    repeats = EventStore.from_data(data).effective_repeats()
    # At mu = 3 the signal's events serve for three times as many.
    least = min(n / 3 if name == SIGNAL else n for name, n in repeats.items())
    entropy = secrets.randbits(128) if options.seed is None else options.seed
    archive.begin(
        RankingSettings(
            num_of_sets=options.num_of_sets,
            num_pseudo_experiments=options.num_pseudo_experiments,
            systematics=systematics,
            data=data_identity(data),
            repeats=float(least),
            software=software_identity(),
        ),
        entropy,
    )
    return entropy


def _same_data(settings: RankingSettings, data: Data, archive: Archive) -> None:
    if found := differences("dataset", data_identity(data), settings.data):
        raise SettingsError(
            f"{archive.folder} was measured on another dataset ({'; '.join(found)}): name that one"
        )


def _keep_failure(archive: Archive, name: str, path: Path, reason: str, seconds: float) -> None:
    # It holds the entropy, and what has failed is not gone on with.
    checkpoint_path(archive.run_folder(name) / "predictions").unlink(missing_ok=True)
    record = RunRecord("failed", reason=reason, software=software_identity(), seconds=seconds)
    # What can be read of it is kept, too; what can not is why it failed.
    with contextlib.suppress(HiggsMLError, OSError), open_submission(path) as submission:
        archive.keep(name, replace(record, files=submission.identity), submission.folder)
        return
    archive.keep(name, record, path)
