"""What nuisance parameters do to arrays and rates, and how they are drawn."""

import math

import numpy as np
import pytest
from scipy import stats

from HiggsML.errors import SettingsError
from HiggsML.physics.chunks import Scratch
from HiggsML.physics.features import derive
from HiggsML.physics.kinematics import Directions
from HiggsML.physics.shifts import (
    draw_nuisances,
    passes_cuts,
    rate_factors,
    remove_soft_jets,
    shift_energies,
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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_events_change_in_place_and_the_rest_stays(events, dtype):
    event = {name: events[name].to_numpy(dtype, copy=True) for name in PRI_COLUMNS}
    arrays, before = dict(event), {name: array.copy() for name, array in event.items()}
    noise = np.ones(len(events), dtype)
    noise.flags.writeable = False
    for name in ("PRI_lep_pt", "PRI_lep_eta", "PRI_lep_phi", "PRI_had_eta", "PRI_had_phi"):
        arrays[name].flags.writeable = False
    shift_energies(event, tes=1.1, jes=0.9, soft_met=(noise, noise))
    remove_soft_jets(event)
    passes_cuts(event)
    assert all(event[name] is array and array.dtype == dtype for name, array in arrays.items())
    changed = {name for name, array in arrays.items() if not np.array_equal(array, before[name])}
    assert changed == {
        *("PRI_had_pt", "PRI_met", "PRI_met_phi", "PRI_n_jets", "PRI_jet_all_pt"),
        *(f"PRI_jet_{jet}_{x}" for jet in ("leading", "subleading") for x in ("pt", "eta", "phi")),
    }


def test_what_is_in_temporary_arrays_does_not_matter(events):
    def shifted(scratch):
        event = {name: events[name].to_numpy(np.float32, copy=True) for name in PRI_COLUMNS}
        shift_energies(event, tes=1.01, jes=0.98, scratch=scratch)
        return np.stack(list(event.values()))

    used = Scratch()
    for array in used.take(10, len(events)):
        array.fill(np.nan)
    np.testing.assert_array_equal(shifted(used), shifted(None))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_directions_that_steps_share_stay_those_of_the_angles(make_events, dtype):
    events = make_events(2_000)
    event = {name: events[name].to_numpy(dtype, copy=True) for name in PRI_COLUMNS}
    directions, jets = Directions(event), event["PRI_n_jets"].sum()
    shift_energies(event, tes=1.02, jes=0.9, directions=directions)
    remove_soft_jets(event, directions=directions)
    assert event["PRI_n_jets"].sum() < jets
    for name in ("had", "jet_leading", "met"):
        phi = event[f"PRI_{name}_phi"]
        np.testing.assert_array_equal(directions[name], (np.cos(phi), np.sin(phi)))
    for name, values in derive(event, directions=directions).items():
        np.testing.assert_array_equal(values, derive(event)[name])


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
