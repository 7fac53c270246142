"""Every public name, signature and default of the reference is here, or its absence has a reason.

The reference runs in environments of its own: HIGGSML_REFERENCE_PYTHON (0.1.5) and
HIGGSML_REFERENCE_013_PYTHON (0.1.3). The reasons stand in a table of docs/reference/drop_in.md.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "tests" / "reference_signatures.py"
PAGE = ROOT / "docs" / "reference" / "drop_in.md"
MODULES = ("datasets", "derived_quantities", "systematics", "ingestion", "score", "visualization")
RELEASES = {"0.1.5": "HIGGSML_REFERENCE_PYTHON", "0.1.3": "HIGGSML_REFERENCE_013_PYTHON"}


def names_of(python):
    """What the package of an environment lists, by ``module.name``."""
    command = [python, str(SCRIPT), *MODULES]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    listed = json.loads(done.stdout.splitlines()[-1])
    return {
        f"{module}.{name}": value for module in MODULES for name, value in listed[module].items()
    }


def difference(theirs, ours):
    """Say how what stands under a name of the reference differs from ours, or nothing."""

    def told(default):
        return "required" if default is None else default

    if not isinstance(theirs, list) or not isinstance(ours, list):
        return "" if theirs == ours else f"{theirs} there, {ours} here"
    for position, (name, _, default) in enumerate(theirs):
        if position >= len(ours) or ours[position][0] != name:
            return f"parameter {position} is {name} there"
        if ours[position][2] != default:
            return f"{name} = {told(default)} there, {told(ours[position][2])} here"
    more = [
        name for name, kind, default in ours[len(theirs) :] if default is None and "VAR" not in kind
    ]
    return f"{', '.join(more)} must be given here" if more else ""


def differences(theirs, ours):
    absent = {name: "absent" for name in theirs if name not in ours}
    both = {name: difference(theirs[name], ours[name]) for name in theirs if name in ours}
    return absent | {name: text for name, text in both.items() if text}


def table():
    """The names in the page's table of differences."""
    rows = re.findall(r"^\| `(\w+\.[\w.]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows
    return set(rows)


@pytest.mark.parametrize("release", RELEASES)
def test_every_difference_has_a_row_with_its_reason(release):
    python = os.environ.get(RELEASES[release])
    if not python:
        pytest.skip(f"{RELEASES[release]} does not name the reference's interpreter")
    ours = names_of(sys.executable)
    found = differences(names_of(python), ours)
    assert {name: text for name, text in found.items() if name not in table()} == {}


def test_every_row_is_a_difference():
    pythons = [os.environ.get(variable) for variable in RELEASES.values()]
    if not all(pythons):
        pytest.skip(f"{' and '.join(RELEASES.values())} do not name the reference's interpreters")
    ours = names_of(sys.executable)
    found = [set(differences(names_of(python), ours)) for python in pythons]
    assert table() == set().union(*found)


def test_differences_are_seen():
    """Of a name, a parameter, its place, its default, and one more that must be given."""
    one = ["a", "POSITIONAL_OR_KEYWORD", None]
    two = ["b", "POSITIONAL_OR_KEYWORD", "1"]
    assert differences({"f": [one, two]}, {"f": [one, two]}) == {}
    assert differences({"f": [one]}, {"f": [one, two]}) == {}, "one more with a default is fine"
    assert set(differences({"f": [one]}, {})) == {"f"}
    assert difference([one, two], [two, one]) == "parameter 0 is a there"
    assert difference([one, two], [one]) == "parameter 1 is b there"
    assert difference([two], [["b", "POSITIONAL_OR_KEYWORD", "2"]]) == "b = 1 there, 2 here"
    assert difference([two], [two, one]) == "a must be given here"
    assert difference("1", "2") == "1 there, 2 here"
