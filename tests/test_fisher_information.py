"""The information limit against cases with known answers, and the closure of the benchmark."""

import numpy as np
import pytest

from HiggsML.errors import SettingsError
from HiggsML.statistics.fisher_information import (
    bias_coverage,
    expected_coverage,
    fisher_information,
    information_at,
    mean_width,
    required_repeats,
)

SIGNAL = np.array([50.0, 30.0, 10.0])
BACKGROUND = np.array([500.0, 50.0, 2.0])


def expected(theta):
    mu, rate = theta
    return mu * SIGNAL + (1 + 0.1 * rate) * BACKGROUND


def test_without_nuisances_it_is_the_poisson_sum():
    found = fisher_information(lambda t: t[0] * SIGNAL + BACKGROUND, [1.0])
    assert found[0, 0] == pytest.approx((SIGNAL**2 / (SIGNAL + BACKGROUND)).sum())


def test_one_bin_with_a_background_uncertainty_adds_in_quadrature():
    found = information_at(lambda t: t[:1] * 50 + (1 + 0.1 * t[1]) * 400.0, 1.0, ["rate"])
    assert found.sigma_known == pytest.approx(np.sqrt(450) / 50)
    assert found.sigma_profiled == pytest.approx(np.sqrt(450 + 40**2) / 50)
    assert found.impacts["rate"] == pytest.approx(-40 / 50)  # more background, less signal
    assert found.width_without("rate") == pytest.approx(found.width_known)
    assert found.width_profiled == 2 * found.sigma_profiled
    assert found.width_known == 2 * found.sigma_known


def test_many_bins_constrain_a_nuisance_beyond_its_prior():
    found = information_at(expected, 1.0, ["rate"])
    assert found.constraints["rate"] < 0.6
    assert found.sigma_known < found.sigma_profiled


def test_finite_templates_cost_information():
    exact = information_at(expected, 1.0, ["rate"]).sigma_profiled
    poor = information_at(expected, 1.0, ["rate"], variance=expected([1.0, 0.0])).sigma_known
    assert poor == pytest.approx(np.sqrt(2) * information_at(expected, 1.0, ["rate"]).sigma_known)
    assert poor != exact


def test_mean_width_is_a_mean():
    known, profiled = mean_width(expected, [0.5, 1.5], np.zeros((2, 1)), ["rate"])
    single = [information_at(expected, mu, ["rate"]) for mu in (0.5, 1.5)]
    assert known == pytest.approx(np.mean([one.width_known for one in single]))
    assert profiled == pytest.approx(np.mean([one.width_profiled for one in single]))


def test_an_empty_bin_is_refused():
    with pytest.raises(SettingsError, match="merge"):
        fisher_information(lambda t: t[0] * np.array([1.0, 0.0]), [1.0])


def test_coverage_of_finite_test_sets():
    assert bias_coverage(0.0) == pytest.approx(0.6827, abs=1e-4)
    assert bias_coverage(0.3) == pytest.approx(0.6827 - 0.242 * 0.09, abs=1e-3)
    # The mean over normal biases is the closed form.
    biases = np.random.default_rng(0).normal(scale=np.sqrt(1 / 20), size=100_000)
    assert expected_coverage(20) == pytest.approx(bias_coverage(biases).mean(), abs=3e-4)
    assert 0.6827 - expected_coverage(20) == pytest.approx(0.242 / 20, abs=1e-3)


def test_required_repeats_keep_the_coverage():
    repeats = required_repeats(0.01)
    assert repeats == pytest.approx(96.8, abs=0.1)
    assert 0.6827 - bias_coverage(2 / np.sqrt(repeats)) == pytest.approx(0.01, abs=1e-3)


@pytest.mark.parametrize("call", [expected_coverage, required_repeats])
def test_impossible_numbers_are_named(call):
    with pytest.raises(SettingsError, match="positive"):
        call(0.0)


def test_a_finite_test_set_biases_all_of_its_pseudo_experiments():
    """The formula 1 + 1/r by brute force: counts from a test set that is itself Poisson."""
    rng = np.random.default_rng(3)
    mean, repeats = 400.0, 4
    true_rates = rng.poisson(mean * repeats, 4000) / repeats  # one per test set
    counts = rng.poisson(true_rates)
    assert counts.var() / mean == pytest.approx(1 + 1 / repeats, rel=0.05)
    covered = np.abs(counts - mean) <= np.sqrt(mean)
    assert covered.mean() == pytest.approx(expected_coverage(repeats), abs=0.025)
