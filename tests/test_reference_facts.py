"""What code for the reference sees is what it sees of ours: index, types, rows, results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent / "golden" / "drop_in_facts.py"


def facts(python, dataset, output):
    output.mkdir()
    command = [python, str(SCRIPT), str(dataset), str(output)]
    environment = os.environ | {"MPLBACKEND": "agg", "MPLCONFIGDIR": str(output.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "variable", ["HIGGSML_REFERENCE_PYTHON", "HIGGSML_REFERENCE_013_PYTHON"], ids=["0.1.5", "0.1.3"]
)
def test_code_for_the_reference_sees_the_same(variable, make_events, write_dataset, tmp_path):
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{variable} does not name the reference's interpreter")
    dataset = write_dataset(make_events(400, seed=4), derived=True)
    theirs = facts(python, dataset, tmp_path / "theirs")
    ours = facts(sys.executable, dataset, tmp_path / "ours")
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert ours[name] == value, name
