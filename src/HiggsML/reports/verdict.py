"""The verdict on a run: sentences, each of which is a statistical test with its error.

An effect below two standard errors is what chance does; above three it is real. Between them, and
where the finite test split may be the cause, the sentence is a note: all pseudo-experiments draw
from the same simulated events, whose own fluctuation shifts what a perfect method measures by
1 / sqrt(r) of its scatter, with r simulated events per expected event (see
:func:`HiggsML.statistics.fisher_information.expected_coverage`). More pseudo-experiments do not
make that smaller.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from HiggsML.results import Predictions
from HiggsML.schema import COVERAGE_TARGET
from HiggsML.statistics.measurements import Measurements
from HiggsML.statistics.numbers import number, percent, with_error
from HiggsML.statistics.official_scores import (
    Scores,
    SetScores,
    coverage_band,
    coverage_penalty,
)

__all__ = ["Finding", "findings"]

Array = NDArray[np.float64]

_CHANCE, _REAL = 2.0, 3.0  # standard errors
_CHEAP = 1.005  # penalty, below which no digit of a score changes that is shown
_FEW = 100  # predictions, below which averages say little
_FAMILY = 0.05  # probability that chance alone flags any set of a run
_MAD = 0.6745  # median of the absolute value of a unit Gaussian
_MAD_ERROR = 1.167  # standard error of the spread it gives, times the root of the number
_TOLERATED = 0.1  # relative error of an uncertainty that does little harm


class Finding(NamedTuple):
    """A sentence of the verdict: ``tone`` is "good", "bad" or "note"."""

    tone: str
    text: str


@dataclass(frozen=True)
class _Sets:
    """The sets by rising mu: what was measured less the truth, in mu and in its scatter."""

    scores: Sequence[SetScores]
    true: Array
    size: Array
    shift: Array
    """Mean difference of each set."""
    scatter: Array
    """Standard deviation of the differences of each set."""

    @property
    def error(self) -> Array:
        """Standard error of each set's mean difference."""
        errors: Array = self.scatter / np.sqrt(self.size)
        return errors

    def where(self, flagged: NDArray[np.bool_]) -> str:
        """Say where the flagged sets lie."""
        return _where(flagged, self.scores, self.true)


def findings(
    predictions: Mapping[int, Predictions],
    mus: Mapping[int, float],
    scores: Scores,
    *,
    repeats: float | None = None,
) -> list[Finding]:
    """Say in plain words what is good and what is wrong with a run.

    A set counts as deviating when chance alone would make any set of the run deviate that far in
    fewer than one run in twenty.

    Parameters
    ----------
    predictions, mus : mappings
        Answers and true mu, by set index.
    scores : Scores
        Of the same predictions.
    repeats : float, optional
        Simulated test events per expected event; without it, the finite test split is taken to
        have no error.
    """
    split = 0.0 if repeats is None or repeats <= 0 else 1 / math.sqrt(repeats)
    measured = Measurements.of(predictions, mus)
    sets = _sets(predictions, scores)
    sentences = [_coverage_finding(scores, split), *_coverage_by_set(sets)]
    if measured.mu.size > 1 and np.ptp(measured.mu_hat) == 0:
        text = f"Every prediction is μ = {number(float(measured.mu_hat[0]))}: nothing was measured."
        sentences.append(Finding("bad", text))
    elif measured.mu.size >= _FEW and (sets.scatter > 0).all():
        sentences.append(_bias_finding(sets, split))
        sentences += _trend_finding(sets, split)
        sentences += _bias_by_set(sets, split)
        sentences += _pull_findings(measured, split)
    if points := int(np.sum(measured.width == 0)):
        text = f"{points:,} of {scores.n_predictions:,} intervals have no width."
        sentences.append(Finding("bad", text))
    if scores.n_predictions < _FEW:
        low, high = coverage_band(scores.n_predictions)
        text = (
            f"{scores.n_predictions:,} predictions are few: any coverage from {percent(low)} to "
            f"{percent(high)} passes, and the score is hardly more than chance."
        )
        sentences.append(Finding("note", text))
    return sentences


def _sets(predictions: Mapping[int, Predictions], scores: Scores) -> _Sets:
    ordered = sorted(scores.sets, key=lambda one: one.mu)
    differences = [predictions[one.set_index].mu_hat - one.mu for one in ordered]
    return _Sets(
        scores=ordered,
        true=np.array([one.mu for one in ordered]),
        size=np.array([values.size for values in differences], dtype=np.float64),
        shift=np.array([values.mean() for values in differences]),
        scatter=np.array([values.std(ddof=min(1, values.size - 1)) for values in differences]),
    )


def _judge(size: float, error: float, split: float) -> str:
    """Return the tone of an effect with a standard error, which the test split may have caused."""
    if abs(size) <= _CHANCE * error:
        return "good"
    if abs(size) <= max(_REAL * error, _CHANCE * error + split):
        return "note"
    return "bad"


def _because(size: float, error: float, split: float) -> str:
    """Say how far an effect is from zero, and what besides the method may have caused it."""
    sigma = f"{abs(size) / error:.1f} standard errors"
    if abs(size) <= _REAL * error:
        return f"{sigma}, which may be chance"
    if abs(size) <= _CHANCE * error + split:
        return f"{sigma}, but no more than the finite test split may do: up to {split:.2g}"
    return sigma


# ----------------------------------------------------------------------------------------------
# Coverage
# ----------------------------------------------------------------------------------------------


def _coverage_finding(scores: Scores, split: float) -> Finding:
    penalty = coverage_penalty(scores.coverage, scores.n_predictions)
    error = 100 * math.sqrt(COVERAGE_TARGET * (1 - COVERAGE_TARGET) / scores.n_predictions)
    measured = with_error(100 * scores.coverage, error)
    share = f"({measured})\N{NO-BREAK SPACE}%"
    target = f"{100 * COVERAGE_TARGET:.2f}\N{NO-BREAK SPACE}%"
    if penalty == 1:
        text = f"Over all sets, {share} of the intervals contain the true μ; {target} should."
        return Finding("good", text)
    factor = f"{float(f'{penalty:.3g}'):,.10g}"  # 37,400,000 rather than 3.74e+07
    cost = f"This multiplies the width by {factor} and costs {math.log(penalty):.3g} points."
    if penalty < _CHEAP:
        cost = "This costs next to nothing: the penalty rises slowly outside the band."
    contain = f"{share} of them contain the true μ instead of {target}. {cost}"
    if scores.coverage > COVERAGE_TARGET:
        return Finding("bad", f"The intervals are longer than they need to be: {contain}")
    # The loss of a method that is shifted by b of its scatter is 0.242 b^2.
    loss = 0.242 * split**2
    if COVERAGE_TARGET - scores.coverage <= _CHANCE * error / 100 + loss:
        contain += f" The finite test split may have cost {100 * loss:.1g} of the percent."
    return Finding("bad", f"The intervals are too short or in the wrong place: {contain}")


def _coverage_by_set(sets: _Sets) -> list[Finding]:
    if len(sets.scores) < 2:
        return []
    threshold = float(ndtri(1 - _FAMILY / 2 / len(sets.scores)))
    sigma = np.sqrt(COVERAGE_TARGET * (1 - COVERAGE_TARGET) / sets.size)
    pull = (np.array([one.coverage for one in sets.scores]) - COVERAGE_TARGET) / sigma
    sentences = [
        Finding("bad", f"It covers {what} {sets.where(flagged)}.")
        for flagged, what in ((pull < -threshold, "too little"), (pull > threshold, "too much"))
        if flagged.any()
    ]
    if not sentences and sets.size.sum() >= _FEW:
        sentences.append(
            Finding(
                "good", f"The coverage is right in every set: {_farthest(sets, pull, threshold)}."
            )
        )
    return sentences


def _farthest(sets: _Sets, pull: Array, threshold: float) -> str:
    """Name the set that deviates most, and how far chance alone brings one."""
    worst = int(np.argmax(np.abs(pull)))
    return (
        f"set {sets.scores[worst].set_index} (μ = {number(sets.true[worst])}) deviates most, by "
        f"{abs(pull[worst]):.1f} standard errors; in one run of 20, chance makes one of "
        f"{len(sets.scores)} deviate by {threshold:.1f}"
    )


# ----------------------------------------------------------------------------------------------
# Bias
# ----------------------------------------------------------------------------------------------


def _bias_finding(sets: _Sets, split: float) -> Finding:
    """Test the mean difference over all sets, each in units of its scatter."""
    total = float(sets.size.sum())
    mean = float(sets.size @ sets.shift) / total
    error = math.sqrt(float(sets.size @ sets.scatter**2)) / total
    size, size_error = float(sets.size @ (sets.shift / sets.scatter)) / total, total**-0.5
    in_scatter = f"{with_error(size, size_error)} of its scatter"
    tone = _judge(size, size_error, split)
    if tone == "good":
        off = f"off by {with_error(mean, error)}, {in_scatter}"
        return Finding(tone, f"Over all sets, the predicted μ is right on average: {off}.")
    what = "high" if size > 0 else "low"
    return Finding(
        tone,
        f"Over all sets, the predicted μ is too {what} on average: off by "
        f"{with_error(mean, error)}, {in_scatter} ({_because(size, size_error, split)}).",
    )


def _trend_finding(sets: _Sets, split: float) -> list[Finding]:
    """Test the slope of a straight line through the mean differences of the sets."""
    if np.ptp(sets.true) == 0:
        return []
    weight = 1 / sets.error**2
    center = float(weight @ sets.true / weight.sum())
    lever = sets.true - center
    spread = float(weight @ lever**2)
    slope, error = float(weight @ (lever * sets.shift)) / spread, spread**-0.5
    # Signal events serve for mu times as many: their fluctuation is a slope, at most 1 / sqrt(r)
    # of the scatter at mu = 1.
    allowed = split * float(np.interp(1.0, sets.true, sets.scatter))
    tone = _judge(slope, error, allowed)
    text = f"by {with_error(slope, error)} for each unit of μ"
    if tone == "good":
        return [Finding(tone, f"The bias does not depend on the true μ: it changes {text}.")]
    what = "rises" if slope > 0 else "falls"
    because = _because(slope, error, allowed)
    return [Finding(tone, f"The bias {what} with the true μ, {text} ({because}).")]


def _bias_by_set(sets: _Sets, split: float) -> list[Finding]:
    """Test the mean difference of every set."""
    if len(sets.scores) < 2 or (sets.size < 2).any():
        return []
    threshold = stdtrit(sets.size - 1, 1 - _FAMILY / 2 / len(sets.scores))
    pull = sets.shift / sets.error
    beyond = np.abs(pull) > threshold
    if not beyond.any():
        farthest = _farthest(sets, pull, float(threshold.max()))
        return [Finding("good", f"The predicted μ is right on average in every set: {farthest}.")]
    # In sigma of the set; at mu the signal's events serve for mu times as many.
    allowed = split * sets.scatter * np.sqrt(np.maximum(1.0, sets.true))
    caused = np.abs(sets.shift) <= threshold * sets.error + allowed
    sentences = []
    for tone, part in (("bad", beyond & ~caused), ("note", beyond & caused)):
        for flagged, what in ((sets.shift > 0, "high"), (sets.shift < 0, "low")):
            if not (flagged := flagged & part).any():
                continue
            mean = number(float(np.abs(sets.shift[flagged]).mean()))
            text = f"Predicted μ is too {what} by {mean} on average {sets.where(flagged)}"
            if tone == "note":
                text += ", no more than the finite test split may do"
            sentences.append(Finding(tone, f"{text}."))
    return sentences


# ----------------------------------------------------------------------------------------------
# Uncertainties
# ----------------------------------------------------------------------------------------------


def _pull_findings(measured: Measurements, split: float) -> list[Finding]:
    """Test whether the uncertainties agree with the predictions: mean and spread of the pulls."""
    pulls = measured.mu_pulls
    if pulls.size < _FEW or 2 * pulls.size < measured.mu.size:
        return []
    # The median of |pull| is insensitive to a few wild predictions.
    spread = float(np.median(np.abs(pulls - np.median(pulls)))) / _MAD
    if spread == 0:
        return []
    error = _MAD_ERROR * spread / math.sqrt(pulls.size)
    sentences = []
    mean, mean_error = float(np.mean(pulls)), float(np.std(pulls)) / math.sqrt(pulls.size)
    if (tone := _judge(mean, mean_error, split)) != "good":
        because = _because(mean, mean_error, split)
        text = f"The mean of the pulls is {with_error(mean, mean_error)} instead of 0 ({because})."
        sentences.append(Finding(tone, text))
    shown = with_error(spread, error)
    if abs(spread - 1) <= _CHANCE * error:
        text = "The uncertainty delta_mu_hat agrees with the scatter of the predictions: "
        text += f"the pulls spread by {shown}."
        return [*sentences, Finding("good", text)]
    what, factor = ("smaller", spread) if spread > 1 else ("larger", 1 / spread)
    serious = abs(spread - 1) > _REAL * error and factor > 1 + _TOLERATED
    text = (
        f"The uncertainty delta_mu_hat is {factor:.3g} times {what} than the predictions scatter: "
        f"the pulls spread by {shown} instead of 1."
    )
    return [*sentences, Finding("bad" if serious else "note", text)]


# ----------------------------------------------------------------------------------------------
# Words
# ----------------------------------------------------------------------------------------------


def _where(flagged: NDArray[np.bool_], sets: Sequence[SetScores], true: Array) -> str:
    """Say where the flagged sets lie; sets are sorted by their true mu."""
    if flagged.all():
        return "at every μ" if len(sets) > 1 else f"at μ = {number(true[0])}"
    inside = np.flatnonzero(flagged).tolist()
    first, last = inside[0], inside[-1]
    if len(inside) > 1 and len(inside) == last - first + 1:
        below, above = true[max(first - 1, 0) : first + 1], true[last : last + 2]
        if first == 0:
            return f"at μ < {above.mean():.2g}"
        if last == len(sets) - 1:
            return f"at μ > {below.mean():.2g}"
        return f"for μ between {below.mean():.2g} and {above.mean():.2g}"
    names = [f"set {sets[i].set_index} (μ = {number(true[i])})" for i in inside]
    if len(names) > 5:
        names[5:] = [f"{len(names) - 5} more"]
    return "in " + " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
