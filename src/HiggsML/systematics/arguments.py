"""What callers give: seeds and shifts, checked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from HiggsML.errors import SettingsError

__all__ = ["DEFAULT_SEED", "check_shifts", "plain_number", "random_generator", "random_source"]

DEFAULT_SEED = 31415
"""Seed of the soft missing momentum in the reference implementation."""


def random_source(seed: Any) -> np.random.Generator | np.random.RandomState:
    """Return the generator itself, or the legacy one that the reference seeds with a number."""
    if isinstance(seed, (np.random.Generator, np.random.RandomState)):
        return seed
    try:
        return np.random.RandomState(seed)
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"seed must be an integer in 0 .. 2**32 - 1, None or a generator, got {seed!r}: {error}"
        ) from error


def random_generator(seed: Any) -> np.random.Generator:
    """Return ``numpy.random.default_rng(seed)``, or a named error that says what a seed is."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"seed must be an integer of at least 0, None or a generator, got {seed!r}: {error}"
        ) from error


def plain_number(value: Any, name: str) -> float:
    """Return a number, NumPy scalar or array of one element as a Python float.

    A Python float does not change an array's precision.
    """
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "iufb":
        raise SettingsError(f"{name} must be one number, got {value!r}")
    return float(array.item())


def check_shifts(tes: Any, jes: Any, soft_met: Any) -> tuple[float, float, float]:
    """Return the three as Python floats; no soft momentum for a width below 0."""
    factors = {"tes": plain_number(tes, "tes"), "jes": plain_number(jes, "jes")}
    for name, value in factors.items():
        if not 0 < value < math.inf:
            raise SettingsError(f"{name} must be a positive factor, got {value:g}")
    width = plain_number(soft_met, "soft_met")
    if not -math.inf < width < math.inf:
        raise SettingsError(f"soft_met must be a finite width in GeV, got {width:g}")
    return factors["tes"], factors["jes"], max(width, 0.0)
