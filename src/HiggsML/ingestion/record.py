"""What a run was: ``run.json`` beside its results, and all of its folder as an RO-Crate."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from HiggsML.crate import CRATE_FILE, crate
from HiggsML.errors import ResultsError
from HiggsML.ingestion.identity import package_version
from HiggsML.results import read_object, write_json

__all__ = ["RUN_FILE", "describe_run", "load_record", "write_record"]

RUN_FILE = "run.json"

_PARTS = {
    RUN_FILE: "Which submission ran, when, and the command.",
    "predictions/": "The answers to all pseudo-experiments, and what was run.",
    "predictions/test_settings.json": "Settings and true signal strengths.",
    "scores/": "What scoring made of the answers.",
    "scores/scores.json": "The leaderboard row.",
    "scores/detailed_results.html": "The report.",
}


def write_record(
    output: Path, *, submission: Path, arguments: Sequence[str], seed: int | None
) -> dict[str, str]:
    """Write down what ran, and return it: "submission", "date", "command" and, if given, "seed".

    Parameters
    ----------
    output : Path
        Directory of the run.
    submission : Path
        What ran.
    arguments : sequence of str
        The command's words.
    seed : int or None
        As given; a seed that was drawn stays secret.
    """
    record = {
        "submission": submission.resolve().name.removesuffix(".zip"),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": shlex.join(arguments),
    }
    if seed is not None:
        record["seed"] = str(seed)
    write_json(output / RUN_FILE, record)
    return record


def load_record(output: Path) -> dict[str, str]:
    """Return what :func:`write_record` wrote; nothing if it did not, or it is not readable."""
    try:
        content = read_object(output / RUN_FILE)
    except ResultsError:
        return {}
    return {key: str(value) for key, value in content.items()}


def describe_run(output: Path, record: Mapping[str, str]) -> None:
    """Write ``ro-crate-metadata.json``: every file of a run with its digest, and how it was made.

    Raises
    ------
    ResultsError
        If a file can not be read or written.
    """
    try:
        digests = {
            path.relative_to(output).as_posix(): _digest(path) for path in sorted(_files(output))
        }
        write_json(output / CRATE_FILE, _crate(digests, record))
    except OSError as error:
        raise ResultsError(f"{error.filename}: {error.strerror}") from error


def _files(output: Path) -> list[Path]:
    """Return what belongs to a run; what else lies in its folder is somebody's own."""
    inside = [output / RUN_FILE, *output.glob("predictions/*"), *output.glob("scores/*")]
    return [path for path in inside if path.is_file() and not path.is_symlink()]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _crate(digests: Mapping[str, str], record: Mapping[str, str]) -> dict[str, Any]:
    name, date = record.get("submission", "a submission"), record.get("date", "")
    software = {
        "@id": "#higgsml",
        "@type": "SoftwareApplication",
        "name": "higgsml-uncertainty",
        "version": package_version("higgsml-uncertainty"),
    }
    action = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": record.get("command", "higgsml run"),
        "description": f"{name} measured pseudo-experiments.",
        "endTime": date.replace(" UTC", "Z").replace(" ", "T"),
        "instrument": {"@id": "#higgsml"},
        "result": [{"@id": path} for path in digests],
    }
    return crate(
        digests,
        name=f"A run of {name}",
        description=f"{name} in the HiggsML Uncertainty Challenge: answers, scores and report.",
        published=date[:10] or datetime.now(UTC).date().isoformat(),
        parts={
            part: text
            for part, text in _PARTS.items()
            if part in digests or (part[-1] == "/" and any(p.startswith(part) for p in digests))
        },
        about=[software, action],
    )
