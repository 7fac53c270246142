"""Descriptions of a dataset for machines: Croissant 1.1 and RO-Crate 1.1, both JSON-LD.

The vocabulary is that of https://docs.mlcommons.org/croissant/docs/croissant-spec.html, and of
:mod:`HiggsML.crate`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from HiggsML.crate import APACHE_2, crate
from HiggsML.schema import LABEL_COLUMNS, MISSING, PRI_COLUMNS

__all__ = ["PUBLISHED", "croissant", "research_object"]

_OBJECTS = {
    "lep": "the electron or muon",
    "had": "the hadronic tau",
    "jet_leading": f"the jet with the largest pt; {MISSING:.0f} if there is none",
    "jet_subleading": f"the jet with the second largest pt; {MISSING:.0f} if there is none",
}
_QUANTITIES = {
    "pt": "Transverse momentum [GeV]",
    "eta": "Pseudorapidity",
    "phi": "Azimuth [rad]",
}
_DESCRIPTIONS = {
    **{
        f"PRI_{key}_{quantity}": f"{text} of {name}"
        for key, name in _OBJECTS.items()
        for quantity, text in _QUANTITIES.items()
    },
    "PRI_n_jets": "Number of jets",
    "PRI_jet_all_pt": "Scalar sum of the transverse momenta of all jets [GeV]",
    "PRI_met": "Missing transverse momentum [GeV]",
    "PRI_met_phi": "Azimuth [rad] of the missing transverse momentum",
    "weights": "Expected number of events that the row stands for",
    "detailed_labels": "Process: htautau, ztautau, ttbar or diboson",
    "labels": "1 for signal (htautau), 0 for background",
}

PUBLISHED = "2026-11-29"
"""Of this form of the data, not of a file: the same seed makes the same bytes on any day."""

_CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant(data: Path, *, scenario: str, description: str) -> dict[str, Any]:
    """Describe one parquet file of events.

    Parameters
    ----------
    data
        The complete file; its name and digest are recorded.
    scenario
        "mini" or "official".
    description
        How the events were made, in words.

    Returns
    -------
    dict[str, Any]
        The JSON-LD document.

    """
    return {
        "@context": dict(_CONTEXT),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": f"higgsml-uncertainty-{scenario}",
        "description": description,
        "version": "2.0.0",
        "datePublished": PUBLISHED,
        "license": APACHE_2.url,
        "url": "https://fair-universe.lbl.gov",
        "citeAs": "FAIR Universe HiggsML Uncertainty Challenge, arXiv:2410.02867",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "events",
                "name": data.name,
                "contentUrl": data.name,
                "encodingFormat": "application/x-parquet",
                "sha256": _digest(data),
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "event",
                "name": "event",
                "description": "One simulated event per record.",
                "field": [_field(column) for column in (*PRI_COLUMNS, *LABEL_COLUMNS)],
            }
        ],
    }


def research_object(
    files: Mapping[str, Path], *, scenario: str, description: str, generator: Mapping[str, str]
) -> dict[str, Any]:
    """Describe the folder of a dataset as an RO-Crate.

    Parameters
    ----------
    files
        What each file is, and where it is now; its name there is its name in the crate.
    scenario
        "mini" or "official".
    description
        How the events were made, in words.
    generator
        Name and version of what made them.

    Returns
    -------
    dict[str, Any]
        The JSON-LD document.

    """
    software = {
        "@id": "#generator",
        "@type": "SoftwareApplication",
        "name": f"HiggsML generator, engine {generator['name']}",
        "version": generator["version"],
    }
    made = {
        "@id": "#generation",
        "@type": "CreateAction",
        "name": "higgsml generate",
        "description": description,
        "instrument": {"@id": "#generator"},
        "result": [{"@id": path.name} for path in files.values()],
    }
    return crate(
        {path.name: _digest(path) for path in files.values()},
        name=f"higgsml-uncertainty-{scenario}",
        description=description,
        published=PUBLISHED,
        parts={path.name: what for what, path in files.items()},
        about=[software, made],
        license=APACHE_2,
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _field(column: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"event/{column}",
        "name": column,
        "description": _DESCRIPTIONS[column],
        "dataType": "sc:Text" if column == "detailed_labels" else "sc:Float",
        "source": {"fileObject": {"@id": "events"}, "extract": {"column": column}},
    }
