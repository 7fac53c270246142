"""Proper scores: known values, and that honesty is the best policy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from HiggsML.errors import ResultsError
from HiggsML.statistics.proper_scores import (
    crps_normal,
    interval_score,
    pinball_loss,
    quantile_crps,
)

finite = st.floats(-5, 5)


def test_interval_score_is_the_width_plus_a_multiple_of_the_miss():
    found = interval_score([1.0, 0.0, 3.0], 0.5, 2.0, level=0.8)
    assert found == pytest.approx([1.5, 1.5 + 10 * 0.5, 1.5 + 10 * 1.0])


@given(mu=finite, low=finite, width=st.floats(0, 5))
def test_interval_score_is_the_sum_of_the_pinball_losses_of_its_ends(mu, low, width):
    """GR section 6.2: up to the factor 2 / alpha."""
    level, high = 0.7, low + width
    tail = (1 - level) / 2
    losses = pinball_loss(mu, low, level=tail) + pinball_loss(mu, high, level=1 - tail)
    assert interval_score(mu, low, high, level=level) == pytest.approx(losses / tail, abs=1e-9)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.25, 2.0])
def test_honest_widths_have_the_best_scores(factor):
    rng = np.random.default_rng(0)
    errors = rng.normal(size=40_000)

    def scores(f):
        return [
            interval_score(errors, -f, f).mean(),
            crps_normal(errors, 0.0, f).mean(),
            quantile_crps(errors, -f, 0.0, f).mean(),
        ]

    assert all(np.array(scores(1.0)) < scores(factor))


@given(z=finite, delta=st.floats(0.1, 3))
def test_crps_of_a_normal_is_the_integral_that_defines_it(z, delta):
    x = np.linspace(-40, 40, 40_001)
    step = x[1] - x[0]
    integral = (((norm.cdf(x, scale=delta) - (x >= z)) ** 2).sum()) * step
    assert crps_normal(z, 0.0, delta)[0] == pytest.approx(integral, abs=3e-3)


def test_crps_without_a_width_is_the_absolute_error():
    assert crps_normal([1.0], [1.5], [0.0]) == pytest.approx([0.5])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interval_score([1.0, 2.0], [1.0, 2.0, 3.0], 4.0), "different shapes"),
        (lambda: interval_score([math.nan], 0.0, 1.0), "finite"),
        (lambda: crps_normal([1.0], [1.0], [-1.0]), "negative"),
        (lambda: pinball_loss([], [], level=0.5), "at least one"),
    ],
)
def test_impossible_input_is_named(call, message):
    with pytest.raises(ResultsError, match=message):
        call()
