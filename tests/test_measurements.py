"""Width, coverage, error and pull: one definition, which scores, figures and pages share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from HiggsML.reports.verdict import findings
from HiggsML.results import Predictions
from HiggsML.statistics.intervals import Intervals
from HiggsML.statistics.measurements import Measurements, contains, pull, width
from HiggsML.statistics.official_scores import compute_scores, quantiles_score
from HiggsML.statistics.proper_scores import interval_score
from HiggsML.statistics.summary import paired_differences, summarize
from HiggsML.visualization.measurement import pulls_of

SETS = {
    3: Predictions(*np.array([[1.0, 1.2], [0.1, 0.0], [0.8, 1.3], [1.3, 1.1]])),
    0: Predictions(*np.array([[0.4, 0.7], [0.2, 0.2], [0.3, 0.6], [0.5, 1.0]])),
}
MUS = {0: 0.5, 3: 1.1}
finite = st.floats(-1e4, 1e4, width=64)


def test_answers_come_in_the_order_of_their_sets_with_their_truth():
    measured = Measurements.of(SETS, MUS)
    assert measured.mu.tolist() == [0.5, 0.5, 1.1, 1.1]
    assert measured.mu_hat.tolist() == [0.4, 0.7, 1.0, 1.2]
    assert measured.width == pytest.approx([0.2, 0.4, 0.5, 0.2])
    assert measured.covered.tolist() == [True, False, True, False]
    assert measured.errors == pytest.approx([-0.1, 0.2, -0.1, 0.1])
    assert measured.mu_pulls == pytest.approx([-0.5, 1.0, -1.0])  # the last has no uncertainty
    assert measured.by_set(2).mu_hat.tolist() == [[0.4, 0.7], [1.0, 1.2]]
    assert Measurements.joined([measured, measured]).p84.tolist() == measured.p84.tolist() * 2


@given(arrays.arrays(np.float64, (3, 4), elements=finite))
def test_every_score_has_the_same_width_and_coverage(values):
    """Intervals with swapped ends count with their width, and never contain the truth."""
    mu, p16, p84 = values
    score, ranked = quantiles_score(mu, p16, p84), Intervals.of(mu[None], p16[None], p84[None])
    assert score.interval == np.mean(width(p16, p84)) == np.mean(ranked.width)
    assert score.coverage == np.mean(contains(p16, p84, mu)) == np.mean(ranked.covered)
    inside = contains(p16, p84, mu)
    np.testing.assert_array_equal(interval_score(mu, p16, p84)[inside], width(p16, p84)[inside])
    assert not inside[p16 > p84].any()


def test_every_page_and_study_has_the_same_pull():
    """delta_mu_hat is the unit, not half of the interval, which may be lopsided."""
    rng = np.random.default_rng(5)
    errors = rng.normal(size=400)
    answers = Predictions(1 + errors, np.full(400, 2.0), errors, errors + 1.0)
    measured = Measurements.of({0: answers}, {0: 1.0})
    expected = errors / 2
    assert measured.mu_pulls == pytest.approx(expected)
    assert pulls_of({0: answers}, {0: 1.0})[0] == pytest.approx(expected)
    assert summarize(measured, n_bootstraps=1).pull_width == pytest.approx(expected.std())
    scores = compute_scores({0: answers}, {0: 1.0})
    sentences = " ".join(one.text for one in findings({0: answers}, {0: 1.0}, scores))
    assert "times larger than the predictions scatter" in sentences, sentences


def test_without_any_uncertainty_there_is_no_pull():
    none = Measurements(*np.ones((5, 3)))
    assert pull(none.mu, none.mu_hat, np.zeros(3)).size == 0
    summary = summarize(Measurements(none.mu, none.mu, np.zeros(3), none.p16, none.p84))
    assert np.isnan(summary.pull_mean)
    assert np.isnan(summary.pull_width)


def test_widths_of_two_methods_differ_by_what_the_scores_say():
    short = Measurements.of(SETS, MUS)
    long = Measurements(short.mu, short.mu_hat, short.delta_mu_hat, short.p16 - 1, short.p84 + 1)
    (found,) = (one for one in paired_differences(short, long) if one.quantity == "width")
    assert found.mean == pytest.approx(np.mean(long.width) - np.mean(short.width))
