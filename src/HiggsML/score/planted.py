"""What lies among the results besides them: a submission's own files, and the platform's."""

from __future__ import annotations

import filecmp
import stat
from pathlib import Path
from typing import Any

import yaml

from HiggsML.errors import ResultsError
from HiggsML.results import METADATA_FILE, names_at_the_top, reserved_names

__all__ = ["check_platform_metadata", "copied_names", "refuse_planted"]

_MAX_METADATA = 1 << 16  # bytes


def copied_names(prediction: Path, submission: Path) -> list[str]:
    """Return the entries among the results that are files or folders of the submission.

    They have the same path and the same bytes there; of a folder, all that is in it has.
    """
    return [path.name for path in prediction.iterdir() if _is_copy(path, submission / path.name)]


def _is_copy(path: Path, original: Path) -> bool:
    try:
        kinds = {stat.S_IFMT(one.lstat().st_mode) for one in (path, original)}
        if kinds == {stat.S_IFDIR}:
            return all(_is_copy(inner, original / inner.name) for inner in path.iterdir())
        return kinds == {stat.S_IFREG} and filecmp.cmp(path, original, shallow=False)
    except (OSError, RecursionError):  # a submission may be nested deep
        return False


def refuse_planted(prediction: Path, submission: Path, *, signed: bool) -> None:
    """Refuse a submission that brings something called like a result.

    Some workers keep genuine results in the submission's folder: there they are what the ingestion
    has signed, byte by byte.
    """
    for name in reserved_names(names_at_the_top(submission)):
        if not (signed and _is_copy(submission / name, prediction / name)):
            raise ResultsError(
                f"the submission brings {name!a}, which is called like a file between ingestion "
                "and scoring: submit it without"
            )


class _OneOfEachKey(yaml.SafeLoader):
    """Refuses a mapping with a key twice: which value counts would be the reader's choice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        if len(set(map(str, names))) < len(names):
            raise yaml.YAMLError("a key stands there twice")
        return super().construct_mapping(node, deep)


def check_platform_metadata(prediction: Path) -> None:
    """Refuse results of a run that failed, or in which the submission ran a command of its own.

    The platform leaves a YAML file named ``metadata`` among the results; elsewhere there is none.

    Raises
    ------
    ResultsError
        If the file says that the results can not be trusted, or can not be read.
    """
    path = prediction / METADATA_FILE
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode):
        raise ResultsError(f"{path} is not a regular file: the results are refused")
    if status.st_size > _MAX_METADATA:
        raise ResultsError(f"{path} has {status.st_size} bytes: the platform's has a few lines")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _OneOfEachKey)  # noqa: S506 (safe)
    except Exception as error:  # safe_load raises whatever its conversions raise
        raise ResultsError(f"{path} is not valid YAML ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise ResultsError(f"{path} must hold keys and values")
    for key in ("exitCode", "ingestionExitCode"):
        if not isinstance(content.get(key), (int, type(None))):  # also: nothing huge is shown
            kind = type(content[key]).__name__
            raise ResultsError(f"{path}: {key} must be a whole number, not of type {kind}")
    if content.get("exitCode") is not None:
        raise ResultsError(
            f"{path}: the submission brought a command of its own (exitCode is "
            f"{content['exitCode']!r}); submit model.py without a metadata file"
        )
    code = content.get("ingestionExitCode")
    if code != 0 or isinstance(code, bool):
        raise ResultsError(
            f"{path}: the ingestion failed or was stopped (ingestionExitCode is {code!r}); its log "
            "says why"
        )
