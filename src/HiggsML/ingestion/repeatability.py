"""Ask again: an answer must depend on its own pseudo-experiment only.

A Model that remembers earlier pseudo-experiments knows more than its own one tells: which test
events have been used, or what the others of the same set have given. So when all answers are in,
some pseudo-experiments are given once more, in another order, to fresh processes of the fitted
Model that have seen nothing else, and every answer must be the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from HiggsML.errors import SubmissionError, TimeLimitError
from HiggsML.ingestion.workers import Task
from HiggsML.pseudo_experiments.seeds import Purpose, seed_sequence
from HiggsML.results import Answer
from HiggsML.statistics.measurements import width

__all__ = ["Repeatability", "ask_again", "chosen", "detection_probability"]

SHARE, LEAST = 0.03, 20
TOLERANCE = 1e-3  # of the interval
_MOST_NAMED = 3  # pseudo-experiments in a sentence

Ask = Callable[[list[Task]], Iterable[tuple[Task, Answer]]]
"""Starts fresh processes of the fitted Model and yields their answers."""


@dataclass(frozen=True)
class Repeatability:
    """Whether answers were the same when asked for again.

    Attributes
    ----------
    state : str
        "yes", "no", "not checked" or "off".
    why : str
        A sentence; empty after "yes" and "off".
    """

    state: str
    why: str = ""


@dataclass(frozen=True)
class _Difference:
    task: Task
    before: Answer
    again: Answer

    @property
    def key(self) -> str:
        return max(Answer._fields, key=lambda key: abs(np.subtract(*self._of(key))))

    @property
    def share(self) -> float:
        """How much the answer differs, in units of its interval."""
        distance = float(abs(np.subtract(*self._of(self.key))))
        unit = float(width(self.before.p16, self.before.p84))
        if distance == 0:
            return 0.0
        return distance / unit if unit > 0 else math.inf

    def _of(self, key: str) -> tuple[float, float]:
        return getattr(self.again, key), getattr(self.before, key)

    def __str__(self) -> str:
        size = f"{self.share:.2g} of its interval" if math.isfinite(self.share) else "no interval"
        again, before = self._of(self.key)
        return (
            f"set {self.task.set_index}, pseudo-experiment {self.task.experiment}: {self.key} is "
            f"{again:.6g} instead of {before:.6g} ({size})"
        )


def chosen(seed: int, answered: Iterable[Task]) -> list[Task]:
    """Choose pseudo-experiments to be asked again, in a random order that no submission knows.

    Parameters
    ----------
    seed : int
        Of the run.
    answered : iterable of Task
        Those that the fitted Model has measured, the first one first.
    """
    answered = list(answered)
    ordered = sorted(answered)
    count = min(len(ordered), max(LEAST, math.ceil(SHARE * len(ordered))))
    rng = np.random.default_rng(seed_sequence(seed, Purpose.REPEAT))
    again = [ordered[index] for index in rng.choice(len(ordered), count, replace=False)]
    if len(again) > 1 and again[0] == answered[0]:
        # Nothing had been seen before it then either: asked first, it would tell of no memory.
        again.append(again.pop(0))
    return again


def detection_probability(total: int, affected: int) -> float:
    """Return the probability to ask at least one of ``affected`` pseudo-experiments again.

    Examples
    --------
    >>> round(detection_probability(1000, 100), 3)
    0.96
    """
    count = min(total, max(LEAST, math.ceil(SHARE * total)))
    if affected > total - count:
        return 1.0
    return 1.0 - math.comb(total - affected, count) / math.comb(total, count)


def ask_again(tasks: list[Task], answers: Mapping[Task, Answer], ask: Ask) -> Repeatability:
    """Compare answers with those of fresh processes.

    Parameters
    ----------
    tasks : list of Task
        What to ask; see :func:`chosen`.
    answers : mapping of Task to Answer
        What the Model has answered.
    ask : callable
        Asks fresh processes.
    """
    try:
        differences = _differing(answers, ask(tasks))
        if not differences:
            return Repeatability("yes")
        worst = max(differences, key=lambda one: one.share)
        is_random = bool(_differing(dict(ask([worst.task])), ask([worst.task])))
    except TimeLimitError as error:
        return Repeatability("not checked", f"no time was left to ask again ({error})")
    except SubmissionError as error:
        return Repeatability("not checked", f"asked again, {error}")
    return Repeatability("no", _sentence(differences, len(tasks), is_random=is_random))


def _differing(
    before: Mapping[Task, Answer], again: Iterable[tuple[Task, Answer]]
) -> list[_Difference]:
    differences = (_Difference(task, before[task], answer) for task, answer in again)
    return [one for one in differences if one.share > TOLERANCE]


def _sentence(differences: list[_Difference], asked: int, *, is_random: bool) -> str:
    largest = sorted(differences, key=lambda one: -one.share)
    named = "; ".join(map(str, largest[:_MOST_NAMED]))
    remedy = (
        "Two fresh processes do not agree either: predict uses random numbers without a seed "
        "(numpy.random.default_rng(), os.urandom, the clock). Seed them, or use the global "
        "generators of random and numpy.random, which are seeded for each pseudo-experiment"
        if is_random
        else "An answer must depend on its own pseudo-experiment only: let predict keep nothing of "
        "earlier ones, in attributes, variables of a module or files"
    )
    return (
        f"{len(differences)} of {asked} answers differ when they are asked for again, of fresh "
        f"processes with the same fitted Model ({named}). {remedy}"
    )
