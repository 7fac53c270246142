"""What a number was made from: the identity of data, of a submission's files and of the software.

Two computers, or two runs, that agree on these three and on the settings compute the same.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import platform
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from HiggsML.files import PACKAGE
from HiggsML.submission.value import Submission

__all__ = [
    "differences",
    "package_version",
    "packed_files",
    "software_identity",
]

_DISTRIBUTION = "higgsml-uncertainty"
_PACKAGES = ("numpy", "pandas", "pyarrow", "scikit-learn", "scipy")


def packed_files(submission: Submission) -> bytes:
    """Return the files of a submission as a zip archive, the same bytes every time."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in submission.files:
            # A ZipInfo made by hand has a fixed date.
            content = (submission.folder / name).read_bytes()
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def software_identity() -> dict[str, str]:
    """Return the versions that can change a number; for this package also a digest of its code."""
    return {
        "HiggsML": f"{package_version(_DISTRIBUTION)} (source {_source_digest()})",
        "python": platform.python_version(),
        **{name: package_version(name) for name in _PACKAGES},
    }


def package_version(distribution: str) -> str:
    """Return a distribution's version, or "absent"."""
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(distribution)
    if distribution != _DISTRIBUTION:
        return "absent"
    # On the platform the package lies beside the program and is not installed.
    from HiggsML import __version__

    return __version__


def differences(what: str, now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Return a phrase for each entry in which two descriptions differ.

    Examples
    --------
    >>> differences("the data", {"rows": "10"}, {"rows": "12"})
    ['the data: rows is 10 instead of 12']
    """
    return [
        f"{what}: {key} is {_short(now, key)} instead of {_short(before, key)}"
        for key in sorted({*now, *before})
        if now.get(key) != before.get(key)
    ]


def _short(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "absent"
    text = str(values[key])
    is_digest = len(text) == hashlib.sha256().digest_size * 2
    return f"{text[:8]}..." if is_digest else text


@cache
def _source_digest() -> str:
    """Digest of this package's modules: in development the version alone says little."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
