"""The information limit: bins, what they expect, scenarios, and the command."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from HiggsML.cli.information import information
from HiggsML.datasets import Data
from HiggsML.schema import NUISANCES, PROCESSES, SIGNAL
from HiggsML.statistics.reference import REFERENCE_FILE
from HiggsML.studies.figures import impact_plot
from HiggsML.studies.information_limit import (
    Bins,
    ExpectedCounts,
    counts_of_scenario,
    expected_counts,
    limit,
)
from HiggsML.systematics import systematics


def toy(scale=1.0):
    """Two bins, the first of which is rich in signal; tes moves events between them."""
    rows = {SIGNAL: (100, 20), "ztautau": (50, 2000), "ttbar": (5, 50), "diboson": (1, 5)}
    nominal = scale * np.array([rows[process] for process in PROCESSES], dtype=np.float64)
    changes = np.zeros((6, *nominal.shape))
    changes[0] = 0.02 * nominal * [1, -1]
    return ExpectedCounts(nominal, changes)


@pytest.fixture(scope="module")
def events(mini_dataset):
    data = Data(mini_dataset)
    data.load_train_set(train_size=8000)
    return data.get_train_set()


def by_mass(frame):
    """Stand-in for a classifier: the visible mass and the pt of the candidate."""
    return np.stack([frame["DER_mass_vis"], frame["DER_pt_h"]]).astype(np.float32)


def test_bins_divide_one_quantity_after_the_other_into_equal_parts():
    columns = np.random.default_rng(1).normal(size=(2, 12_000))
    bins = Bins(columns, np.ones(12_000), (3, 4))
    counts = np.bincount(bins(columns), minlength=bins.size)
    assert bins.size == 12
    assert counts == pytest.approx(1000, abs=3)
    # The first quantity divides first: its lowest third fills the first four bins.
    assert bins(np.array([[-5.0, 5.0], [5.0, -5.0]])).tolist() == [3, 8]


def test_counts_follow_shifted_events(events):
    halves = expected_counts(events, by_mass, parts=(2, 3, 1, 1))
    theta = np.array([1.0, *[0.0] * 6])
    theta[1] = 2.0  # tes = 1.02
    theta[3] = -20.0  # no soft missing momentum
    exact = systematics(events, tes=1.02)["weights"].sum()
    mean = np.mean([counts(theta).sum() for counts in halves])
    assert mean == pytest.approx(exact, rel=2e-3)


def test_rates_multiply_their_processes():
    counts = toy()
    theta = np.array([2.0, 0, 0, 0, 1.0, 0, 0])
    expected = dict(zip(PROCESSES, counts.nominal, strict=True))
    change = expected[SIGNAL] + NUISANCES["ttbar_scale"].scale * expected["ttbar"]
    start = counts(np.array([1.0, *[0.0] * 6]))
    assert counts(theta) == pytest.approx(start + change)


def test_the_official_scenario_has_the_same_signal_and_more_background():
    official = counts_of_scenario(toy(), "official")
    factors = official.nominal / toy().nominal
    for process, factor in zip(PROCESSES, factors, strict=True):
        assert factor == pytest.approx(1 if process == SIGNAL else 200)


def test_nuisances_lengthen_the_limit_and_equal_halves_have_no_error():
    found = limit((toy(), toy()), mus=[1.0], points=5)
    assert found.profiled[0] > found.known[0]
    assert found.profiled[1] == pytest.approx(0)
    assert found.nominal.impacts["tes"] < 0


def test_the_command_writes_numbers_and_a_figure(tmp_path):
    # Histograms that are there already are used: no events are made.
    kept = toy()
    np.savez(
        tmp_path / "counts_300000_1.npz",
        nominal=np.stack([kept.nominal] * 2),
        changes=np.stack([kept.changes] * 2),
    )
    arguments = ["--events", "300000", "--output", str(tmp_path)]
    done = CliRunner().invoke(information, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert "[prior widths]" in done.output
    written = json.loads((tmp_path / "information.json").read_text())
    assert written["limits"]["mini"]["profiled"][0] < written["limits"]["official"]["profiled"][0]
    assert (tmp_path / "information.png").stat().st_size > 0
    few = CliRunner().invoke(information, ["--events", "60000", "--output", str(tmp_path)])
    assert few.exit_code == 2  # their limit is off by three of its errors


def test_the_command_writes_the_numbers_that_reports_show(tmp_path):
    kept = toy()
    np.savez(
        tmp_path / "counts_300000_1.npz",
        nominal=np.stack([kept.nominal] * 2),
        changes=np.stack([kept.changes] * 2),
    )
    target = tmp_path / "reference.json"
    arguments = ["--events", "300000", "--output", str(tmp_path), "--reference", str(target)]
    CliRunner().invoke(information, arguments, catch_exceptions=False)
    written, shipped = (json.loads(path.read_text()) for path in (target, REFERENCE_FILE))
    assert written["made by"] == "higgsml information --events 300000 --seed 1"
    for scenario, numbers in shipped["scenarios"].items():
        assert written["scenarios"][scenario].keys() == numbers.keys()
        assert written["scenarios"][scenario]["mu"] == numbers["mu"]
        at_one = written["scenarios"][scenario]["profiled"][numbers["mu"].index(1.0)]
        counts = counts_of_scenario(toy(), scenario)
        assert at_one[0] == pytest.approx(limit((counts, counts), mus=[1.0], points=40).profiled[0])


def test_an_impact_figure_has_no_bar_that_starts_elsewhere_than_zero():
    nominal = limit((toy(), toy()), mus=[1.0], points=2).nominal
    for axes in impact_plot({"mini": nominal}).axes:
        for bar in axes.patches:
            assert bar.get_x() == 0
            assert axes.get_xlim()[0] < 0 < axes.get_xlim()[1]
