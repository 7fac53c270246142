"""Pseudo-experiments from data frames: draw events, shift them, derive their features."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from HiggsML.errors import DataError
from HiggsML.physics.shifts import draw_nuisances, rate_factors
from HiggsML.schema import PROCESSES
from HiggsML.systematics.arguments import DEFAULT_SEED, random_generator
from HiggsML.systematics.shift import systematics

__all__ = ["generate_pseudo_exp_data", "get_bootstrapped_dataset", "get_systematics_dataset"]


def get_bootstrapped_dataset(
    test_set: Mapping[str, pd.DataFrame],
    mu: float = 1.0,
    seed: int | np.random.Generator = DEFAULT_SEED,
    ttbar_scale: float | None = None,
    diboson_scale: float | None = None,
    bkg_scale: float | None = None,
    poisson: bool = True,
) -> pd.DataFrame:
    """Draw a pseudo-experiment's events from a test set, without systematic shifts.

    Each event appears Poisson(rate x weight) times; rows come shuffled. The number of events of a
    process is drawn first and the events then by weight, which is the same distribution at a cost
    that does not grow with the test set.

    Parameters
    ----------
    test_set : mapping of str to DataFrame
        One frame per process with its features and ``weights``.
    mu, ttbar_scale, diboson_scale, bkg_scale : float, optional
        Factors on the rates.
    seed : int or numpy.random.Generator
        Source of randomness.
    poisson : bool
        False repeats each event floor(rate x weight) times instead.

    Returns
    -------
    DataFrame
        The events without their weights.

    Examples
    --------
    >>> drawn = get_bootstrapped_dataset(test_set, mu=1.5, seed=1)
    >>> "weights" in drawn, len(drawn) > 0
    (False, True)
    """
    rng = random_generator(seed)
    factors = rate_factors(
        mu=mu, ttbar_scale=ttbar_scale, diboson_scale=diboson_scale, bkg_scale=bkg_scale
    )
    drawn = []
    for process, events in test_set.items():
        if process not in factors:
            raise DataError(f"unknown process {process!r} in the test set; known are {PROCESSES}")
        expected = events["weights"].to_numpy(dtype=np.float64) * factors[process]
        total = expected.sum()
        if not poisson:
            rows = np.repeat(np.arange(len(events)), expected.astype(np.int64))
        elif total > 0:
            rows = rng.choice(len(events), size=rng.poisson(total), p=expected / total)
        else:
            rows = np.empty(0, dtype=np.intp)
        drawn.append(events.drop(columns="weights").take(rows))
    if not poisson and not any(map(len, drawn)):
        warnings.warn(
            "no event weighs 1 or more, so none is repeated: poisson=False takes each event "
            "floor(rate x weight) times; use poisson=True",
            stacklevel=2,
        )
    return pd.concat(drawn).sample(frac=1, random_state=rng, ignore_index=True)


def get_systematics_dataset(
    data: pd.DataFrame,
    tes: float = 1.0,
    jes: float = 1.0,
    soft_met: float = 0.0,
    seed: int | np.random.Generator = DEFAULT_SEED,
) -> dict[str, Any]:
    """Shift, cut and derive events that all weigh one: what a model's ``predict`` is given.

    Examples
    --------
    >>> shifted = get_systematics_dataset(events, tes=1.02, seed=1)
    >>> sorted(shifted), len(shifted["data"]) == len(shifted["weights"])
    (['data', 'weights'], True)
    """
    return systematics({"data": data, "weights": np.ones(len(data))}, tes, jes, soft_met, seed)


def generate_pseudo_exp_data(
    data: Mapping[str, pd.DataFrame],
    set_mu: float = 1.0,
    dict_systematics: Mapping[str, bool] | None = None,
    seed: int | np.random.Generator = 0,
) -> dict[str, Any]:
    """Make one pseudo-experiment from frames: draw nuisances, bootstrap, shift, cut, derive.

    :class:`HiggsML.pseudo_experiments.store.EventStore` does the same much faster.

    Parameters
    ----------
    data : mapping of str to DataFrame
        The test set by process, as :meth:`HiggsML.datasets.reader.Data.get_test_set` returns it.
    set_mu : float
        True signal strength.
    dict_systematics : mapping of str to bool, optional
        Which nuisances to draw; none by default.
    seed : int or numpy.random.Generator
        Source of all randomness; nuisances, events and soft missing momentum use separate streams.

    Examples
    --------
    >>> experiment = generate_pseudo_exp_data(test_set, 2.0, {"tes": True}, seed=1)
    >>> sorted(experiment), experiment["data"].shape[1]
    (['data', 'weights'], 28)
    """
    rng_nuisances, rng_events, rng_soft_met = random_generator(seed).spawn(3)
    drawn = draw_nuisances(dict_systematics or {}, rng_nuisances)
    shifts = {name: drawn.pop(name) for name in ("tes", "jes", "soft_met")}
    events = get_bootstrapped_dataset(data, mu=set_mu, seed=rng_events, **drawn)  # type: ignore[arg-type]
    return get_systematics_dataset(events, seed=rng_soft_met, **shifts)  # type: ignore[arg-type]
