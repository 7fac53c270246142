"""The files of a run as the platform's compute worker moves them, without any container.

There are two generations of the worker, and both are in use. What differs:

=====================================  =============================  ==============================
..                                     2026-03                        2026-06
=====================================  =============================  ==============================
submission's files before ingestion    copied into the output         not copied
submission's ``metadata`` command      run beside the ingestion       never run
before scoring                         nothing                        submission copied over results
submission's folder in containers      ingestion only, writable       both, read-only
=====================================  =============================  ==============================

Copies follow links and replace files of the same name; a file that can not be copied is left out,
and the run goes on.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zipfile import ZipFile

import yaml

from HiggsML.codabench.container.engine import Outcome
from HiggsML.errors import ContainerError

__all__ = [
    "NEWEST",
    "WORKERS",
    "Folders",
    "Worker",
    "own_command",
    "refuse_links",
    "run_worker",
    "unpack_as_worker",
]

Worker = Literal["2026-03", "2026-06"]
WORKERS: tuple[Worker, ...] = ("2026-03", "2026-06")
NEWEST: Worker = "2026-06"

_METADATA = "metadata"


@dataclass(frozen=True)
class Folders:
    """Where a run's files are on this machine.

    Attributes
    ----------
    submission : Path
        The unpacked submission.
    output, scores : Path
        What the ingestion and the scoring container see as ``/app/output``.
    input : Path
        What the scoring container sees as ``/app/input``, with ``res`` and ``ref``.
    """

    submission: Path
    output: Path
    scores: Path
    input: Path

    @classmethod
    def below(cls, directory: Path) -> Folders:
        """Return the folders of a run in a directory of its own; ``submission`` is to be filled."""
        return cls(*(directory / name for name in ("submission", "output", "scores", "input")))

    @property
    def results(self) -> Path:
        """What scoring sees as ``/app/input/res``."""
        return self.input / "res"


def unpack_as_worker(source: Path, target: Path) -> None:
    """Put a submission where its run expects it: a zip unpacked, a directory copied.

    The worker's unpacking makes no links and sets no execute bits; of two entries with one name the
    last one stays.
    """
    if source.is_file():
        with ZipFile(source) as archive:
            archive.extractall(target)
    else:
        shutil.copytree(source, target, symlinks=True)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)


def own_command(submission: Path) -> str | None:
    """Return the command in the submission's ``metadata``, which the worker of 2026-03 runs."""
    path = _metadata_of(submission)
    if path is None:
        return None
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, OSError):
        return None
    command = content.get("command") if isinstance(content, dict) else None
    return command if isinstance(command, str) else None


def run_worker(
    worker: Worker,
    folders: Folders,
    *,
    ingest: Callable[[], tuple[Outcome, Outcome | None]],
    score: Callable[[], Outcome],
    upload: bool = True,
) -> tuple[Outcome, Outcome]:
    """Move a run's files as a worker does, and call its two programs in between.

    Parameters
    ----------
    worker : {"2026-03", "2026-06"}
        The generation.
    folders : Folders
        ``submission`` is filled; ``input`` may hold ``ref``; the rest is made here.
    ingest : callable
        Runs the ingestion, and the submission's own command if there is one that is run; returns
        how both ended.
    score : callable
        Runs the scoring.
    upload : bool
        False is a private worker that keeps the results in the submission's folder.

    Returns
    -------
    tuple of Outcome
        Of ingestion and scoring. A run that was out of time ends with the ingestion; the scoring
        is then its outcome, too.

    Raises
    ------
    ContainerError
        If the ingestion left what the platform can not store.
    """
    folders.output.mkdir()
    if worker == "2026-03" and _metadata_of(folders.submission) is None:
        _copy_over(folders.submission, folders.output)
    ingestion, own = ingest()
    if ingestion.exit_code is None:
        return ingestion, ingestion
    refuse_links(folders.output)
    _write_metadata(folders.output, ingestion, own)
    if upload:
        shutil.copytree(folders.output, folders.results)
    else:
        _copy_over(folders.output, folders.submission)
        folders.results.mkdir(parents=True)
    if worker == "2026-06":
        _copy_over(folders.submission, folders.results)
    folders.scores.mkdir()
    return ingestion, score()


def _copy_over(source: Path, target: Path) -> None:
    # What can not be copied, such as a folder onto a file, is only noted in the worker's log.
    with contextlib.suppress(shutil.Error, OSError):
        shutil.copytree(source, target, dirs_exist_ok=True)


def _metadata_of(submission: Path) -> Path | None:
    names = (f"{_METADATA}.yaml", _METADATA)
    return next((submission / name for name in names if (submission / name).exists()), None)


def refuse_links(output: Path) -> None:
    """Refuse links among what a run left: the worker would follow them."""
    for path in sorted(output.rglob("*")):
        if path.is_symlink():
            raise ContainerError(
                f"the run left a symbolic link, {path.relative_to(output)}: its results are refused"
            )


def _write_metadata(output: Path, ingestion: Outcome, own: Outcome | None) -> None:
    """Write how the run went; the worker of 2026-03 gives the exit code of an own command."""
    path = output / _METADATA
    if path.exists():
        raise ContainerError(
            f"the ingestion left a file named {_METADATA}, with which the platform's run would fail"
        )
    seconds = round(ingestion.seconds, 3)
    content: dict[str, Any] = {
        "exitCode": None if own is None else own.exit_code,
        "elapsedTime": seconds if own is None else round(own.seconds, 3),
        "ingestionExitCode": ingestion.exit_code,
        "ingestionElapsedTime": seconds,
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
