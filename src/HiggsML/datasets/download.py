"""Published datasets, fetched and unpacked."""

from __future__ import annotations

import re
import shutil
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

from HiggsML.datasets.reader import Data
from HiggsML.errors import DataError, SettingsError

__all__ = ["AVAILABLE_DATASETS", "download_dataset"]


AVAILABLE_DATASETS = {
    "neurips2024_data": (
        "https://zenodo.org/records/15131565/files/FAIR_Universe_HiggsML_data.zip?download=1"
    ),
    "blackSwan_data": (
        "https://www.codabench.org/datasets/download/56bf8a3e-45b7-4912-8586-366c18c82586/"
    ),
    "sample_data": (
        "https://www.codabench.org/datasets/download/77341e17-f23a-47d9-87eb-ebceee452a14/"
    ),
}
"""Published datasets by name."""


_URL = re.compile(r"^https?://\S+$")


def download_dataset(
    input_str: str,
    *,
    directory: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Data:
    """Fetch and unpack a published dataset, once, and open it.

    Parameters
    ----------
    input_str : str
        A key of :data:`AVAILABLE_DATASETS` or the http(s) address of a zip file.
    directory : str or Path, optional
        Where to put it; the current directory by default. The data end up in ``directory/name``
        ("data" for an address); what is there already is used as it is.
    progress : callable, optional
        Called with bytes done and bytes in all (0 if unknown).

    Raises
    ------
    SettingsError
        If the name is unknown.
    DataError
        If the download or the zip file fails.
    """
    if _URL.match(input_str):
        name, url = "data", input_str
    elif input_str in AVAILABLE_DATASETS:
        name, url = input_str, AVAILABLE_DATASETS[input_str]
    else:
        raise SettingsError(
            f"unknown dataset {input_str!r}: use one of {', '.join(AVAILABLE_DATASETS)}, "
            "or an http(s) address"
        )
    base = Path(directory) if directory is not None else Path.cwd()
    target, archive = base / name, base / f"{name}.zip"
    if not target.is_dir():
        if not archive.is_file():
            _download(url, archive, progress)
        unpacked = target.with_name(f"{name}.part")
        shutil.rmtree(unpacked, ignore_errors=True)
        try:
            with zipfile.ZipFile(archive) as zip_file:
                zip_file.extractall(unpacked)
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(
                f"{archive} can not be unpacked: {error}; delete it to retry"
            ) from error
        unpacked.rename(target)
    inside = [path.parent for path in sorted(target.rglob("*.parquet"))]
    return Data(inside[0] if inside else target)


def _download(url: str, target: Path, progress: Callable[[int, int], None] | None) -> None:
    part = target.with_name(target.name + ".part")
    try:
        with urllib.request.urlopen(url, timeout=60) as response, part.open("wb") as file:  # noqa: S310
            total, done = int(response.headers.get("Content-Length", 0)), 0
            while piece := response.read(1 << 20):
                file.write(piece)
                done += len(piece)
                if progress is not None:
                    progress(done, total)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DataError(f"{url} can not be fetched: {error}") from error
    if total and done < total:
        part.unlink(missing_ok=True)
        raise DataError(f"{url} broke off after {done} of {total} bytes: try again")
    part.rename(target)
