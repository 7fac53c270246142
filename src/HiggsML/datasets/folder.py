"""Where in a folder a dataset is, and what to do if there is none."""

from __future__ import annotations

from pathlib import Path

from HiggsML.errors import DataError
from HiggsML.source_files import folder_content, visible

__all__ = ["dataset_below", "single_parquet"]

_PARQUET = "*.[pP][aA][rR][qQ][uU][eE][tT]"
_ADVICE = "a dataset is one <name>.parquet and its <name>_metadata.json"


def single_parquet(directory: Path) -> Path:
    """Return the one parquet file of a folder.

    Raises
    ------
    DataError
        If there is no such folder, or not one such file in it. The message says what there is.
    """
    _check_folder(directory)
    paths = visible(directory, _PARQUET)
    if len(paths) > 1:
        names = ", ".join(path.name for path in paths)
        raise DataError(f"{directory} holds {len(paths)} parquet files ({names}): leave one there")
    if paths:
        return paths[0]
    below = [path for path in visible(directory, f"**/{_PARQUET}") if path.is_file()]
    folders = sorted({path.parent for path in below})
    if len(folders) == 1:
        raise DataError(f"no parquet file in {directory}, but in {folders[0]}: name that folder")
    if folders:
        raise DataError(
            f"no parquet file in {directory}, but {len(below)} in {len(folders)} folders of it, "
            f"{folders[0].relative_to(directory)} for instance: name one folder; parts of one "
            "table (a partitioned dataset) have to be joined into one file, with "
            f"pyarrow.dataset.dataset({str(directory)!r}, partitioning='hive') for instance"
        )
    raise DataError(
        f"no parquet file in {directory}{folder_content(directory)}: {_ADVICE}; "
        "'higgsml generate' makes one"
    )


def dataset_below(directory: Path) -> Path:
    """Return the folder, ``directory`` or one below it, that holds the dataset of an archive.

    Raises
    ------
    DataError
        If several do.
    """
    folders = sorted({path.parent for path in visible(directory, f"**/{_PARQUET}")})
    if len(folders) > 1:
        names = ", ".join(str(folder.relative_to(directory)) for folder in folders)
        raise DataError(
            f"{directory} holds {len(folders)} folders with datasets ({names}): open one of them "
            f"with Data({str(folders[0])!r})"
        )
    return folders[0] if folders else directory


def _check_folder(directory: Path) -> None:
    try:
        is_folder, exists = directory.is_dir(), directory.exists()
    except (OSError, ValueError) as error:  # its name is too long, its parent closed to us, ...
        raise DataError(f"{directory} can not be opened: {error}") from error
    if is_folder:
        return
    if exists:
        raise DataError(
            f"{directory} is a file, not a directory: name the directory in which the dataset lies "
            "(and unpack an archive first)"
        )
    if str(directory).startswith(("http:/", "https:/")):
        raise DataError(f"{directory} is an address: download_dataset fetches what is there")
    if directory.is_symlink():
        raise DataError(f"{directory} is a link to nothing, or to itself")
    raise DataError(
        f"{directory} is not a directory: name the one that holds the dataset, or make "
        f"one: higgsml generate --scenario mini --events 480000 --output {directory}"
    )
