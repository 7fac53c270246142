"""The verdict: every sentence is a test, and says its error."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from HiggsML.reports.verdict import findings
from HiggsML.results import Predictions
from HiggsML.statistics.official_scores import compute_scores
from tests.run_page_fixtures import constant, measured

MINUS = "\N{MINUS SIGN}"


def verdict(predictions, mus, **options):
    found = findings(predictions, mus, compute_scores(predictions, mus), **options)
    return " ".join(f"[{tone}] {text}" for tone, text in found).replace(MINUS, "-")


def joined(*parts):
    """Sets 0, 1, ... from several samples."""
    predictions, mus = {}, {}
    for some, truth in parts:
        for index in some:
            number = len(predictions)
            predictions[number], mus[number] = some[index], truth[index]
    return predictions, mus


def between(sample, low, high):
    predictions, mus = sample
    chosen = [index for index in mus if low <= mus[index] <= high]
    return {i: predictions[i] for i in chosen}, {i: mus[i] for i in chosen}


def test_verdict_praises_a_good_run():
    text = verdict(*measured(10, 1000))
    assert "[bad]" not in text
    assert "[note]" not in text
    for what in (
        "Over all sets, (68.12 ± 0.47)\N{NO-BREAK SPACE}% of the intervals contain the true μ",
        "The coverage is right in every set: set ",
        "the predicted μ is right on average: off by 0.0000 ± 0.0030, 0.000 ± 0.010 of its scatter",
        "The bias does not depend on the true μ: it changes by 0.0000 ± 0.0035 for each unit",
        "right on average in every set",
        "agrees with the scatter of the predictions: the pulls spread by 1.00",
    ):
        assert what in text, (what, text)


def test_verdict_names_the_region_where_coverage_fails():
    good, short = measured(10, 1000), measured(10, 1000, shrink=0.6)
    text = verdict(*joined(between(short, 0, 0.9), between(good, 0.9, 3)))
    assert "[bad] It covers too little at μ < 0.95." in text
    text = verdict(*joined(between(good, 0, 2.2), between(short, 2.2, 3)))
    assert "[bad] It covers too little at μ > 2.1." in text
    text = verdict(*joined(between(good, 0, 0.9), between(short, 0.9, 2), between(good, 2, 3)))
    assert "too little for μ between 0.95 and 2.1" in text
    text = verdict(*joined(between(good, 0, 2.8), between(short, 2.8, 3)))
    assert "too little in set 9 (μ = 2.900)" in text
    assert "too little at every μ" in verdict(*short)


def test_verdict_on_wide_intervals():
    text = verdict(*measured(4, 500, shrink=1.8))
    assert "longer than they need to be" in text
    assert "too much at every μ" in text
    assert "times larger than the predictions scatter" in text


def test_verdict_on_bias():
    assert "too high by 0.200 on average at every μ" in verdict(*measured(5, 500, bias=0.2))
    text = verdict(*measured(5, 500, slope=-0.4))
    assert re.search(r"too high by \S+ on average at μ < ", text)
    assert re.search(r"too low by \S+ on average at μ > ", text)


def test_verdict_on_no_measurement():
    text = verdict({i: constant(1) for i in range(3)}, {0: 0.5, 1: 1.0, 2: 2.0})
    assert "Every prediction is μ = 1.000" in text
    assert "60 of 60 intervals have no width" in text
    assert "predictions are few" in text


def test_a_pooled_bias_is_no_right_average():
    """Every set alone is within chance; all together are 3.6 standard errors low."""
    sample = measured(10, 100, bias=-0.034)
    text = verdict(*sample)
    assert "[bad] Over all sets, the predicted μ is too low on average: off by -0.0340" in text
    assert "(3.6 standard errors)" in text
    assert "[good] The predicted μ is right on average in every set: set " in text
    assert "right on average: " not in text
    assert "The mean of the pulls is -0.11" in text


def test_the_finite_test_split_may_explain_a_small_bias_but_no_large_one():
    small, large = measured(10, 1000, bias=-0.04), measured(10, 1000, bias=-0.2)
    assert "[bad] Over all sets, the predicted μ is too low" in verdict(*small)
    text = verdict(*small, repeats=58.0)
    assert "[note] Over all sets, the predicted μ is too low" in text
    assert "no more than the finite test split may do: up to 0.13" in text
    assert "[bad]" not in text
    assert "[bad] Over all sets, the predicted μ is too low" in verdict(*large, repeats=58.0)
    assert "[bad] Predicted μ is too low by 0.200 on average at every" in verdict(
        *large, repeats=58.0
    )


def test_a_trend_with_mu_is_found_where_the_sets_are_right():
    text = verdict(*measured(10, 100, slope=-0.05))
    assert "[bad] The bias falls with the true μ, by -0.050 ± 0.011" in text
    assert "the predicted μ is right on average: " in text
    assert "[good] The predicted μ is right on average in every set" in text
    assert "[bad] The bias rises with the true μ" in verdict(*measured(10, 100, slope=0.05))
    text = verdict(*measured(10, 1000, slope=-0.05), repeats=20.0)
    assert "[note] The bias falls with the true μ, by -0.0500" in text


def test_honest_runs_are_seldom_blamed_and_biased_ones_mostly():
    """Chance alone flags few runs; the coverage's own band, two standard deviations, one in 20."""
    rng = np.random.default_rng(5)
    mus = {i: float(mu) for i, mu in enumerate(rng.uniform(0.1, 3, 10))}

    def blamed(bias):
        delta = np.full(100, 0.3)
        predictions = {}
        for index, mu in mus.items():
            mu_hat = rng.normal(mu + bias, 0.3, 100)
            predictions[index] = Predictions(mu_hat, delta, mu_hat - delta, mu_hat + delta)
        found = findings(predictions, mus, compute_scores(predictions, mus))
        return any(one.tone == "bad" for one in found)

    assert sum(blamed(0.0) for _ in range(200)) < 50  # coverage, sets' coverage, sets' bias
    assert sum(blamed(0.06) for _ in range(50)) > 45


def test_uncertainties_have_an_error_of_their_own():
    text = verdict(*measured(10, 1000, shrink=0.95))
    assert "[note] The uncertainty delta_mu_hat is 1.06 times smaller" in text
    assert "[bad] The uncertainty delta_mu_hat is 2.01 times smaller" in verdict(
        *measured(10, 1000, shrink=0.5)
    )


def test_a_penalty_that_changes_no_digit_is_not_given_in_powers_of_ten():
    predictions, mus = measured(10, 100, shrink=0.9)
    scores = compute_scores(predictions, mus)
    for coverage, says in ((0.6827 - 2.2 * 0.0147, "costs next to nothing"), (0.5, "points.")):
        found = findings(predictions, mus, replace(scores, coverage=coverage))
        assert says in found[0].text
        assert "e-" not in found[0].text
