"""The directory that a run's results go to: held by one run, and changed only by its success."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from HiggsML.errors import ResultsError, SettingsError
from HiggsML.files import locked, partial_directory, remedy, remove_tree
from HiggsML.results import DURATION_FILE, RECORD_NAME, SETTINGS_FILE

__all__ = ["replacement", "reserved"]


@contextlib.contextmanager
def reserved(directory: Path, *, empty: bool = False) -> Iterator[None]:
    """Hold a directory for the results of one run; it exists and can be written to then.

    Parameters
    ----------
    directory : Path
        Made if it is not there, and removed again if nothing comes into it.
    empty : bool
        Remove all that is in it, now. Else former results stay until there are new ones.

    Raises
    ------
    SettingsError
        If it can not be written to, is no directory, or is another run's.
    """
    with contextlib.ExitStack() as stack:
        try:
            if directory.exists() and not directory.is_dir():
                raise SettingsError(f"output {directory} is not a directory: name one for results")
            for path in reversed((directory, *directory.parents)):
                if not path.exists():
                    stack.callback(_remove_if_empty, path)
            directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            if not locked(descriptor):
                raise SettingsError(f"output {directory} is in use: another run writes its results")
            if empty:
                _empty(directory)
            for path in _former_results(directory):
                if path.is_dir() and not path.is_symlink():
                    raise SettingsError(f"{path} is a directory where a result goes: remove it")
            with partial_directory(directory):
                pass
        except OSError as error:
            raise SettingsError(
                f"output {directory} can not be written to ({error.strerror}): {remedy(error)}"
            ) from error
        yield


@contextlib.contextmanager
def replacement(directory: Path) -> Iterator[Path]:
    """Give an empty directory whose files take the place of former results, all or none.

    Raises
    ------
    ResultsError
        If they can not be written; former results are then as they were.
    """
    try:
        with partial_directory(directory) as staging:
            yield staging
            # Without settings a result is incomplete: they go first and come last.
            former = sorted(_former_results(directory), key=lambda path: path.name != SETTINGS_FILE)
            new = sorted(staging.iterdir(), key=lambda path: path.name == SETTINGS_FILE)
            for path in former:
                path.unlink()
            for path in new:
                path.replace(directory / path.name)
    except OSError as error:
        raise ResultsError(
            f"{directory}: the results can not be written ({error.strerror}): {remedy(error)}"
        ) from error


def _former_results(directory: Path) -> list[Path]:
    return [
        path
        for path in directory.iterdir()
        if path.name in (SETTINGS_FILE, DURATION_FILE)
        or path.match("result_*.json")
        or RECORD_NAME.fullmatch(path.name)
    ]


def _empty(directory: Path) -> None:
    """Remove all that is in a directory; links are removed, never followed."""
    remove_tree(directory, keep_top=True)
    if left := sorted(path.name for path in directory.iterdir()):
        raise SettingsError(f"{directory / left[0]} can not be removed: is it another user's?")


def _remove_if_empty(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.rmdir()
