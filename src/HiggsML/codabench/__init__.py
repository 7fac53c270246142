"""The competition as one zip: build it, and find every mistake before the platform does.

Examples
--------
>>> from pathlib import Path
>>> from HiggsML.codabench import validate_path
>>> validate_path(Path("no_such_bundle.zip"))[0].message
"no_such_bundle.zip does not exist: name a bundle's zip or directory"
"""

from HiggsML.codabench.bundle.build import Built, build_bundle, build_starting_kit
from HiggsML.codabench.rules.findings import Finding, errors_of
from HiggsML.codabench.rules.validate import open_bundle, validate_path, validate_tree

__all__ = [
    "Built",
    "Finding",
    "build_bundle",
    "build_starting_kit",
    "errors_of",
    "open_bundle",
    "validate_path",
    "validate_tree",
]
