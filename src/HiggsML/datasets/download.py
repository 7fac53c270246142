"""Published datasets, fetched and unpacked."""

from __future__ import annotations

import hashlib
import http
import http.client
import json
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from HiggsML.datasets.reader import Data
from HiggsML.errors import DataError, SettingsError
from HiggsML.source_files import refuse_pointer, visible

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
_RECORD = re.compile(r"^(https?://[^/]+)/records/(\d+)/files/([^?#]+)")


def download_dataset(
    input_str: str,
    *,
    directory: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Data:
    """Fetch and unpack a published dataset, once, and open it.

    A download that broke off goes on where it stopped. Where the file's record states a checksum
    (Zenodo's do), it is checked.

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

    Examples
    --------
    >>> data = download_dataset("neurips2024_data", directory="data")  # doctest: +SKIP
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
        except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, ValueError) as error:
            refuse_pointer(archive)
            raise DataError(
                f"{archive} can not be unpacked: {error}; delete it to retry"
            ) from error
        unpacked.rename(target)
    inside = [path.parent for path in visible(target, "**/*.parquet")]
    return Data(inside[0] if inside else target)


def _download(url: str, target: Path, progress: Callable[[int, int], None] | None) -> None:
    """Fetch a file; go on where an earlier attempt stopped, and check what the record states."""
    part = target.with_name(target.name + ".part")
    try:
        _fetch(url, part, progress)
        stated = _stated_checksum(url)
        if stated is not None:
            with part.open("rb") as file:
                digest = hashlib.file_digest(file, stated[0]).hexdigest()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DataError(
            f"{url} can not be fetched: {_reason(error)}; try again"
            + (": it goes on from where it stopped" if part.is_file() else "")
        ) from error
    if stated is not None and digest != stated[1]:
        part.unlink()
        raise DataError(
            f"{url}: the file has another checksum ({stated[0]} {digest}) than its record states "
            f"({stated[1]}); it is deleted, try again"
        )
    part.rename(target)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _fetch(url: str, part: Path, progress: Callable[[int, int], None] | None) -> None:
    """Write what a server sends to ``part``, after the bytes that are there already."""
    done = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})  # noqa: S310
    try:
        response = urllib.request.urlopen(request, timeout=60)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not done:
            raise
        part.unlink()  # of another file, or whole: no way to tell
        return _fetch(url, part, progress)
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            done = 0  # the server begins anew
        left = int(response.headers.get("Content-Length", 0))
        total = done + left if left else 0
        with part.open("ab" if done else "wb") as file:
            while piece := response.read(1 << 20):
                file.write(piece)
                done += len(piece)
                if progress is not None:
                    progress(done, total)
    if total and done < total:
        raise ConnectionError(f"it broke off after {done} of {total} bytes")
    return None


def _stated_checksum(url: str) -> tuple[str, str] | None:
    """Return algorithm and checksum that an Invenio record (Zenodo) states for a file, if any."""
    matched = _RECORD.match(url)
    if not matched:
        return None
    host, number, name = matched.groups()
    with urllib.request.urlopen(f"{host}/api/records/{number}", timeout=60) as response:  # noqa: S310
        record = json.load(response)
    for file in record.get("files", []):
        algorithm, _, value = str(file.get("checksum", "")).partition(":")
        known = algorithm in hashlib.algorithms_available
        if known and file.get("key") == urllib.parse.unquote(name):
            return algorithm, value.lower()
    return None
