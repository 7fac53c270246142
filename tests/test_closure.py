"""The generator of pseudo-experiments, judged by a method that can not be wrong."""

import numpy as np
import pytest
from closure import (
    N_BINS,
    KnownTruth,
    closure,
    default_bins,
    known_truth,
    poisson_interval,
    simulated_repeats,
)

from HiggsML.datasets import Data
from HiggsML.errors import SettingsError
from HiggsML.pseudo_experiments import EventStore
from HiggsML.studies.study import summarize


@pytest.fixture(scope="module")
def mini(mini_dataset):
    data = Data(mini_dataset)
    data.load_test_set()
    return data


def test_interval_of_one_bin_is_that_of_a_poisson_count():
    truth = KnownTruth(np.array([10.0, 0.0]), np.array([90.0, 5.0]))
    best, low, high = poisson_interval(np.array([100.0, 7.0]), truth)
    assert best == pytest.approx(1.0)
    # 2 (nu - n - n ln(nu / n)) = 1 for n = 100, solved by hand to three digits.
    assert low == pytest.approx(0.0332, abs=1e-3)
    assert high == pytest.approx(2.0335, abs=1e-3)


def test_interval_without_events_ends_where_the_expectation_vanishes():
    truth = KnownTruth(np.array([10.0]), np.array([5.0]))
    best, low, high = poisson_interval(np.array([0.0]), truth)
    assert best == low == pytest.approx(-0.5)
    assert high == pytest.approx(-0.5 + 0.05)


def test_known_truth_holds_all_expected_events(mini):
    nominal = known_truth(mini.get_test_set())
    assert nominal.signal.size == N_BINS
    store = EventStore.from_data(mini)
    sizes = [len(store.pseudo_experiment(mu=1.0, seed=seed)["data"]) for seed in range(30)]
    total = (nominal.signal + nominal.background).sum()
    assert np.mean(sizes) == pytest.approx(total, abs=4 * np.sqrt(total / 30))
    more = known_truth(mini.get_test_set(), {"bkg_scale": 1.01, "tes": None})
    np.testing.assert_allclose(more.background, nominal.background * 1.01)


def test_a_method_that_knows_everything_covers(mini):
    store = EventStore.from_data(mini)
    shifts = {"tes": 1.015, "jes": 0.99, "soft_met": 3.0, "ttbar_scale": 1.04}
    found = closure(
        store,
        lambda nuisances: known_truth(mini.get_test_set(), nuisances),
        [(0.5, {}), (2.0, shifts)],
        experiments=150,
        seed=8,
    )
    s = summarize(found, n_bootstraps=1)
    assert s.coverage == pytest.approx(0.6827, abs=3 * s.coverage_error)
    assert s.pull_mean == pytest.approx(0, abs=3 / np.sqrt(s.n))
    assert s.pull_width == pytest.approx(1, abs=0.15)


def test_simulated_repeats_predict_the_bias_of_random_test_splits(mini):
    """Splits of a twentieth of all events, whose distribution is the truth here."""
    rng = np.random.default_rng(4)
    everything = mini.get_test_set()
    truth = known_truth(everything)
    biases, inverse = [], []
    for _ in range(60):
        split = {}
        for name, events in everything.items():
            chosen = events.iloc[rng.choice(len(events), len(events) // 20, replace=False)]
            weight = events["weights"].sum() / len(chosen)
            split[name] = chosen.assign(weights=weight)
        own = known_truth(split)
        best, low, high = poisson_interval(own.signal + own.background, truth)
        biases.append(2 * (best - 1) / (high - low))
        inverse.append(0.95 / simulated_repeats(split, 1.0))  # drawn without replacement
    # The spread of 60 numbers is known to 9 %.
    assert np.std(biases) == pytest.approx(np.mean(inverse) ** 0.5, rel=0.27)


def test_only_the_distribution_within_a_process_counts(mini):
    """With the yields known, a single bin leaves nothing but the events that fail the cuts."""
    test_set = mini.get_test_set()
    in_one = simulated_repeats(test_set, 1.0, bins=lambda e: np.zeros(len(e), int), n_bins=1)
    assert in_one > 3 * simulated_repeats(test_set, 1.0)


def test_bins_and_numbers(mini):
    events = EventStore.from_data(mini).pseudo_experiment(mu=1.0, seed=1)["data"]
    assert 0 <= default_bins(events).min() <= default_bins(events).max() < N_BINS
    with pytest.raises(SettingsError, match="needs"):
        closure(None, None, [], experiments=0, seed=1)
