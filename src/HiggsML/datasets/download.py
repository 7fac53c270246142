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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from HiggsML.datasets.folder import dataset_below
from HiggsML.datasets.reader import Data
from HiggsML.errors import DataError, SettingsError
from HiggsML.source_files import KINDS, UNPACKING_ERRORS, ZIP, known_kind

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


_URL = re.compile(r"^https?://\S+$", re.IGNORECASE)
_RECORD = re.compile(r"^(https?://[^/]+)/records/(\d+)/files/([^?#]+)")
_RANGE = re.compile(r"^bytes (?:\*|(\d+)-\d+)/(\d+|\*)$")
_START_BYTES = 512


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
    name, url = _name_and_address(input_str)
    base = Path(directory) if directory is not None else Path.cwd()
    target, archive = base / name, base / f"{name}.zip"
    if not target.is_dir():
        if target.exists():
            raise DataError(f"{target} is a file where the dataset's folder goes: move it away")
        if not archive.is_file():
            _download(url, archive, progress)
        _unpack(archive, target)
    return Data(dataset_below(target))


def _name_and_address(dataset: Any) -> tuple[str, str]:
    """Return a dataset's name and where it is, given either."""
    if isinstance(dataset, str) and _URL.match(dataset):
        return "data", dataset
    if isinstance(dataset, str) and dataset in AVAILABLE_DATASETS:
        return dataset, AVAILABLE_DATASETS[dataset]
    raise SettingsError(
        f"unknown dataset {dataset!r}: use one of {', '.join(AVAILABLE_DATASETS)}, "
        "or an http(s) address"
    )


def _unpack(archive: Path, target: Path) -> None:
    """Unpack a zip file into a folder that appears when all is there."""
    unpacked = target.with_name(f"{target.name}.part")
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        with archive.open("rb") as file:
            kind = known_kind(file.read(_START_BYTES))
        if kind not in (ZIP, None):
            raise ValueError(f"it is {KINDS[kind]}")
        unpacked.mkdir()
        with zipfile.ZipFile(archive) as zip_file:
            zip_file.extractall(unpacked)
        unpacked.rename(target)
    except UNPACKING_ERRORS as error:
        raise DataError(
            f"{archive} can not be unpacked: {_reason(error)}; delete it to retry"
        ) from error


def _download(url: str, target: Path, progress: Callable[[int, int], None] | None) -> None:
    """Fetch a file; go on where an earlier attempt stopped, and check what the record states."""
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(_in_ascii(url), part, progress)
        stated = _stated_checksum(url)
        if stated is not None:
            with part.open("rb") as file:
                digest = hashlib.file_digest(file, stated[0]).hexdigest()
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        raise _failure(url, part, error) from error
    if stated is not None and digest != stated[1]:
        part.unlink()
        raise DataError(
            f"{url}: the file has another checksum ({stated[0]} {digest}) than its record states "
            f"({stated[1]}); it is deleted, try again"
        )
    try:
        part.rename(target)
    except OSError as error:
        raise _failure(url, part, error) from error


def _failure(url: str, part: Path, error: Exception) -> DataError:
    return DataError(
        f"{url} can not be fetched: {_reason(error)}; try again"
        + (": it goes on from where it stopped" if part.is_file() else "")
    )


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _in_ascii(url: str) -> str:
    """Return an address whose path and query are written as a server expects them."""
    parts = urllib.parse.urlsplit(url)
    path, query = (
        urllib.parse.quote(part, safe="/%:=&?~+!$,;'@()*[]") for part in (parts.path, parts.query)
    )
    return urllib.parse.urlunsplit(parts._replace(path=path, query=query))


def _fetch(url: str, part: Path, progress: Callable[[int, int], None] | None) -> None:
    """Write what a server sends to ``part``, after the bytes that are there already."""
    done = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})  # noqa: S310
    try:
        response = urllib.request.urlopen(request, timeout=60)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not done:
            raise
        if _range(error)[1] == done:
            return None  # all of it is there
        part.unlink()  # of another file, or whole: no way to tell
        return _fetch(url, part, progress)
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            done = 0  # the server begins anew
        elif _range(response)[0] not in (done, None):
            if not done:
                raise ConnectionError("the server sends a part although all was asked for")
            part.unlink()  # another part than was asked for
            return _fetch(url, part, progress)
        left = int(response.headers.get("Content-Length", 0))
        total = done + left if left > 0 else 0
        with part.open("ab" if done else "wb") as file:
            while piece := response.read(1 << 20):
                file.write(piece)
                done += len(piece)
                if progress is not None:
                    progress(done, total)
    if total and done < total:
        raise ConnectionError(f"it broke off after {done} of {total} bytes")
    return None


def _range(response: Any) -> tuple[int | None, int | None]:
    """Return at which byte an answer begins, and how many there are in all, if it says so."""
    matched = _RANGE.match(response.headers.get("Content-Range") or "")
    if not matched:
        return None, None
    start, total = matched.groups()
    return int(start) if start else None, int(total) if total != "*" else None


def _stated_checksum(url: str) -> tuple[str, str] | None:
    """Return algorithm and checksum that an Invenio record (Zenodo) states for a file, if any."""
    matched = _RECORD.match(url)
    if not matched:
        return None
    host, number, name = matched.groups()
    address = f"{host}/api/records/{number}"
    with urllib.request.urlopen(address, timeout=60) as response:  # noqa: S310
        record = json.load(response)
    try:
        stated = {file.get("key"): str(file.get("checksum", "")) for file in record["files"]}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"its record, {address}, lists no files with checksums") from error
    algorithm, _, value = stated.get(urllib.parse.unquote(name), "").lower().partition(":")
    if algorithm in hashlib.algorithms_available and hashlib.new(algorithm).digest_size:
        return algorithm, value
    return None
