"""The JSON files between ingestion and scoring: write, read and validate.

==============================  ====================================================================
``result_{set}.json``           lists ``mu_hats``, ``delta_mu_hats``, ``p16``, ``p84``
``ingestion_duration.json``     ``ingestion_duration`` in minutes
``test_settings.json``          what was run and the true mus
``ingestion_record*.json``      how the ingestion ended, see :mod:`HiggsML.seal`
==============================  ====================================================================

What is read here was written by another process, perhaps not by ours: every value is checked, and
every error names the file, the entry and the remedy.
"""

from __future__ import annotations

import json
import math
import re
import stat
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from HiggsML.errors import ResultsError, SettingsError
from HiggsML.files import whole_file
from HiggsML.schema import NUISANCES

__all__ = [
    "ANSWER_LIMIT",
    "Answer",
    "Predictions",
    "Settings",
    "as_predictions",
    "is_result_name",
    "json_text",
    "load_answers",
    "load_duration",
    "load_fit_duration",
    "load_predictions",
    "load_settings",
    "names_at_the_top",
    "predictions_of",
    "required",
    "reserved_names",
    "write_duration",
    "write_json",
    "write_predictions",
    "write_settings",
]

ANSWER_LIMIT = 1e4
"""Largest magnitude of a predicted number. Beyond it scores could reach 1e10, which the platform
refuses; mu itself lies between 0.1 and 3."""

SETTINGS_FILE = "test_settings.json"
DURATION_FILE = "ingestion_duration.json"

REPEATABLE = "repeatable"
"""Detail of a run: "yes" if answers that were asked for again, of a Model that had seen nothing
else, were the same, "no" if not, "not checked" or "off"."""

REPEATS = "simulated test events per expected event"
"""Detail of a run: as many as the process has that has fewest, at mu = 1."""

METADATA_FILE = "metadata"
"""Left among the results by the platform, which says there how the ingestion ended."""

_MAX_BYTES = 256 * 1024**2
RECORD_NAME = re.compile(r"ingestion_record(_[0-9a-f]+)?\.json")

_RESULT_NAME = re.compile(r"result_(.*)\.json")
_RESERVED = (
    *("result_*.json", SETTINGS_FILE, DURATION_FILE, "ingestion_record*.json"),
    *(METADATA_FILE, f"{METADATA_FILE}.yaml"),
)
_KEYS = {
    "mu_hat": ("mu_hats",),
    "delta_mu_hat": ("delta_mu_hats",),
    "p16": ("p16", "p16s"),
    "p84": ("p84", "p84s"),
}  # attribute: accepted keys, the one that we write first


def is_result_name(name: str) -> bool:
    """Return whether scoring, or the platform, would take a submission's file for one of its own.

    The platform lays a submission's files among the results, so none may have such a name. Upper
    and lower case, and letters that Unicode takes for the same or that show nothing, make no
    difference, since they make none on some file systems.

    Examples
    --------
    >>> is_result_name("Result_0.JSON"), is_result_name("metadata"), is_result_name("model.py")
    (True, True, False)
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    seen = "".join(c for c in folded if unicodedata.category(c) not in ("Cc", "Cf", "Mn", "Cs"))
    # Some systems drop blanks and dots from the end of a name.
    return any(fnmatchcase(seen.strip(" ."), pattern) for pattern in _RESERVED)


class Answer(NamedTuple):
    """What a model answered for one pseudo-experiment."""

    mu_hat: float
    delta_mu_hat: float
    p16: float
    p84: float


@dataclass(frozen=True)
class Predictions:
    """The answers of one set: four arrays of shape (number of pseudo-experiments,)."""

    mu_hat: NDArray[np.float64]
    delta_mu_hat: NDArray[np.float64]
    p16: NDArray[np.float64]
    p84: NDArray[np.float64]

    @property
    def n_swapped(self) -> int:
        """Number of intervals with p16 above p84."""
        return int((self.p16 > self.p84).sum())

    @property
    def n_outside(self) -> int:
        """Number of estimates outside of their own interval, by more than rounding."""
        low, high = np.minimum(self.p16, self.p84), np.maximum(self.p16, self.p84)
        rounding = 1e-6 * (high - low) + 1e-9
        return int(((self.mu_hat < low - rounding) | (self.mu_hat > high + rounding)).sum())

    @property
    def n_negative(self) -> int:
        """Number of uncertainties below zero."""
        return int((self.delta_mu_hat < 0).sum())


@dataclass(frozen=True)
class Settings:
    """What is to be run, or was run: sets, pseudo-experiments per set and enabled systematics.

    ``mus`` are the true values by set index; empty where they are unknown, as in the reference
    data of a competition. ``details`` and ``notices`` are texts for the report. ``final_phase``,
    in reference data, asks for the report's section of the final phase.
    """

    num_of_sets: int
    num_pseudo_experiments: int
    systematics: Mapping[str, bool]
    mus: Mapping[int, float]
    details: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    final_phase: bool = False

    def same_run_as(self, other: Settings) -> list[str]:
        """Return a sentence for each way in which ``other`` differs, the true mus aside."""
        return [
            f"{name} is {getattr(other, name)} instead of {getattr(self, name)}"
            for name in ("num_of_sets", "num_pseudo_experiments", "systematics")
            if getattr(self, name) != getattr(other, name)
        ]


def reserved_names(names: Iterable[str]) -> list[str]:
    """Return which entries of a submission :func:`is_result_name` is true of.

    Parameters
    ----------
    names : iterable of str
        The submission's files and folders, with "/" between the parts of a path.

    Returns
    -------
    list of str
        Those at the top, and where model.py lies one folder down, those in the folders at the top.

    Examples
    --------
    >>> reserved_names(["model.py", "Result_0.JSON", "weights/metadata"])
    ['Result_0.JSON']
    >>> reserved_names(["mine/model.py", "mine/metadata/notes.txt"])
    ['mine/metadata']
    """
    paths = [[part for part in PurePosixPath(name).parts if part not in "/.."] for name in names]
    depth = 1 if ["model.py"] in paths else 2
    return sorted(
        {
            "/".join(path[: position + 1])
            for path in paths
            for position, part in enumerate(path[:depth])
            if is_result_name(part)
        }
    )


def names_at_the_top(directory: Path) -> list[str]:
    """Return the entries of a directory and of its folders, for :func:`reserved_names`."""
    names = []
    for path in sorted(directory.iterdir()):
        names.append(path.name)
        if path.is_dir() and not path.is_symlink():
            names += [f"{path.name}/{inner.name}" for inner in sorted(path.iterdir())]
    return names


def required(test_settings: Mapping[str, Any], name: str) -> Any:
    """Return one of the settings that the drop-in classes are given.

    Raises
    ------
    SettingsError
        If it is not among them, or they are no dictionary.

    Examples
    --------
    >>> required({"num_of_sets": 2}, "num_of_sets")
    2
    """
    if not isinstance(test_settings, Mapping):
        raise SettingsError(
            "test_settings must be a dictionary, such as json.load() returns, not "
            f"{type(test_settings).__name__}"
        )
    if name not in test_settings:
        given = ", ".join(map(repr, test_settings)) or "nothing"
        raise SettingsError(f"test_settings has no {name!r}, only {given}")
    return test_settings[name]


def json_text(content: Any, *, indent: int = 2) -> str:
    """Return content as JSON, with null for a number that is not finite: JSON has none of them.

    Examples
    --------
    >>> json_text({"error": float("inf")}).split()
    ['{', '"error":', 'null', '}']
    """
    return json.dumps(_finite_or_null(content), indent=indent, allow_nan=False) + "\n"


def _finite_or_null(content: Any) -> Any:
    if isinstance(content, float) and not math.isfinite(content):
        return None
    if isinstance(content, Mapping):
        return {key: _finite_or_null(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite_or_null(value) for value in content]
    return content


def write_json(path: Path, content: Any) -> None:
    """Write JSON under a temporary name and then rename it: a file is whole or absent."""
    text = json_text(content)
    with whole_file(path) as file:
        file.write(text.encode())


def write_predictions(directory: Path, predictions: Mapping[int, Predictions]) -> None:
    """Write one ``result_{set}.json`` per set."""
    for index, result in predictions.items():
        content = {keys[0]: getattr(result, name).tolist() for name, keys in _KEYS.items()}
        write_json(directory / f"result_{index}.json", content)


def write_duration(directory: Path, seconds: float, *, fit_seconds: float | None = None) -> None:
    """Write the duration of the ingestion, and that of fit if known, in (fractional) minutes."""
    durations = {"ingestion_duration": seconds / 60}
    if fit_seconds is not None:
        durations["fit_duration"] = fit_seconds / 60
    write_json(directory / DURATION_FILE, durations)


def write_settings(directory: Path, settings: Settings) -> None:
    """Write what was run, with the true mus in the order of the sets."""
    write_json(
        directory / SETTINGS_FILE,
        {
            "systematics": dict(settings.systematics),
            "num_pseudo_experiments": settings.num_pseudo_experiments,
            "num_of_sets": settings.num_of_sets,
            "ground_truth_mus": [settings.mus[index] for index in range(settings.num_of_sets)],
            "details": dict(settings.details),
            "notices": list(settings.notices),
        },
    )


def load_settings(path: Path, *, with_truth: bool) -> Settings:
    """Read settings: those of a run (``with_truth``) or those that a complete result must meet.

    Raises
    ------
    ResultsError
        If the file is missing or anything in it is not as required.
    """
    content = read_object(path)
    counts = {}
    for key in ("num_of_sets", "num_pseudo_experiments"):
        value = content.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ResultsError(f"{path}: {key} must be a whole number above 0, not {value!r}")
        counts[key] = value
    enabled = content.get("systematics")
    if (
        not isinstance(enabled, dict)
        or set(enabled) != set(NUISANCES)
        or not all(isinstance(value, bool) for value in enabled.values())
    ):
        raise ResultsError(
            f"{path}: systematics must say true or false for each of {', '.join(NUISANCES)}"
        )
    mus: dict[int, float] = {}
    if with_truth:
        truth = content.get("ground_truth_mus")
        if not isinstance(truth, list) or len(truth) != counts["num_of_sets"]:
            raise ResultsError(
                f"{path}: ground_truth_mus must be a list of {counts['num_of_sets']} numbers, one "
                "per set"
            )
        mus = {
            index: _number(value, f"{path}: ground_truth_mus, entry {index},")
            for index, value in enumerate(truth)
        }
    details, notices = content.get("details", {}), content.get("notices", [])
    if not isinstance(final_phase := content.get("final_phase", False), bool):
        raise ResultsError(f"{path}: final_phase must be true or false")
    if not isinstance(details, dict) or not isinstance(notices, list):
        raise ResultsError(f"{path}: details must be an object and notices a list")
    return Settings(
        **counts,
        systematics=enabled,
        mus=mus,
        details={str(key): str(value) for key, value in details.items()},
        notices=tuple(str(notice) for notice in notices),
        final_phase=final_phase,
    )


def load_duration(path: Path) -> float:
    """Read the duration of the ingestion [minutes].

    Raises
    ------
    ResultsError
        If the file is missing or holds no finite number that is at least 0.
    """
    minutes = _number(read_object(path).get("ingestion_duration"), f"{path}: ingestion_duration")
    if minutes < 0:
        raise ResultsError(f"{path}: ingestion_duration must not be negative, got {minutes}")
    return minutes


def load_fit_duration(path: Path) -> float | None:
    """Read the duration of fit [minutes] from the file of durations; None if it tells none."""
    minutes = read_object(path).get("fit_duration")
    return None if minutes is None else max(0.0, _number(minutes, f"{path}: fit_duration"))


def load_predictions(
    directory: Path, settings: Settings, *, ignored: Collection[str] = ()
) -> dict[int, Predictions]:
    """Read the result file of every set and nothing else.

    Parameters
    ----------
    directory : Path
        The results.
    settings : Settings
        What was run.
    ignored : collection of str
        Names that may be there besides what an ingestion writes.

    Raises
    ------
    ResultsError
        If a file is missing, is not a regular file, or holds anything but the right number of
        finite numbers, or if there is anything else than an ingestion writes.
    """
    _refuse_links(directory)
    expected = {f"result_{index}.json" for index in range(settings.num_of_sets)}
    present = {path.name for path in directory.iterdir() if _RESULT_NAME.fullmatch(path.name)}
    if missing := sorted(expected - present, key=_set_order):
        raise ResultsError(
            f"{directory / missing[0]} is missing ({len(missing)} of {len(expected)} result files "
            "are): the ingestion did not finish, run it again"
        )
    if stray := sorted(present - expected):
        raise ResultsError(
            f"{directory / stray[0]} belongs to no set: {len(expected)} sets were run; "
            "empty the directory and run the ingestion again"
        )
    others = {SETTINGS_FILE, DURATION_FILE, METADATA_FILE, *ignored}
    entries = {path.name for path in directory.iterdir() if not RECORD_NAME.fullmatch(path.name)}
    if stray := sorted(entries - expected - others):
        raise ResultsError(
            f"{directory / stray[0]} is not a result ({len(stray)} entries are not): no ingestion "
            "writes it; move it elsewhere, or empty the directory and run the ingestion again"
        )
    return {
        index: _load_set(directory / f"result_{index}.json", settings.num_pseudo_experiments)
        for index in range(settings.num_of_sets)
    }


def load_answers(directory: Path) -> dict[int, dict[str, Any]]:
    """Return the content of every ``result_{set}.json`` by set, unchecked; ignore other files.

    Raises
    ------
    ResultsError
        If there is none, or one is not a JSON object.
    """
    by_set = {}
    for path in directory.glob("result_*.json") if directory.is_dir() else ():
        name = _RESULT_NAME.fullmatch(path.name)
        if name is not None and name[1].isdecimal():
            by_set[int(name[1])] = read_object(path)
    if not by_set:
        raise ResultsError(f"no result_*.json in {directory}: run the ingestion first")
    return dict(sorted(by_set.items()))


def as_predictions(content: Mapping[str, Any], index: int) -> Predictions:
    """Return the lists of one set, in either spelling, as arrays of one length.

    Raises
    ------
    ResultsError
        If a list is missing or shorter than another, or holds anything but numbers.
    """
    columns = {}
    for name, keys in _KEYS.items():
        key = next((key for key in keys if key in content), None)
        if key is None:
            raise ResultsError(f"the results of set {index} lack {' or '.join(keys)}")
        try:
            columns[name] = np.atleast_1d(np.asarray(content[key], dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise ResultsError(f"set {index}: {key} must be a list of numbers: {error}") from error
    if len({column.shape for column in columns.values()}) > 1:
        shapes = ", ".join(f"{name} {column.shape}" for name, column in columns.items())
        raise ResultsError(f"set {index}: the lists differ in length: {shapes}")
    return Predictions(**columns)


def _set_order(name: str) -> tuple[int, str]:
    return len(name), name


def _refuse_links(directory: Path) -> None:
    if not directory.is_dir():
        raise ResultsError(f"{directory} is not a directory: name the one with the predictions")
    for path in sorted(directory.rglob("*")):
        if path.is_symlink():
            raise ResultsError(
                f"{path} is a symbolic link, which no ingestion writes: the results are refused"
            )
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            raise ResultsError(
                f"{path} has a second name (a hard link), which no ingestion makes: the results "
                "are refused; copy the directory if a backup has linked its files"
            )


def _load_set(path: Path, count: int) -> Predictions:
    content = read_object(path)
    columns = {}
    for name, keys in _KEYS.items():
        key = next((key for key in keys if key in content), keys[0])
        values = content.get(key)
        if not isinstance(values, list):
            raise ResultsError(f"{path}: {key} must be a list of {count} numbers")
        if len(values) != count:
            raise ResultsError(f"{path}: {key} has {len(values)} entries instead of {count}")
        columns[name] = np.array(
            [_number(value, f"{path}: {key}, entry {i},") for i, value in enumerate(values)]
        )
        largest = int(np.argmax(np.abs(columns[name])))
        if abs(columns[name][largest]) > ANSWER_LIMIT:
            raise ResultsError(
                f"{path}: {key}, entry {largest}, is {columns[name][largest]:g}; magnitudes up to "
                f"{ANSWER_LIMIT:g} are allowed"
            )
    return Predictions(**columns)


def _number(value: Any, where: str) -> float:
    """Return a JSON value as a finite float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        shown = repr(value) if len(repr(value)) < 60 else type(value).__name__
        raise ResultsError(f"{where} must be a number, not {shown}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ResultsError(f"{where} must be finite, not {number}")
    return number


def _one_of_each_key(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key stands there twice")
    return content


def predictions_of(directory: Path) -> Path:
    """Return where the result files are of a run, or of its folder of them.

    Raises
    ------
    ResultsError
        If another folder is named than these; the message names the runs that are below it.
    """
    if (directory / "scores.json").exists() and (directory.parent / "predictions").is_dir():
        # As it was written: "..", or a name where the folder itself was the current one.
        parent = directory.parent if directory.name else directory.resolve().parent
        raise ResultsError(f"{directory} holds the scores of a run: name the run, {parent}")
    inside = directory / "predictions"
    if inside.is_dir():
        return inside
    if not any(_RESULT_NAME.fullmatch(path.name) for path in directory.iterdir()) and (
        not (directory / SETTINGS_FILE).exists()
    ):
        runs = sorted(str(path.parent) for path in directory.glob("*/predictions"))
        below = f"; below it are {', '.join(runs[:5])}" if runs else ""
        raise ResultsError(
            f"{directory / SETTINGS_FILE} is missing: name the folder of a run, what "
            f"'higgsml run --output' named{below}"
        )
    return directory


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object from a regular file that is not a link and not absurdly large."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        raise ResultsError(
            f"{path} is missing: the ingestion did not finish, run it again"
        ) from None
    if not stat.S_ISREG(status.st_mode):
        raise ResultsError(f"{path} is not a regular file (a link?): the results are refused")
    if status.st_size > _MAX_BYTES:
        raise ResultsError(f"{path} has {status.st_size} bytes, more than any result needs")
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_one_of_each_key)
    except (ValueError, RecursionError) as error:
        reason = "it is empty" if status.st_size == 0 else error
        raise ResultsError(f"{path} is not valid JSON: {reason}") from error
    if not isinstance(content, dict):
        raise ResultsError(f"{path} must hold a JSON object, not a {type(content).__name__}")
    return content
