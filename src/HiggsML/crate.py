"""A folder of results described for machines: an RO-Crate 1.1, which is JSON-LD.

The vocabulary is that of https://www.researchobject.org/ro-crate/specification/1.1/.

Examples
--------
>>> described = crate({"scores.json": "ab" * 32}, name="A run", description="One measurement.",
...                   published="2026-11-29")
>>> [entity["@id"] for entity in described["@graph"]]
['ro-crate-metadata.json', './', 'scores.json', 'https://spdx.org/licenses/CC-BY-4.0']
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import quote

__all__ = ["APACHE_2", "CC_BY_4", "CRATE_FILE", "License", "crate"]

CRATE_FILE = "ro-crate-metadata.json"
_SPECIFICATION = "https://w3id.org/ro/crate/1.1"


class License(NamedTuple):
    """A license: its address at SPDX, its name, and the address of its text."""

    identifier: str
    name: str
    url: str


CC_BY_4 = License(
    "https://spdx.org/licenses/CC-BY-4.0",
    "Creative Commons Attribution 4.0 International",
    "https://creativecommons.org/licenses/by/4.0/",
)
APACHE_2 = License(
    "https://spdx.org/licenses/Apache-2.0",
    "Apache License 2.0",
    "https://www.apache.org/licenses/LICENSE-2.0",
)

_TYPES = {
    ".py": "text/x-python",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".npz": "application/zip",
    "": "text/plain",
}


def crate(
    digests: Mapping[str, str],
    *,
    name: str,
    description: str,
    published: str,
    parts: Mapping[str, str] | None = None,
    about: Sequence[Mapping[str, Any]] = (),
    license: License = CC_BY_4,
) -> dict[str, Any]:
    """Describe a folder.

    Parameters
    ----------
    digests : mapping of str to str
        SHA-256 of every file by its name relative to the folder, with "/" between parts.
    name, description : str
        Of the whole.
    published : str
        A date, ``YYYY-MM-DD``.
    parts : mapping of str to str
        Descriptions of files and of folders inside, by name; a folder's ends with "/".
    about : sequence of mappings
        Further entities, say the software that made the files; the whole mentions them.
    license : License
        Of the whole.

    Returns
    -------
    dict
        What ``ro-crate-metadata.json`` must hold.
    """
    described = parts or {}
    folders = [name for name in described if name.endswith("/")]
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": name,
        "description": description,
        "datePublished": published,
        "license": {"@id": license.identifier},
        "hasPart": [{"@id": quote(part)} for part in (*folders, *sorted(digests))],
    }
    if about:
        root["mentions"] = [{"@id": entity["@id"]} for entity in about]
    return {
        "@context": f"{_SPECIFICATION}/context",
        "@graph": [
            {
                "@id": CRATE_FILE,
                "@type": "CreativeWork",
                "conformsTo": {"@id": _SPECIFICATION},
                "about": {"@id": "./"},
            },
            root,
            *(_folder(folder, described[folder], digests) for folder in folders),
            *(_file(path, digests[path], described.get(path)) for path in sorted(digests)),
            {
                "@id": license.identifier,
                "@type": "CreativeWork",
                "name": license.name,
                "url": license.url,
            },
            *map(dict, about),
        ],
    }


def _folder(folder: str, description: str, digests: Mapping[str, str]) -> dict[str, Any]:
    return {
        "@id": quote(folder),
        "@type": "Dataset",
        "name": PurePosixPath(folder).name,
        "description": description,
        "hasPart": [{"@id": quote(path)} for path in sorted(digests) if path.startswith(folder)],
    }


def _file(path: str, digest: str, description: str | None) -> dict[str, Any]:
    suffix = PurePosixPath(path).suffix
    kind = _TYPES.get(suffix) or mimetypes.types_map.get(suffix, "application/octet-stream")
    entity = {
        "@id": quote(path),
        "@type": "File",
        "name": path,
        "encodingFormat": kind,
        "sha256": digest,
    }
    return entity if description is None else entity | {"description": description}
