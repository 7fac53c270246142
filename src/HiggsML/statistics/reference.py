"""What a run's width can be measured by: the information limit, and the sample submission.

The numbers are data of this package, ``reference.json``, which ``higgsml information`` writes with
``--reference``. They hold for the scenarios' own yields.

Examples
--------
>>> mini = load_reference("mini")
>>> width, error = mini.limit_at([1.0], known=False)
>>> 0.08 < width < 0.13
True
>>> load_reference("somebody's own yields") is None
True
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from HiggsML.schema import NUISANCES

__all__ = ["REFERENCE_FILE", "Reference", "load_reference", "ratio"]

REFERENCE_FILE = Path(__file__).with_name("reference.json")

Number = tuple[float, float]
"""A value and its standard error."""


@dataclass(frozen=True)
class Reference:
    """The reference numbers of one scenario.

    Attributes
    ----------
    mu : tuple of float
        Where the limit is known.
    known, profiled : tuple of (float, float)
        Mean width of the best 68.27 % interval and its error at each mu, the nuisance parameters
        drawn from their priors: with all of them known to the method, and with none known.
    sample : mapping of str to (float, float)
        Of the sample submission: "ratio" of its width to the limit at its mus, "coverage".

    Examples
    --------
    >>> known, profiled = ((0.125, 0.25), (0.375, 0.25)), ((0.5, 0.25), (0.75, 0.25))
    >>> reference = Reference("mine", (0.0, 2.0), known, profiled, {})
    >>> reference.limit_at([1.0], known=True)
    (0.25, 0.25)
    """

    scenario: str
    mu: tuple[float, ...]
    known: tuple[Number, ...]
    profiled: tuple[Number, ...]
    sample: Mapping[str, Number]

    def limit_at(self, mus: ArrayLike, *, known: bool) -> Number:
        """Return the limit, and its error, as a mean over true signal strengths.

        Parameters
        ----------
        mus : array
            Each counts equally.
        known : bool
            Whether the method knows the nuisance parameters, as where all systematics are off.
        """
        grid = np.array(self.known if known else self.profiled)
        truths = np.atleast_1d(np.asarray(mus, dtype=np.float64))
        value, error = (float(np.mean(np.interp(truths, self.mu, column))) for column in grid.T)
        return value, error


def load_reference(
    scenario: str, systematics: Mapping[str, bool] | None = None
) -> Reference | None:
    """Return the reference numbers of a scenario; None if there are none.

    Parameters
    ----------
    scenario : str
        "mini" or "official".
    systematics : mapping of str to bool, optional
        By nuisance parameter. There are numbers for all of them and for none, not for some.

    Examples
    --------
    >>> load_reference("mini").scenario, load_reference("mine") is None
    ('mini', True)
    """
    enabled = {bool((systematics or {}).get(name, True)) for name in NUISANCES}
    numbers = _content()["scenarios"].get(scenario) if len(enabled) == 1 else None
    if numbers is None:
        return None
    limits = {name: tuple(map(tuple, numbers[name])) for name in ("known", "profiled")}
    sample = {name: tuple(numbers["sample"][name]) for name in numbers["sample"]}
    return Reference(scenario, tuple(numbers["mu"]), **limits, sample=sample)


@cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(REFERENCE_FILE.read_text(encoding="utf-8"))
    return content


def ratio(first: Number, second: Number) -> Number:
    """Divide two numbers with independent errors.

    Examples
    --------
    >>> ratio((3.0, 0.3), (2.0, 0.0))
    (1.5, 0.15)
    """
    value = first[0] / second[0]
    relative = np.hypot(first[1] / first[0] if first[0] else 0.0, second[1] / second[0])
    return value, float(value * relative)
