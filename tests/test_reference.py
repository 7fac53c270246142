"""Reference numbers: what a run is measured by, on the page and in the comparison."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from HiggsML.cli.study import _run_table
from HiggsML.reports.yardstick import yardstick
from HiggsML.results import (
    Settings,
    write_duration,
    write_predictions,
    write_settings,
)
from HiggsML.schema import NUISANCES
from HiggsML.statistics.official_scores import bootstrap_scores, compute_scores
from HiggsML.statistics.reference import REFERENCE_FILE, load_reference, ratio
from HiggsML.studies.comparison import load_run
from tests.run_page_fixtures import measured

INFORMATION = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "information.json"
ALL, NONE = (dict.fromkeys(NUISANCES, on) for on in (True, False))


@pytest.mark.parametrize("scenario", ["mini", "official"])
def test_limits_are_shipped_for_both_scenarios_and_rise_with_what_is_unknown(scenario):
    reference = load_reference(scenario, ALL)
    for (known, _), (unknown, error) in zip(reference.known, reference.profiled, strict=True):
        assert known < unknown + 2 * error
    widths = [width for width, _ in reference.profiled]
    assert all(low < high for low, high in pairwise(widths))
    assert 1 < reference.sample["ratio"][0] < 1.2
    assert json.loads(REFERENCE_FILE.read_text())["made by"]


def test_the_limit_is_a_mean_over_the_true_values():
    mini = load_reference("mini")
    at_one, at_three = (mini.limit_at([mu], known=False)[0] for mu in (1.0, 3.0))
    assert mini.limit_at([1.0, 3.0, 3.0], known=False)[0] == pytest.approx(
        (at_one + 2 * at_three) / 3
    )
    # The same command writes the table of INFORMATION.md, there without the spread of nuisances.
    nominal = json.loads(INFORMATION.read_text(encoding="utf-8"))["limits"]["mini"]["nominal"]
    assert at_one == pytest.approx(2 * nominal["sigma_profiled"], rel=0.02)


def test_some_systematics_or_other_yields_have_no_reference():
    assert load_reference("mini", ALL | {"tes": False}) is None
    assert load_reference("my_data", ALL) is None
    assert load_reference("mini", NONE).limit_at([1.0], known=True)[0] < 0.1


def test_relative_errors_add_in_quadrature():
    assert ratio((2.0, 0.06), (4.0, 0.16)) == pytest.approx((0.5, 0.5 * 0.05))


@pytest.mark.parametrize(("systematics", "names"), [(ALL, 3), (NONE, 2)])
def test_a_run_stands_beside_the_sample_and_the_limit(systematics, names):
    predictions, mus = measured(5, 200, spread=0.06)
    settings = Settings(5, 200, systematics, mus, details={"dataset": "mini"})
    scores = compute_scores(predictions, mus)
    beside = yardstick(settings, scores, bootstrap_scores(predictions, mus))
    assert len(beside.rows) == names  # the sample's numbers hold with all systematics
    bound, _ = load_reference("mini").limit_at(list(mus.values()), known=systematics is NONE)
    assert beside.of_limit[0] == pytest.approx(scores.interval / bound)
    assert yardstick(Settings(5, 200, ALL, mus), scores) is None


def test_compare_shows_both_within_80_columns(tmp_path):
    predictions, mus = measured(3, 50, spread=0.06)
    settings = Settings(3, 50, ALL, mus, details={"dataset": "mini"})
    for name in ("mine", "a_name_that_is_longer_than_a_cell_of_the_table"):
        place = tmp_path / name
        place.mkdir()
        write_predictions(place, predictions)
        write_duration(place, 60.0, fit_seconds=20.0)
        write_settings(place, settings)
    runs = [load_run(path) for path in sorted(tmp_path.iterdir())]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(_run_table(runs))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert runs[0].of_limit in text
    assert "sample" in text
    assert np.isfinite(runs[0].beside.of_limit).all()
