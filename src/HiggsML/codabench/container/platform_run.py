"""A submission's way through the platform in containers: ingestion, then scoring.

:mod:`HiggsML.codabench.container.worker` says what the worker does with the files in between.

1. The ingestion container runs; its exit code is only noted (unless the run need not be exactly the
   platform's: a failure then ends it here).
2. What it left, and a file ``metadata`` with codes and times, is what scoring sees.
3. The scoring container runs; its exit code decides.
"""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from HiggsML.codabench.container.engine import Outcome, run_container
from HiggsML.codabench.container.spec import ContainerSpec, Restrictions
from HiggsML.codabench.container.worker import (
    NEWEST,
    Folders,
    Worker,
    own_command,
    refuse_links,
    run_worker,
    unpack_as_worker,
)
from HiggsML.errors import ContainerError

__all__ = ["PlatformRun", "ProgramFailedError", "RunResult", "run_on_platform"]


class ProgramFailedError(ContainerError):
    """A container ran, and failed: the submission's fault, as a rule, and not the engine's."""


@dataclass(frozen=True)
class PlatformRun:
    """What is run.

    Attributes
    ----------
    image : str
        The competition's image.
    ingestion_program, scoring_program : Path
        Unpacked programs.
    ingestion_command, scoring_command : tuple of str
        Their commands.
    submission : Path
        A directory, or a zip as it was uploaded.
    input_data, reference_data : Path
        Unpacked directories.
    worker : {"2026-03", "2026-06"}
        The generation of the platform's worker.
    time_limit : float, optional
        Seconds for each of the two runs.
    restrictions : Restrictions
        How the containers are confined.
    """

    image: str
    ingestion_program: Path
    ingestion_command: tuple[str, ...]
    scoring_program: Path
    scoring_command: tuple[str, ...]
    submission: Path
    input_data: Path
    reference_data: Path | None = None
    worker: Worker = NEWEST
    time_limit: float | None = None
    restrictions: Restrictions = field(default_factory=Restrictions)


@dataclass(frozen=True)
class RunResult:
    """How the two containers ended; results are in the directories that were named."""

    ingestion: Outcome
    scoring: Outcome


def run_on_platform(
    client: Any,
    run: PlatformRun,
    *,
    predictions: Path,
    scores: Path,
    log: Callable[[str, str], None] = lambda *_: None,
) -> RunResult:
    """Run ingestion and scoring, one after the other, and fetch what they wrote.

    Parameters
    ----------
    client : docker.DockerClient
        From :func:`HiggsML.codabench.container.connect`.
    run : PlatformRun
        What is run.
    predictions, scores : Path
        Where the outputs go; former files there are replaced.
    log : callable
        Gets the name of the container ("ingestion", "scoring"; "submission" where the worker runs a
        command of its own) and each line it prints.

    Raises
    ------
    ContainerError
        If a container could not do its work; the message is one sentence and, of a program that
        failed, its own last words.
    """
    with tempfile.TemporaryDirectory(
        prefix="higgsml-run-", ignore_cleanup_errors=True
    ) as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        folders = Folders.below(folder)
        (folder / "data").mkdir()
        folders.input.mkdir()
        unpack_as_worker(run.submission, folders.submission)
        if run.reference_data is not None:
            shutil.copytree(run.reference_data, folders.input / "ref")
        containers = _Containers(client, run, folders, log)
        ingestion, scoring = run_worker(
            run.worker,
            folders,
            ingest=lambda: containers.ingest(predictions),
            score=containers.score,
        )
        if ingestion.exit_code not in (0, None) and scoring.exit_code == 0:
            raise ContainerError(
                f"scoring accepted the results of an ingestion that ended with exit code "
                f"{ingestion.exit_code}: the scoring program must refuse them"
            )
        if folders.scores.is_dir():
            _copy_results(folders.scores, scores)
        # Scoring repeats why the ingestion failed, and is what the platform goes by.
        _explain(ingestion, "ingestion", run)
        _explain(scoring, "scoring", run)
        return RunResult(ingestion, scoring)


@dataclass(frozen=True)
class _Containers:
    """Runs the containers of one run."""

    client: Any
    run: PlatformRun
    folders: Folders
    log: Callable[[str, str], None]

    def ingest(self, predictions: Path) -> tuple[Outcome, Outcome | None]:
        """Run the ingestion, and beside it a command of the submission's own, if that is run."""
        run, folders = self.run, self.folders
        command = own_command(folders.submission) if run.worker == "2026-03" else None
        if command is not None and not run.restrictions.as_platform:
            raise ContainerError(
                "the submission brings a metadata file with a command, which the platform would "
                "run as a program of its own, and scoring refuses that; remove the file"
            )
        data = {
            folders.output: "/app/output",
            run.input_data.resolve(): "/app/input_data",
            folders.output.parent / "data": "/app/data",
        }
        mounts = {
            run.ingestion_program.resolve(): "/app/program",
            folders.submission: "/app/ingested_program",
            **data,
        }
        with ThreadPoolExecutor(1) as pool:
            beside = None
            if command is not None:
                words, own = tuple(shlex.split(command)), {folders.submission: "/app/program"}
                beside = pool.submit(self._container, "submission", words, {**own, **data})
            ingestion = self._container("ingestion", run.ingestion_command, mounts)
        own_outcome = None if beside is None else beside.result()
        if ingestion.exit_code is None or not run.restrictions.as_platform:
            _explain(ingestion, "ingestion", run)
        _copy_results(folders.output, predictions)
        return ingestion, own_outcome

    def score(self) -> Outcome:
        """Run the scoring."""
        run, folders = self.run, self.folders
        shared = folders.output.parent / "shared"
        shared.mkdir()
        mounts = {
            run.scoring_program.resolve(): "/app/program",
            folders.input: "/app/input",
            shared: "/app/shared",
            folders.scores: "/app/output",
            folders.output.parent / "data": "/app/data",
        }
        if run.worker == "2026-06":
            mounts[folders.submission] = "/app/ingested_program"
        return self._container("scoring", run.scoring_command, mounts)

    def _container(self, name: str, command: tuple[str, ...], mounts: dict[Path, str]) -> Outcome:
        # On the platform all else is writable, which no program of ours needs.
        closed = {"/app/data"}
        if self.run.worker == "2026-06":
            closed.add("/app/ingested_program")
        if self.run.restrictions.as_platform:
            for directory in mounts:
                if mounts[directory] in ("/app/output", "/app/shared"):
                    directory.chmod(0o777)  # root there may not override permissions
        else:
            closed |= set(mounts.values()) - {"/app/output", "/app/shared"}
        return run_container(
            self.client,
            ContainerSpec(name, self.run.image, command, mounts, frozenset(closed)),
            self.run.restrictions,
            time_limit=self.run.time_limit,
            log=lambda line: self.log(name, line),
        )


def _copy_results(source: Path, target: Path) -> None:
    refuse_links(source)
    if target.is_dir():
        shutil.rmtree(target)
    shutil.copytree(source, target)


def _explain(outcome: Outcome, name: str, run: PlatformRun) -> None:
    """Raise one sentence about a container that failed."""
    log = "\n".join(outcome.log)
    restrictions = run.restrictions
    if outcome.exit_code is None:
        raise ProgramFailedError(
            f"the {name} container was killed at its time limit of {run.time_limit:.0f} s: make "
            "the submission faster, or raise the limit"
        )
    if outcome.exit_code == 0:
        return
    if outcome.out_of_memory or outcome.exit_code == 137:
        limit = "of this machine" if restrictions.as_platform else f"limit of {restrictions.memory}"
        raise ProgramFailedError(
            f"the {name} container ran into the memory {limit} and was killed: use less memory, "
            "fewer workers, or raise --memory"
        )
    if "Permission denied: '/app/" in log:
        raise ProgramFailedError(
            f"the {name} container may not write or read one of its directories: make the input "
            f"readable for all users ({_last(outcome)})"
        )
    raise ProgramFailedError(
        f"the {name} program ended with exit code {outcome.exit_code}: {_last(outcome)}"
    )


def _last(outcome: Outcome) -> str:
    lines = [line for line in outcome.log if line.strip()]
    errors = [number for number, line in enumerate(lines) if line.startswith("Error: ")]
    if errors:
        return "\n".join(lines[errors[-1] :]).removeprefix("Error: ")
    return lines[-1] if lines else "it printed nothing"
