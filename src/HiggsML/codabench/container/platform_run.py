"""A submission's way through the platform: two containers, and what the worker does around them.

1. The submission's files are copied into the output directory (unless it brings a ``metadata`` file
   of its own, which is refused here: nothing that the challenge accepts has one).
2. The ingestion container runs; its exit code is only noted (unless the run need not be exactly the
   platform's: a failure then ends it here).
3. What it left, and a file ``metadata`` with codes and times, is what scoring sees.
4. The scoring container runs; its exit code decides.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from HiggsML.codabench.container.engine import Outcome, run_container
from HiggsML.codabench.container.spec import ContainerSpec, Restrictions
from HiggsML.errors import ContainerError

__all__ = ["PlatformRun", "RunResult", "run_on_platform"]

_METADATA = "metadata"


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
    submission, input_data, reference_data : Path
        Unpacked directories.
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
        Gets the name of the container ("ingestion", "scoring") and each line it prints.

    Raises
    ------
    ContainerError
        If a container could not do its work; the message is one sentence and, of a program that
        failed, its own last words.
    """
    for name in (_METADATA, f"{_METADATA}.yaml"):
        if (run.submission / name).exists():
            raise ContainerError(
                f"{run.submission / name}: the platform would run this submission as a program of "
                "its own, and scoring refuses that; remove the file"
            )
    with tempfile.TemporaryDirectory(
        prefix="higgsml-run-", ignore_cleanup_errors=True
    ) as temporary:
        place = Path(temporary)
        place.chmod(0o755)
        ingestion = _ingest(client, run, place, log)
        _copy_results(place / "output", predictions)
        if ingestion.exit_code is None or not run.restrictions.as_platform:
            _explain(ingestion, "ingestion", run)
        _write_metadata(place / "output", ingestion)
        scoring = _score(client, run, place, log)
        if ingestion.exit_code != 0 and scoring.exit_code == 0:
            raise ContainerError(
                f"scoring accepted the results of an ingestion that ended with exit code "
                f"{ingestion.exit_code}: the scoring program must refuse them"
            )
        _explain(ingestion, "ingestion", run)
        _copy_results(place / "scores", scores)
        _explain(scoring, "scoring", run)
        return RunResult(ingestion, scoring)


def _ingest(client: Any, run: PlatformRun, place: Path, log: Callable[[str, str], None]) -> Outcome:
    output, data = place / "output", place / "data"
    data.mkdir()
    submission = place / "submission"
    for target in (output, submission):  # both, as the worker does
        _copy_submission(run.submission, target)
    _open_for_containers(output, run)
    spec = ContainerSpec(
        "ingestion",
        run.image,
        run.ingestion_command,
        {
            run.ingestion_program.resolve(): "/app/program",
            submission: "/app/ingested_program",
            run.input_data.resolve(): "/app/input_data",
            output: "/app/output",
            data: "/app/data",
        },
        _read_only(run, "/app/program", "/app/ingested_program", "/app/input_data"),
    )
    return run_container(
        client,
        spec,
        run.restrictions,
        time_limit=run.time_limit,
        log=lambda line: log("ingestion", line),
    )


def _copy_submission(source: Path, target: Path) -> None:
    """Copy with the modes that unpacking gives: readable for all, nothing executable."""
    shutil.copytree(source, target, symlinks=True)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)


def _score(client: Any, run: PlatformRun, place: Path, log: Callable[[str, str], None]) -> Outcome:
    output, shared = place / "scores", place / "shared"
    for directory in (output, shared):
        directory.mkdir()
        _open_for_containers(directory, run)
    mounts = {
        run.scoring_program.resolve(): "/app/program",
        place / "output": "/app/input/res",
        shared: "/app/shared",
        output: "/app/output",
        place / "data": "/app/data",
    }
    if run.reference_data is not None:
        mounts[run.reference_data.resolve()] = "/app/input/ref"
    spec = ContainerSpec(
        "scoring",
        run.image,
        run.scoring_command,
        mounts,
        _read_only(run, "/app/program", "/app/input/res", "/app/input/ref"),
    )
    return run_container(
        client,
        spec,
        run.restrictions,
        time_limit=run.time_limit,
        log=lambda line: log("scoring", line),
    )


def _read_only(run: PlatformRun, *paths: str) -> frozenset[str]:
    """On the platform all but ``/app/data`` is writable; no program of ours needs that."""
    return frozenset({"/app/data", *(() if run.restrictions.as_platform else paths)})


def _open_for_containers(directory: Path, run: PlatformRun) -> None:
    """Let the container's root write here without the right to override permissions."""
    if run.restrictions.as_platform:
        directory.chmod(0o777)


def _write_metadata(results: Path, ingestion: Outcome) -> None:
    """Write what the worker tells scoring; the submission had no command of its own."""
    path = results / _METADATA
    if path.is_symlink() or path.exists():
        raise ContainerError(
            f"the ingestion left a file named {_METADATA}, with which the platform's run would fail"
        )
    content = {
        "exitCode": None,
        "elapsedTime": None,
        "ingestionExitCode": ingestion.exit_code,
        "ingestionElapsedTime": round(ingestion.seconds, 3),
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def _copy_results(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_symlink():
            raise ContainerError(
                f"the run left a symbolic link, {path.relative_to(source)}: its results are refused"
            )
    if target.is_dir():
        shutil.rmtree(target)
    shutil.copytree(source, target)


def _explain(outcome: Outcome, name: str, run: PlatformRun) -> None:
    """Raise one sentence about a container that failed."""
    log = "\n".join(outcome.log)
    restrictions = run.restrictions
    if outcome.exit_code is None:
        raise ContainerError(
            f"the {name} container was killed at its time limit of {run.time_limit:.0f} s: make "
            "the submission faster, or raise the limit"
        )
    if outcome.exit_code == 0:
        return
    if outcome.out_of_memory or outcome.exit_code == 137:
        limit = "of this machine" if restrictions.as_platform else f"limit of {restrictions.memory}"
        raise ContainerError(
            f"the {name} container ran into the memory {limit} and was killed: use less memory, "
            "fewer workers, or raise --memory"
        )
    if "Permission denied: '/app/" in log:
        raise ContainerError(
            f"the {name} container may not write or read one of its directories: make the input "
            f"readable for all users ({_last(outcome)})"
        )
    raise ContainerError(
        f"the {name} program ended with exit code {outcome.exit_code}: {_last(outcome)}"
    )


def _last(outcome: Outcome) -> str:
    lines = [line for line in outcome.log if line.strip()]
    errors = [number for number, line in enumerate(lines) if line.startswith("Error: ")]
    if errors:
        return "\n".join(lines[errors[-1] :]).removeprefix("Error: ")
    return lines[-1] if lines else "it printed nothing"
