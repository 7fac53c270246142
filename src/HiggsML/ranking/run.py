"""Run every submission on the same pseudo-experiments, and keep what comes of it.

The entropy of a ranking is drawn once and kept where only its owner can read it. All submissions
measure what is drawn from it, those that join later, too. Each has a checkpoint of its own: a
ranking that is killed goes on where it was.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeVar

from HiggsML.datasets.identity import data_identity
from HiggsML.datasets.reader import Data
from HiggsML.errors import ResultsError, SettingsError, SubmissionError
from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.ingestion.checkpoint import checkpoint_path
from HiggsML.ingestion.identity import differences, software_identity
from HiggsML.pseudo_experiments.store import EventStore
from HiggsML.ranking.archive import Archive, RankingSettings, RunRecord
from HiggsML.ranking.refits import with_resampled_training
from HiggsML.ranking.rounds import (
    Count,
    Ended,
    Job,
    Measure,
    on_its_own,
    one_by_one,
    run_round,
    size_of_round,
)
from HiggsML.results import SETTINGS_FILE
from HiggsML.schema import NUISANCES, SIGNAL
from HiggsML.score import run_scoring
from HiggsML.submission.value import open_submission

__all__ = ["Progress", "measure_all", "reproduce"]

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how many of how many steps are."""

T = TypeVar("T")


def measure_all(
    archive: Archive,
    submissions: Mapping[str, Path],
    options: IngestionOptions,
    *,
    again: bool = False,
    refits: int = 0,
    together: int | None = None,
    progress: Progress | None = None,
    measure: Measure | None = None,
) -> Count:
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
    together : int, optional
        How many submissions measure at a time what is made once for all of them; by default as
        many as the machine's memory has room for.
    progress : callable, optional
        Told how far the ranking is, in pseudo-experiments of all its submissions.
    measure : callable, optional
        What runs one submission where nothing can be shared: in containers, on a cluster.

    Returns
    -------
    Count
        How many pseudo-experiments were made, and how often one was shown.

    Raises
    ------
    SettingsError
        If the ranking was begun with other numbers or another dataset, or is being made by another
        process.
    """
    with archive.held():
        entropy = _begun(archive, options)
        ended = set(archive.names())
        waiting = [
            name
            for name, path in submissions.items()
            if name not in ended or _has_to_run_again(archive, name, path, again)
        ]
        # Whose answers can not be asked for again may have remembered: it has no place.
        strict: Literal["off", "require"] = "off" if options.repeatable == "off" else "require"
        ranking = _Ranking(
            archive,
            replace(options, seed=entropy, repeatable=strict),
            together or size_of_round(options),
            on_its_own if measure is None and options.scheduler is not None else measure,
        )
        steps = _Steps(progress, options, len(waiting))
        count = Count()
        for names in _batches(waiting, ranking.together):
            count += ranking.first_fit({name: submissions[name] for name in names}, steps)
        for number in range(1, refits + 1):
            count += ranking.fit_again(number, progress)
    return count


def _has_to_run_again(archive: Archive, name: str, path: Path, again: bool) -> bool:
    """Return whether a run that failed is to be made again; warn if others were of other files."""
    record = archive.record(name)
    try:
        with open_submission(path) as submission:
            changed = submission.identity != record.files
    except SubmissionError:
        changed = False  # its line says already that it can not be run, or it has run when it could
    if record.status == "failed":
        return again or changed
    if changed:
        logger.warning(
            "%s is ranked with other files than those of %s now: to rank these too, give them "
            "another name",
            name,
            path,
        )
    return False


class _Steps:
    """Progress of all runs told as that of the whole ranking."""

    def __init__(self, progress: Progress | None, options: IngestionOptions, runs: int) -> None:
        self._progress = progress
        self._each = options.num_of_sets * options.num_pseudo_experiments
        self._done: dict[str, int] = {}
        self._total = runs * self._each
        self._lock = threading.Lock()

    def report(self, name: str, stage: str, done: int, total: int) -> None:
        """Tell how far a run is."""
        if stage == "predict":
            self._tell(name, done)

    def ended(self, name: str) -> None:
        """Tell that a run has ended, with success or without."""
        self._tell(name, self._each)

    def _tell(self, name: str, done: int) -> None:
        if self._progress is None:
            return
        with self._lock:
            self._done[name] = done
            self._progress("rank", sum(self._done.values()), self._total)


@dataclass(frozen=True)
class _Ranking:
    """What all rounds have in common."""

    archive: Archive
    options: IngestionOptions
    together: int
    measure: Measure | None

    def first_fit(self, paths: Mapping[str, Path], steps: _Steps) -> Count:
        """Run some submissions, and keep what comes of each as soon as it has ended."""
        archive, files = self.archive, dict[str, Mapping[str, str]]()

        def ended(name: str, failure: SubmissionError | None) -> None:
            if failure is None:
                predictions = archive.run_folder(name) / "predictions"
                run_scoring(predictions, predictions.with_name("scores"))
                self._keep(name, RunRecord("finished"), files[name])
            else:
                logger.warning("%s has no place in the ranking: %s", name, failure)
                # It holds the entropy, and what has failed is not gone on with.
                self._checkpoint(name).unlink(missing_ok=True)
                self._keep(name, RunRecord("failed", str(failure)), files.get(name, {}))
            steps.ended(name)

        jobs = []
        for name, path in paths.items():
            try:
                with open_submission(path) as submission:
                    files[name] = archive.begin_run(name, submission)
            except SubmissionError as error:
                archive.log(name).parent.mkdir(parents=True, exist_ok=True)
                archive.log(name).write_text(f"{error}\n", encoding="utf-8")
                ended(name, error)
                continue
            if (archive.run_folder(name) / "predictions" / SETTINGS_FILE).is_file():
                ended(name, None)  # it was interrupted just before the end
            else:
                jobs.append(self._job(name))
        return self._run(jobs, steps, ended)

    def _keep(self, name: str, record: RunRecord, files: Mapping[str, str]) -> None:
        self.archive.keep(name, replace(record, files=files, software=software_identity()))

    def _checkpoint(self, name: str) -> Path:
        return checkpoint_path(self.archive.run_folder(name) / "predictions")

    def _job(self, name: str) -> Job:
        folder = self.archive.run_folder(name)
        mine = replace(
            self.options,
            submission=folder / "submission",
            output=folder / "predictions",
            resume=self._checkpoint(name).exists(),
        )
        return Job(name, mine, self.archive.log(name))

    def fit_again(self, number: int, progress: Progress | None) -> Count:
        """Have all measure again what they measured, fitted to other training events."""
        jobs = []
        with TemporaryDirectory(prefix="higgsml-") as place:
            for name in self.archive.names():
                output = self.archive.refit_folder(name, number)
                done = (output / SETTINGS_FILE).is_file()
                if self.archive.record(name).status != "finished" or done:
                    continue
                mine = replace(
                    self.options,
                    input_dir=Path(place) / "data",
                    submission=self.archive.run_folder(name) / "submission",
                    output=output,
                    checkpoint=False,
                    resume=False,
                )
                jobs.append(Job(name, mine, self.archive.log(name)))
            if not jobs:
                return Count()
            data = Data(self.options.input_dir, self.options.test_size)
            with_resampled_training(data, Path(place) / "data", seed=number)
            steps = _Steps(progress, self.options, len(jobs))

            def ended(name: str, failure: SubmissionError | None) -> None:
                if failure is not None:
                    logger.warning("refit %d of %s: %s", number, name, failure)
                steps.ended(name)

            count = Count()
            for some in _batches(jobs, self.together):
                count += self._run(some, steps, ended)
            return count

    def _run(self, jobs: Sequence[Job], steps: _Steps, ended: Ended) -> Count:
        if not jobs:
            return Count()
        if self.measure is not None:
            return one_by_one(jobs, self.measure, steps.report, ended)
        return run_round(jobs, steps.report, ended)


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


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
        wanted: dict[str, tuple[str, int | Mapping[str, bool]]] = {
            "num_of_sets": ("--sets", options.num_of_sets),
            "num_pseudo_experiments": ("--pseudo-experiments", options.num_pseudo_experiments),
            "systematics": ("--systematics", systematics),
        }
        for name, (flag, value) in wanted.items():
            if (begun := getattr(before, name)) != value:
                raise SettingsError(
                    f"{archive.folder} was begun with {flag} {_written(begun)}, not "
                    f"{_written(value)}: all of a ranking measure the same. Give the same, or use "
                    "another folder"
                )
        _same_data(before, data, archive)
        entropy = archive.entropy()
        if options.seed not in (None, entropy):
            raise SettingsError(
                f"{archive.folder} was begun with another seed: leave it out, or use another folder"
            )
        return entropy
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


def _written(value: int | Mapping[str, bool]) -> str:
    """Return an option's value as on a command line."""
    if isinstance(value, int):
        return str(value)
    varied = [name for name, varies in value.items() if varies]
    return "all" if len(varied) == len(NUISANCES) else ",".join(varied) or "none"


def _same_data(settings: RankingSettings, data: Data, archive: Archive) -> None:
    if changed := differences("dataset", data_identity(data), settings.data):
        raise SettingsError(
            f"{archive.folder} was measured on another dataset ({'; '.join(changed)}): name "
            "that one"
        )
