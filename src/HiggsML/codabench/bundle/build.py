"""Build the zip that is uploaded: validated first, and the same bytes from the same input."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from HiggsML.codabench.bundle.source import assemble, is_checkout, starting_kit
from HiggsML.codabench.bundle.tree import write_zip
from HiggsML.codabench.rules.findings import Finding, errors_of
from HiggsML.codabench.rules.validate import validate_tree
from HiggsML.errors import BundleError, ResultsError
from HiggsML.seal import KEY_FILE, new_key, read_key

__all__ = ["Built", "build_bundle", "build_starting_kit"]


@dataclass(frozen=True)
class Built:
    """What :func:`build_bundle` did.

    Attributes
    ----------
    path : Path or None
        The zip; None if errors kept it from being written.
    findings : list of Finding
        All of them, warnings too.
    files, size : int
        Files in the zip, and its bytes.
    digest : str
        SHA-256 of the zip.
    """

    path: Path | None
    findings: list[Finding]
    files: int = 0
    size: int = 0
    digest: str = ""


def build_bundle(
    source: Path,
    output: Path,
    *,
    input_data: Path | None = None,
    competition: bool = False,
    key: Path | None = None,
    now: datetime | None = None,
) -> Built:
    """Validate the bundle of a checkout and write it.

    Parameters
    ----------
    source : Path
        The checkout.
    output : Path
        The zip to write.
    input_data : Path, optional
        The dataset of the competition, instead of the checkout's.
    competition : bool
        Refuse a dataset whose events are public.
    key : Path, optional
        The file with the key that signs results; made if it is not there. By default it is kept in
        the checkout's ``dist/``, which git ignores, so that all bundles of a checkout have it.
    now : datetime, optional
        The time against which the phases' dates are held; the clock's by default.

    Raises
    ------
    BundleError
        If ``source`` is not a checkout.
    """
    _require_checkout(source)
    text = _kept_key(key or source / "dist" / KEY_FILE)
    tree = assemble(source, input_data=input_data, key=text)
    findings = validate_tree(tree, competition=competition, now=now or datetime.now(UTC))
    if errors_of(findings):
        return Built(None, findings)
    write_zip(tree, output)
    with output.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Built(output, findings, len(tree.files), output.stat().st_size, digest)


def build_starting_kit(source: Path, output: Path) -> None:
    """Write the participants' starting kit of a checkout as a zip of its own."""
    _require_checkout(source)
    write_zip(starting_kit(source), output)


def _kept_key(path: Path) -> str:
    """Return the text of a key file; a new one only its owner can read."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(new_key())
        return read_key(path).hex() + "\n"
    except (OSError, ResultsError) as error:
        raise BundleError(f"the key of the bundle can not be kept in {path}: {error}") from error


def _require_checkout(source: Path) -> None:
    if not is_checkout(source):
        raise BundleError(
            f"{source} is not a checkout of the project, with competition.yaml and src/HiggsML: "
            "name one"
        )
