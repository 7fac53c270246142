import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from HiggsML.errors import HiggsMLError, ResultsError, SettingsError
from HiggsML.results import Predictions
from HiggsML.statistics.official_scores import (
    EPSILON,
    bootstrap_scores,
    compute_scores,
    coverage_band,
    coverage_penalty,
    mae_score,
    quantiles_score,
    resampled_scores,
    rmse_score,
)

TARGET = 0.6827
CASES = ["below", "slightly_below", "inside", "above", "no_width", "one", "pooled"]

MU = st.floats(0.1, 3)
NUMBER = st.floats(-100, 100)
WIDTH = st.floats(0, 50)
INTERVALS = st.lists(st.tuples(MU, NUMBER, WIDTH), min_size=1, max_size=30).map(
    lambda rows: tuple(
        np.array(column)
        for column in zip(*((mu, p16, p16 + w) for mu, p16, w in rows), strict=True)
    )
)


def make_predictions(mus, n=50, seed=0):
    rng = np.random.default_rng(seed)
    result = {}
    for index, mu in mus.items():
        mu_hat = mu + 0.2 * rng.standard_normal(n)
        result[index] = Predictions(mu_hat, np.full(n, 0.2), mu_hat - 0.2, mu_hat + 0.2)
    return result


# ----------------------------------------------------------------------------------------------
# Golden values, see tests/golden/README.md
# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_golden_values(make_golden, golden, name):
    mu, mu_hat, delta, p16, p84 = make_golden.make_predictions()[name]
    ours = [
        rmse_score(mu, mu_hat, delta),
        mae_score(mu, mu_hat, delta),
        *quantiles_score(mu, p16, p84),
    ]
    np.testing.assert_allclose(ours, golden[f"score/{name}"], rtol=1e-12, atol=1e-12)


def test_golden_cases_lie_on_all_sides_of_the_band(make_golden, golden):
    side = {}
    for name, (mu, *_) in make_golden.make_predictions().items():
        low, high = coverage_band(mu.size)
        coverage = golden[f"score/{name}"][3]
        side[name] = int(coverage > high) - int(coverage < low)
    assert side["below"] == side["slightly_below"] == side["no_width"] == -1
    assert side["inside"] == 0
    assert side["above"] == 1


def test_golden_values_of_several_sets(make_golden, golden):
    """Sets of different sizes: RMSE and MAE are means over sets, the quantiles score is pooled."""
    names = ["below", "inside", "above"]
    cases = make_golden.make_predictions()
    predictions = {i: Predictions(*cases[name][1:]) for i, name in enumerate(names)}
    mus = {i: float(cases[name][0][0]) for i, name in enumerate(names)}
    scores = compute_scores(predictions, mus)
    each = np.array([golden[f"score/{name}"] for name in names])
    pooled = golden["score/pooled"]
    expected = [*each[:, :2].mean(axis=0), *pooled[2:]]
    np.testing.assert_allclose(list(scores.as_dict().values()), expected, rtol=1e-12)
    for one, values in zip(scores.sets, each, strict=True):
        ours = [one.rmse, one.mae, one.interval, one.coverage, one.quantiles_score]
        np.testing.assert_allclose(ours, values, rtol=1e-12)


# ----------------------------------------------------------------------------------------------
# Formulas
# ----------------------------------------------------------------------------------------------


def test_rmse_and_mae_by_hand():
    # d = 0.5 and 1: sqrt(0.25 + (0.25 - 0.04)^2), sqrt(1 + (1 - 0.25)^2)
    expected = (math.sqrt(0.25 + 0.21**2) + math.sqrt(1 + 0.75**2)) / 2
    assert rmse_score(1.0, [1.5, 2.0], [0.2, 0.5]) == pytest.approx(expected, rel=1e-14)
    assert mae_score(1.0, [1.5, 0.0], [0.2, 0.5]) == pytest.approx((0.8 + 1.5) / 2, rel=1e-14)
    assert rmse_score(1.0, 1.0, 0.0) == mae_score(1.0, 1.0, 0.0) == 0


@given(MU, NUMBER, WIDTH)
def test_rmse_and_mae_do_not_depend_on_the_sign_of_the_error(mu, error, delta):
    for score in (rmse_score, mae_score):
        above, below = score(0.0, error, delta), score(0.0, -error, delta)
        assert above == below
        assert above >= abs(error) - 1e-9
        assert score(mu, mu + error, delta) == pytest.approx(above, rel=1e-6, abs=1e-9)


def test_quantiles_score_by_hand():
    # 3 of 4 covered with a mean width of 1.5: 0.75 is inside the band of 4 predictions.
    result = quantiles_score([1, 1, 1, 1], [0, 0.5, 1, 2], [1, 2, 3, 3.5])
    assert result.interval == 1.5
    assert result.coverage == 0.75
    assert result.score == pytest.approx(-math.log(1.501), rel=1e-14)


def test_interval_ends_count_as_covered():
    assert quantiles_score([1.0, 1.0], [1.0, 0.0], [2.0, 1.0]).coverage == 1


@given(INTERVALS)
def test_quantiles_score_does_not_depend_on_the_order(intervals):
    mu, p16, p84 = intervals
    straight = quantiles_score(mu, p16, p84)
    reverse = quantiles_score(mu[::-1], p16[::-1], p84[::-1])
    assert reverse == pytest.approx(straight, rel=1e-9, abs=1e-9)
    assert straight.interval >= 0
    assert 0 <= straight.coverage <= 1


@given(INTERVALS, st.integers(-64, 64))
def test_quantiles_score_does_not_depend_on_the_origin(intervals, shift):
    mu, p16, p84 = (np.round(values * 1024) / 1024 for values in intervals)  # exact when shifted
    straight = quantiles_score(mu, p16, p84)
    assert quantiles_score(mu + shift, p16 + shift, p84 + shift) == pytest.approx(straight)


@given(INTERVALS)
def test_shorter_intervals_of_the_same_coverage_score_higher(intervals):
    mu, p16, p84 = intervals
    covered = (mu >= p16) & (mu <= p84)
    low = np.where(covered, (mu + p16) / 2, p16)
    high = np.where(covered, (mu + p84) / 2, p84)
    before, after = quantiles_score(mu, p16, p84), quantiles_score(mu, low, high)
    assume(after.coverage == before.coverage)
    assert after.score >= before.score - 1e-12


@given(st.floats(0, 1), st.integers(1, 10**6))
def test_penalty_is_at_least_one(coverage, n):
    penalty = coverage_penalty(coverage, n)
    low, high = coverage_band(n)
    assert (penalty == 1) if low <= coverage <= high else (penalty >= 1)
    assert math.isfinite(penalty)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 10**6))
def test_penalty_grows_with_the_distance_from_the_band(first, second, n):
    near, far = sorted((first, second), key=lambda coverage: abs(coverage - TARGET))
    assume((near - TARGET) * (far - TARGET) >= 0)
    assert coverage_penalty(near, n) <= coverage_penalty(far, n)


@pytest.mark.parametrize("n", [100, 1000])
def test_penalty_by_hand(n):
    sigma = math.sqrt(TARGET * (1 - TARGET) / n)
    low, high = coverage_band(n)
    assert (low, high) == pytest.approx((TARGET - 2 * sigma, TARGET + 2 * sigma))
    assert coverage_penalty(low - 3 * sigma, n) == pytest.approx(1 + 3**4)
    assert coverage_penalty(high + 3 * sigma, n) == pytest.approx(1 + 3**3)
    assert coverage_penalty(TARGET, n) == 1


@pytest.mark.parametrize("n", [0, -1])
def test_coverage_of_nothing_is_refused(n):
    with pytest.raises(SettingsError, match=f"at least one prediction, got {n}"):
        coverage_penalty(0.5, n)


# ----------------------------------------------------------------------------------------------
# What is refused
# ----------------------------------------------------------------------------------------------


def test_defect_12_swapped_intervals_count_with_their_width_and_miss():
    interval, coverage, _ = quantiles_score([1, 1, 1], [0, 1.25, 0], [2, 0.75, 2])
    assert interval == (2 + 0.5 + 2) / 3
    assert coverage == 2 / 3


def test_defect_12_swapped_intervals_in_a_set():
    mus = {0: 1.0}
    good = make_predictions(mus)[0]
    bad = Predictions(good.mu_hat, good.delta_mu_hat, good.p84, good.p16)
    assert (good.n_swapped, bad.n_swapped) == (0, 50)
    scores = compute_scores({0: bad}, mus)
    assert scores.coverage == 0
    assert scores.interval == compute_scores({0: good}, mus).interval
    assert (bootstrap_scores({0: bad}, mus, n_bootstraps=3).interval > 0).all()


@pytest.mark.parametrize("name", ["p16", "p84"])
def test_defect_8_nan_in_an_interval_is_refused(name):
    ends = {"p16": np.zeros(3), "p84": np.ones(3)}
    ends[name][1] = np.nan
    with pytest.raises(HiggsMLError):
        quantiles_score(np.ones(3), **ends)


@pytest.mark.parametrize("name", ["mu_hat", "delta_mu_hat", "p16", "p84"])
def test_defect_8_nan_in_a_set_gives_no_score(name):
    mus = {0: 1.0}
    predictions = make_predictions(mus)
    getattr(predictions[0], name)[3] = np.nan
    with pytest.raises(HiggsMLError):
        compute_scores(predictions, mus)


def test_no_predictions_are_refused():
    with pytest.raises(ResultsError, match="no predictions to score"):
        compute_scores({}, {0: 1.0})
    with pytest.raises(HiggsMLError, match="at least one prediction"):
        quantiles_score([], [], [])


# ----------------------------------------------------------------------------------------------
# Several sets
# ----------------------------------------------------------------------------------------------


def test_defect_8_truth_is_matched_by_set_index():
    """Sets given in another order, and one left out, keep their own true mu."""
    mus = {0: 0.5, 1: 1.5, 2: 2.5}
    predictions = make_predictions(mus)
    whole = compute_scores(predictions, mus)
    turned = compute_scores({k: predictions[k] for k in (2, 0, 1)}, dict(reversed(mus.items())))
    assert turned == whole
    part = compute_scores({2: predictions[2]}, mus)
    assert part.sets == (whole.sets[2],)
    assert (part.sets[0].set_index, part.sets[0].mu) == (2, 2.5)


def test_a_set_without_truth_is_refused():
    with pytest.raises(ResultsError, match="no true mu is known for set 1"):
        compute_scores(make_predictions({0: 1.0, 1: 2.0}), {0: 1.0})


def test_scores_say_how_many_predictions():
    scores = compute_scores(make_predictions({0: 1.0, 1: 2.0}, n=7), {0: 1.0, 1: 2.0})
    assert scores.n_predictions == 14
    assert list(scores.as_dict()) == ["rmse", "mae", "interval", "coverage", "quantiles_score"]


# ----------------------------------------------------------------------------------------------
# Bootstrap
# ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many():
    mus = dict(enumerate(np.linspace(0.2, 2.9, 20)))
    return make_predictions(mus, n=100, seed=3), mus


def test_bootstrap_has_the_binomial_error_of_the_coverage(many):
    scores = compute_scores(*many)
    sampled = bootstrap_scores(*many, n_bootstraps=400, seed=1)
    n = scores.n_predictions
    assert sampled.n_predictions == n
    expected = math.sqrt(scores.coverage * (1 - scores.coverage) / n)
    # Standard error of a standard deviation from 400 values: 1 / sqrt(2 * 400) of itself.
    assert abs(sampled.std("coverage") - expected) < 4 * expected / math.sqrt(800)
    assert abs(sampled.mean("coverage") - scores.coverage) < 4 * expected / math.sqrt(400)
    np.testing.assert_allclose(sampled.interval, 0.4)


def test_bootstrap_of_sets_draws_whole_sets(many):
    predictions, mus = many
    sampled = bootstrap_scores(*many, unit="set", n_bootstraps=300, seed=2)
    each = np.array([one.coverage for one in compute_scores(predictions, mus).sets])
    error = each.std() / math.sqrt(len(each))
    assert abs(sampled.std("coverage") - error) < 4 * error / math.sqrt(600)
    assert sampled.n_predictions == 2000
    one = bootstrap_scores(*many, unit="set", n_bootstraps=50, sample_size=1, seed=2)
    assert one.n_predictions == 100
    assert set(one.coverage) <= set(each)


def test_bootstrap_is_reproducible(many):
    first, again, other = (bootstrap_scores(*many, n_bootstraps=5, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.quantiles_score, again.quantiles_score)
    assert (first.coverage != other.coverage).any()


@pytest.mark.parametrize("options", [{"n_bootstraps": 0}, {"sample_size": 0}])
def test_bootstrap_needs_something_to_draw(many, options):
    with pytest.raises(SettingsError, match="must be at least 1"):
        bootstrap_scores(*many, **options)


@pytest.mark.parametrize("eps", [EPSILON, 0.1])
def test_resampling_everything_once_gives_the_score_itself(many, eps):
    predictions, mus = many
    p16, p84 = (
        np.concatenate([getattr(predictions[i], name) for i in predictions])
        for name in ("p16", "p84")
    )
    mu = np.repeat(list(mus.values()), 100)
    direct = quantiles_score(mu, p16, p84, eps)
    once = resampled_scores(
        p84 - p16, (mu >= p16) & (mu <= p84), np.ones(mu.size), [np.arange(mu.size)], eps=eps
    )
    assert once.quantiles_score[0] == pytest.approx(direct.score, rel=1e-12)
    assert (once.mean("interval"), once.std("interval")) == (pytest.approx(direct.interval), 0)


def test_an_honest_method_has_the_target_coverage():
    """One standard deviation on either side of a Gaussian: what the target 0.6827 stands for."""
    assert stats.norm.cdf(1) - stats.norm.cdf(-1) == pytest.approx(TARGET, abs=1e-4)
