"""What SECURITY.md promises is tried, line by line: a promise without a test is a finding."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from HiggsML.ingestion.repeatability import detection_probability
from HiggsML.isolation.budget.budgets import BUDGET_FLAGS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
ATTACKS = {path.stem for path in (ROOT / "tests" / "attacks" / "submissions").glob("*.py")}
WALLS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.split("| Wall |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
]


@pytest.mark.parametrize("row", WALLS, ids=[row[0] for row in WALLS])
def test_every_promise_is_tried(row):
    _, promise, tried = row
    assert promise
    names = re.findall(r"`([^`]+)`", tried)
    assert names
    for name in names:
        assert name in ATTACKS or (ROOT / "tests" / name).is_file(), name


def test_attacks_are_counted():
    stated = int(re.search(r"about (\d+) small submissions", PAGE)[1])
    assert abs(stated - len(ATTACKS)) <= 10


def test_the_numbers_of_asking_again():
    assert f"{100 * detection_probability(1000, 100):.0f} %" in PAGE
    assert detection_probability(1000, 1000) == 1
    assert detection_probability(1000, 10) < 0.3  # "likely to escape"


def test_flags_of_budgets_are_named():
    assert all(f"`{flag}`" in PAGE for flag in BUDGET_FLAGS)


@pytest.mark.parametrize("command", [["study"], ["explore", "--submission"]])
def test_commands_without_isolation_say_so_before_anything_runs(tmp_path, command):
    (tmp_path / "model.py").write_text("raise AssertionError('it must not get here')")
    (tmp_path / "data").mkdir()
    words = [*command, str(tmp_path), "--input", str(tmp_path / "data")]
    done = subprocess.run(
        [sys.executable, "-m", "HiggsML", *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode != 0
    first, *others = done.stderr.splitlines()
    assert "in this process, with all of your rights and without isolation" in first
    assert any("no parquet file" in line for line in others)
