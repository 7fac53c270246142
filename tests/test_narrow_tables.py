"""Every table of a command fits a terminal of 80 columns, with no cell cut off or broken."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from HiggsML.cli import console
from HiggsML.cli.information import _impact_table, _limit_table
from HiggsML.cli.information import _run_table as ratio_table
from HiggsML.cli.rank import _ranking_table
from HiggsML.cli.runs import _runs_table
from HiggsML.cli.study import _difference_table, _run_table, _study_table
from HiggsML.schema import NUISANCES
from HiggsML.statistics.fisher_information import Information
from HiggsML.statistics.summary import paired_differences
from HiggsML.studies.comparison import load_run
from HiggsML.studies.information_limit import Limit
from HiggsML.studies.study import Study, grid
from tests.pipeline_fixtures import HIGGSML
from tests.terminal import on_terminal
from tests.test_study import normal_measurements, write_run

LONG = "a_submission_with_a_name_that_is_longer_than_any_cell"
NUMBER = r"[+-]?\d+\.\d+ ± \d+\.\d+"


def shown(table) -> list[str]:
    narrow = Console(width=80, record=True, file=io.StringIO())
    narrow.print(table)
    return narrow.export_text().splitlines()


def held(lines: list[str]) -> None:
    """Nothing is wider than the terminal, cut off, or has its number in two lines."""
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    for line in lines:
        assert line.count("±") == len(re.findall(NUMBER, line)), line


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    places = [tmp_path_factory.mktemp("runs") / name for name in ("mine", LONG)]
    for place, scale in zip(places, (1.0, 2.0), strict=True):
        write_run(place, normal_measurements(400, scale=scale))
    return [load_run(place) for place in places]


def test_compare_and_runs(compared):
    held(shown(_run_table(compared)))
    named = [(run.name, run) for run in compared]
    lines = shown(_runs_table(f"outputs/{LONG}", named))
    held(lines)
    assert sum(line.count("±") for line in lines) == 6
    differences = paired_differences(*(run.measurements for run in compared))
    held(shown(_difference_table(f"{LONG} minus {LONG}", differences)))


def test_study():
    measured = normal_measurements(400)
    points = grid([0.1, 1.5], nuisances=NUISANCES)
    lines = shown(_study_table(Study(tuple(points), (measured,) * len(points), 1)))
    held(lines)
    assert sum("soft_met" in line for line in lines) == 5
    assert sum("±" in line for line in lines) == len(points), "each point is one line"


def test_information():
    per = dict.fromkeys(NUISANCES, 0.012345)
    one = Limit((0.0987, 0.0012), (0.1234, 0.0023), Information(1.0, 0.098, 0.123, per, per))
    for table in (_limit_table({"mini": one, "official": one}), _impact_table("official", one)):
        held(shown(table))
    ratio = {
        "run": LONG,
        "scenario": "official",
        **dict.fromkeys(("width", "limit", "ratio"), one.known),
    }
    held(shown(ratio_table([ratio])))


def test_rank():
    entry = SimpleNamespace(
        rank=12,
        last_rank=34,
        name=LONG,
        interval_score=0.20291,
        errors=SimpleNamespace(total=0.00493),
        coverage=SimpleNamespace(coverage=0.66234, error=0.01456),
        metrics={"width": 0.13001},
    )
    held(shown(_ranking_table(SimpleNamespace(entries=[entry]))))


def test_the_leaderboard_row(monkeypatch, tmp_path):
    narrow = Console(width=80, record=True, file=io.StringIO())
    monkeypatch.setattr(console, "output_console", lambda: narrow)
    scores = dict.fromkeys(
        ("quantiles_score", "coverage", "interval", "rmse", "mae", "ingestion_duration"), -12.34567
    )
    errors = dict.fromkeys(("quantiles_score", "coverage", "interval"), 0.12345)
    console.show_scores(scores, tmp_path, errors=errors, of_limit="1.041 ± 0.012")
    lines = [line for line in narrow.export_text().splitlines() if not line.startswith("Report")]
    held(lines)
    assert sum("limit" in line for line in lines) == 1


def test_doctor_on_a_terminal():
    code, lines = on_terminal(HIGGSML, "doctor")
    assert code == 0, lines
    table = lines[: next(i for i, line in enumerate(lines) if line.startswith("* essential"))]
    held(table)
