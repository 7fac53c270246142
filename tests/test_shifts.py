"""What nuisance parameters do to arrays and rates, and how they are drawn."""

import math

import numpy as np
import pytest
from scipy import stats

from HiggsML.errors import SettingsError
from HiggsML.physics.event import Event
from HiggsML.physics.features import derive
from HiggsML.physics.kinematics import Vector
from HiggsML.physics.shifts import (
    draw_nuisances,
    passes_cuts,
    rate_factors,
    shifted,
    without_soft_jets,
)
from HiggsML.schema import NUISANCES, PRI_COLUMNS, SHAPE_NUISANCES

SCALES = ("ttbar_scale", "diboson_scale", "bkg_scale")
ALL = dict.fromkeys(NUISANCES, True)


def test_rate_factors_multiply():
    factors = rate_factors(mu=2, ttbar_scale=1.1, diboson_scale=0, bkg_scale=0.9)
    assert factors["htautau"] == 2
    assert factors["ttbar"] == pytest.approx(0.99)
    assert factors["diboson"] == 0
    assert factors["ztautau"] == 0.9


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["mu", *SCALES])
def test_impossible_rates_are_refused(name, value):
    with pytest.raises(SettingsError, match="rates must be finite and not negative"):
        rate_factors(**{name: value})


def event_of(frame, dtype):
    """An event of arrays that can not be written."""
    columns = {name: frame[name].to_numpy(dtype, copy=True) for name in PRI_COLUMNS}
    for column in columns.values():
        column.flags.writeable = False
    return Event(columns)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shifts_and_cuts_change_what_they_should_and_none_of_their_arguments(events, dtype):
    before = event_of(events, dtype)
    noise = Vector(*np.ones((2, len(events))))  # of double precision, as a frame's noise is
    after = without_soft_jets(shifted(before, tes=1.1, jes=0.9, soft_met=noise))
    assert passes_cuts(after).any()
    assert {column.dtype for column in after.columns.values()} == {np.dtype(dtype)}
    changed = {name for name in PRI_COLUMNS if not np.array_equal(after[name], before[name])}
    assert changed == {
        *("PRI_had_pt", "PRI_met", "PRI_met_phi", "PRI_n_jets", "PRI_jet_all_pt"),
        *(f"PRI_jet_{jet}_{x}" for jet in ("leading", "subleading") for x in ("pt", "eta", "phi")),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_directions_that_steps_share_stay_those_of_the_angles(make_events, dtype):
    event = event_of(make_events(2_000), dtype)
    for particle in ("lep", "had", "jet_leading", "met"):
        event.direction(particle)
    after = without_soft_jets(shifted(event, tes=1.02, jes=0.9))
    assert after["PRI_n_jets"].sum() < event["PRI_n_jets"].sum()
    for name in ("lep", "had", "jet_leading", "met"):
        phi, known = after[f"PRI_{name}_phi"], after.direction(name)
        np.testing.assert_array_equal((known.x, known.y), (np.cos(phi), np.sin(phi)))
    for name, values in derive(after).items():
        np.testing.assert_array_equal(values, derive(after.columns)[name])


@pytest.mark.parametrize("name", NUISANCES)
def test_nuisance_draws_follow_their_priors(name):
    """Kolmogorov-Smirnov test against scipy's distributions; the priors are those of the challenge
    (arXiv 2410.02867), stated here once more on purpose."""
    prior, low, high = {
        "tes": (stats.norm(1, 0.01), 0.9, 1.1),
        "jes": (stats.norm(1, 0.01), 0.9, 1.1),
        "soft_met": (stats.lognorm(s=1), 0.0, 5.0),
        "ttbar_scale": (stats.norm(1, 0.02), 0.8, 1.2),
        "diboson_scale": (stats.norm(1, 0.25), 0.0, 2.0),
        "bkg_scale": (stats.norm(1, 0.001), 0.99, 1.01),
    }[name]
    n = 4_000
    rng = np.random.default_rng(12)
    values = np.array([draw_nuisances(ALL, rng)[name] for _ in range(n)])
    assert values.min() >= low
    assert values.max() <= high
    inside = values[(values > low) & (values < high)]
    edges = prior.cdf(low), prior.cdf(high)
    cdf = lambda x: (prior.cdf(x) - edges[0]) / (edges[1] - edges[0])  # noqa: E731
    assert stats.kstest(inside, cdf).pvalue > 0.001
    share = 1 - (edges[1] - edges[0])
    at_edges = n - inside.size
    assert abs(at_edges - n * share) <= 4 * math.sqrt(n * share * (1 - share)) + 1e-9
    assert (at_edges > 0) == (name == "soft_met")  # 5.4 % of the lognormal lie above 5 GeV


class Extreme:
    """A generator that always draws the same number of standard deviations."""

    def __init__(self, value):
        self.value = value

    def standard_normal(self):
        return self.value


@pytest.mark.parametrize(("value", "edge"), [(100.0, "high"), (-100.0, "low")])
def test_extreme_draws_are_clipped(value, edge):
    drawn = draw_nuisances(ALL, Extreme(value))
    for name, nuisance in NUISANCES.items():
        assert drawn[name] == pytest.approx(getattr(nuisance, edge), abs=1e-12)


def test_nuisances_are_independent():
    rng = np.random.default_rng(4)
    draws = np.array([list(draw_nuisances(ALL, rng).values()) for _ in range(3_000)])
    correlations = np.corrcoef(draws.T)[np.triu_indices(6, k=1)]
    assert np.abs(correlations).max() < 4 / math.sqrt(3_000)


@pytest.mark.parametrize("name", NUISANCES)
def test_switching_a_nuisance_off_leaves_the_others(name):
    every = draw_nuisances(ALL, np.random.default_rng(3))
    without = draw_nuisances({**ALL, name: False}, np.random.default_rng(3))
    absent = {other: on for other, on in ALL.items() if other != name}
    assert without == draw_nuisances(absent, np.random.default_rng(3))
    nominal = {"soft_met": 0.0}.get(name, 1.0) if name in SHAPE_NUISANCES else None
    assert without == {**every, name: nominal}


def test_unknown_nuisances_are_named():
    with pytest.raises(SettingsError, match=r"unknown systematics \['tau'\]; known are tes, jes"):
        draw_nuisances({"tau": True}, np.random.default_rng(0))
