"""Ranks with ties: what chance may decide is not decided, what it can not is found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from HiggsML.errors import ResultsError, SettingsError
from HiggsML.schema import COVERAGE_TARGET
from HiggsML.statistics.intervals import Intervals, coverage_test, finite_split_penalty
from HiggsML.statistics.official_scores import quantiles_score
from HiggsML.statistics.ranking import holm, rank

SETS, EXPERIMENTS = 10, 200


def method(rng, shared, *, own=0.0, claimed=None):
    """An honest method of width 2 sigma whose error has a part of its own."""
    mu = np.linspace(0.2, 2.9, SETS)[:, None]
    sigma = 0.05 + 0.03 * mu
    total = np.sqrt(1 + own**2)
    center = mu + sigma * (shared + own * rng.normal(size=shared.shape))
    half = sigma * total if claimed is None else sigma * claimed
    return Intervals.of(mu, center - half, center + half)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_a_clear_winner_is_first_and_two_equals_share_the_second_place(rng):
    shared = rng.normal(size=(SETS, EXPERIMENTS))
    methods = {
        "a": method(rng, shared, own=0.8),
        "winner": method(rng, shared),
        "b": method(rng, shared, own=0.8),
    }
    board = rank(methods, seed=1)
    by_name = {row.name: (row.rank, row.last_rank) for row in board.rows}
    assert board.rows[0].name == "winner"
    assert by_name == {"winner": (1, 1), "a": (2, 3), "b": (2, 3)}


def test_scores_are_those_of_the_official_formula(rng):
    one = method(rng, rng.normal(size=(SETS, EXPERIMENTS)))
    board = rank({"one": one}, by="quantiles_score", seed=1)
    mu = np.repeat(np.linspace(0.2, 2.9, SETS), EXPERIMENTS)
    # The same widths and coverage: an interval that holds mu, or lies above it.
    low = np.where(one.covered.ravel() == 1, mu - one.width.ravel() / 2, mu + 1.0)
    expected = quantiles_score(mu, low, low + one.width.ravel()).score
    assert board.rows[0].score == pytest.approx(expected, rel=1e-12)
    assert board.resolution is None


def test_the_official_score_is_better_when_larger(rng):
    shared = rng.normal(size=(SETS, EXPERIMENTS))
    methods = {"wide": method(rng, shared, own=1.5), "narrow": method(rng, shared)}
    assert rank(methods, by="quantiles_score", seed=1).rows[0].name == "narrow"


def test_the_error_of_a_mean_is_the_textbook_one(rng):
    one = method(rng, rng.normal(size=(SETS, EXPERIMENTS)))
    (row,) = rank({"one": one}, seed=1).rows
    means = one.interval_score.mean(axis=1)
    within = np.sqrt(one.interval_score.var(axis=1, ddof=1).mean() / EXPERIMENTS / SETS)
    # 2,000 resamplings know a standard deviation to 1.6 %.
    assert row.errors.total == pytest.approx(means.std(ddof=1) / np.sqrt(SETS), rel=0.08)
    assert row.errors.experiments == pytest.approx(within, rel=0.08)
    assert row.errors.total**2 == pytest.approx(
        row.errors.experiments**2 + row.errors.drawn_mu**2, rel=1e-9
    )
    assert row.low < row.score < row.high


def test_where_sets_differ_the_p_value_is_that_of_a_paired_t_test(rng):
    shared = rng.normal(size=(SETS, EXPERIMENTS))
    one = method(rng, shared, own=0.5)
    # Better in the first sets, worse in the last: what counts is which mu are drawn.
    other = Intervals(
        one.width, one.covered, one.interval_score * np.linspace(0.7, 1.2, SETS)[:, None]
    )
    (pair,) = rank({"one": one, "other": other}, seed=1).pairs
    expected = stats.ttest_rel(one.interval_score.mean(1), other.interval_score.mean(1))
    assert pair.freedom == pytest.approx(SETS - 1, rel=0.1)
    assert pair.p_value == pytest.approx(expected.pvalue, rel=0.2)


def test_where_sets_agree_the_experiments_decide(rng):
    shared = rng.normal(size=(SETS, EXPERIMENTS))
    one, other = method(rng, shared, own=0.5), method(rng, shared, own=0.5)
    (pair,) = rank({"one": one, "other": other}, seed=1).pairs
    difference = one.interval_score - other.interval_score
    within = np.sqrt(difference.var(axis=1, ddof=1).mean() / EXPERIMENTS / SETS)
    assert pair.error >= 0.95 * within


def test_equal_methods_are_separated_no_more_often_than_stated():
    level, separated, trials = 0.05, 0, 400
    for trial in range(trials):
        rng = np.random.default_rng([7, trial])
        shared = rng.normal(size=(SETS, 100))
        methods = {name: method(rng, shared, own=0.5) for name in "ab"}
        (pair,) = rank(methods, seed=trial, level=level).pairs
        separated += pair.separated(level)
    # At most this many in 999 of 1000 repetitions, if the level is kept.
    assert separated <= stats.binom.ppf(0.999, trials, level)


def test_ends_may_be_equal_but_a_method_against_itself_is_a_tie(rng):
    one = method(rng, rng.normal(size=(SETS, EXPERIMENTS)))
    board = rank({"one": one, "copy": one}, seed=1)
    assert board.pairs[0].p_value == 1.0
    assert {(row.rank, row.last_rank) for row in board.rows} == {(1, 2)}


def test_one_set_is_ranked_by_its_experiments(rng):
    mu = np.array([[1.0]])
    center = mu + 0.1 * rng.normal(size=(1, 500))
    methods = {
        "narrow": Intervals.of(mu, center - 0.1, center + 0.1),
        "wide": Intervals.of(mu, center - 0.3, center + 0.3),
    }
    board = rank(methods, seed=1)
    assert [row.name for row in board.rows] == ["narrow", "wide"]
    assert all(row.errors.drawn_mu == 0 for row in board.rows)


def test_the_smallest_difference_falls_with_the_number_of_experiments(rng):
    def resolution(n):
        shared = rng.normal(size=(SETS, n))
        methods = {name: method(rng, shared, own=0.5) for name in "ab"}
        return rank(methods, seed=1).resolution

    assert resolution(1600) < 0.6 * resolution(100)


def test_the_smallest_difference_is_that_of_the_two_best_whatever_else_is_ranked(rng):
    shared = rng.normal(size=(SETS, EXPERIMENTS))
    two = {"first": method(rng, shared), "second": method(rng, shared, own=0.5)}
    others = {f"far {k}": method(rng, rng.normal(size=shared.shape), own=3.0) for k in range(5)}
    alone, among = rank(two, seed=1).resolution, rank({**others, **two}, seed=1).resolution
    # 21 pairs instead of one are compared, at the same family-wise error.
    assert alone < among < 2 * alone
    twin = rank({**two, "twin": two["first"]}, seed=1)
    assert twin.resolution == pytest.approx(alone, rel=0.3)
    assert rank({"one": two["first"], "twin": two["first"]}, seed=1).resolution is None


def test_several_equal_methods_are_separated_no_more_often_than_stated():
    level, any_separated, trials = 0.05, 0, 200
    for trial in range(trials):
        rng = np.random.default_rng([8, trial])
        shared = rng.normal(size=(SETS, 60))
        board = rank({n: method(rng, shared, own=0.5) for n in "abcde"}, seed=trial, level=level)
        any_separated += any(pair.separated(level) for pair in board.pairs)
    assert any_separated <= stats.binom.ppf(0.999, trials, level)


def test_a_difference_of_the_size_of_the_resolution_is_found_in_four_of_five():
    found, trials = 0, 150
    for trial in range(trials):
        rng = np.random.default_rng([9, trial])
        shared = rng.normal(size=(SETS, 100))
        one, other = method(rng, shared, own=0.5), method(rng, shared, own=0.5)
        resolution = rank({"one": one, "other": other}, seed=trial).resolution
        worse = Intervals(other.width, other.covered, other.interval_score + resolution)
        found += rank({"one": one, "worse": worse}, seed=trial).pairs[0].separated(0.05)
    assert stats.binom.ppf(0.001, trials, 0.75) <= found <= stats.binom.ppf(0.999, trials, 0.85)


def test_the_range_of_a_score_holds_its_expectation_about_as_often_as_stated():
    rows = []
    for trial in range(300):
        rng = np.random.default_rng([10, trial])
        mu = rng.uniform(0.1, 3, size=(SETS, 1))  # drawn: the sets are a source of chance, too
        sigma = 0.05 + 0.03 * mu
        center = mu + sigma * rng.normal(size=(SETS, 100))
        one = Intervals.of(mu, center - sigma, center + sigma)
        rows.append(rank({"one": one}, seed=trial).rows[0])
    expected = np.mean([row.score for row in rows])
    share = np.mean([row.low <= expected <= row.high for row in rows])
    # 68 %, less what Student's t with nine degrees of freedom costs; 300 rankings tell it to 3 %.
    assert 0.57 <= share <= 0.76


def test_a_small_test_split_costs_what_is_stated(rng):
    sigma, repeats = 0.065, 20
    bias = sigma / np.sqrt(repeats) * rng.normal(size=(2000, 1))
    error = sigma * rng.normal(size=(2000, 500))
    honest, moved = (
        Intervals.of(0.0, e - sigma, e + sigma).interval_score.mean() for e in (error, error + bias)
    )
    assert moved - honest == pytest.approx(finite_split_penalty(2 * sigma, repeats), rel=0.1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_p_values_keep_their_order_and_are_no_smaller(p_values):
    adjusted = holm(p_values)
    assert np.all(adjusted >= np.array(p_values) - 1e-15)
    assert np.all(adjusted <= 1)
    assert np.all(np.diff(adjusted[np.argsort(p_values, kind="stable")]) >= 0)
    # The smallest is Bonferroni's.
    assert adjusted.min() == pytest.approx(min(1.0, len(p_values) * min(p_values)))


def test_coverage_pooled_may_hide_what_coverage_against_mu_shows():
    n = 1000
    covered = np.zeros((2, n))
    covered[0, : round(n * (COVERAGE_TARGET + 0.1))] = 1
    covered[1, : round(n * (COVERAGE_TARGET - 0.1))] = 1
    found = coverage_test(Intervals(np.ones((2, n)), covered, np.ones((2, n))))
    assert found.p_pooled > 0.5
    assert found.p_by_set < 1e-9
    assert found.error == pytest.approx(0.01041, abs=1e-5)


@pytest.mark.parametrize(
    ("methods", "options", "error", "words"),
    [
        ({}, {}, ResultsError, "no method"),
        (
            {
                "a": Intervals(*np.ones((3, 2, 5))),
                "b": Intervals(*np.ones((3, 2, 6))),
            },
            {},
            ResultsError,
            "b measured 2 sets x 6",
        ),
        ({"a": Intervals(*np.ones((3, 2, 5)))}, {"level": 0.0}, SettingsError, "family-wise"),
        ({"a": Intervals(*np.ones((3, 2, 5)))}, {"by": "luck"}, SettingsError, "'luck'"),
    ],
)
def test_impossible_rankings_are_named(methods, options, error, words):
    with pytest.raises(error, match=words):
        rank(methods, **options)
