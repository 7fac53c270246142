"""The six nuisance parameters on data frames: the interface of the reference implementation.

What they do to events and rates is stated in :mod:`HiggsML.physics.shifts`. The functions here
change none of their arguments.

Examples
--------
>>> import pandas as pd
>>> from HiggsML.schema import MISSING
>>> event = dict.fromkeys(PRI_COLUMNS, MISSING) | {
...     "PRI_lep_pt": 30.0, "PRI_lep_eta": 0.5, "PRI_lep_phi": 0.1,
...     "PRI_had_pt": 40.0, "PRI_had_eta": 1.0, "PRI_had_phi": 3.0,
...     "PRI_n_jets": 0, "PRI_jet_all_pt": 0.0, "PRI_met": 20.0, "PRI_met_phi": 1.0}
>>> shifted = systematics(pd.DataFrame([event]), tes=1.05)
>>> float(shifted["PRI_had_pt"].iloc[0])
42.0
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any, overload

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from HiggsML.errors import DataError, SettingsError
from HiggsML.old_names.systematics import make_unweighted_set, repeat_rows_by_weight
from HiggsML.physics.chunks import pieces, run_beside, run_in_chunks
from HiggsML.physics.event import Event
from HiggsML.physics.features import features_of, primary_columns
from HiggsML.physics.four_vector import V4
from HiggsML.physics.kinematics import Array, Vector
from HiggsML.physics.shifts import (
    HAD_PT_MIN,
    draw_nuisances,
    passes_cuts,
    rate_factors,
    rounded,
    shifted,
    without_soft_jets,
)
from HiggsML.schema import FEATURES, PRI_COLUMNS, PROCESSES

__all__ = [
    "DEFAULT_SEED",
    "V4",
    "all_bkg_weight_norm",
    "diboson_bkg_weight_norm",
    "generate_pseudo_exp_data",
    "get_bootstrapped_dataset",
    "get_systematics_dataset",
    "make_unweighted_set",
    "mom4_manipulate",
    "postprocess",
    "repeat_rows_by_weight",
    "systematics",
    "ttbar_bkg_weight_norm",
]

DEFAULT_SEED = 31415
"""Seed of the soft missing momentum in the reference implementation."""


def _scaled(weights: ArrayLike, selected: ArrayLike, factor: float) -> Any:
    """Return a copy of the weights (array or Series) with the selected ones multiplied."""
    result = weights.copy() if isinstance(weights, pd.Series) else np.array(weights)
    mask = np.asarray(selected)
    if mask.shape != result.shape:
        raise DataError(f"{result.size} weights do not fit {mask.size} labels")
    result[mask] = result[mask] * float(factor)
    return result


def ttbar_bkg_weight_norm(weights: Any, detailedlabel: Any, systBkgNorm: float) -> Any:  # noqa: N803
    """Return the weights with those of ttbar multiplied by ``systBkgNorm``.

    Examples
    --------
    >>> ttbar_bkg_weight_norm([1.0, 1.0], ["ttbar", "ztautau"], 1.02).tolist()
    [1.02, 1.0]
    """
    return _scaled(weights, np.asarray(detailedlabel) == "ttbar", systBkgNorm)


def diboson_bkg_weight_norm(weights: Any, detailedlabel: Any, systBkgNorm: float) -> Any:  # noqa: N803
    """Return the weights with those of diboson multiplied by ``systBkgNorm``.

    Examples
    --------
    >>> diboson_bkg_weight_norm([1.0, 1.0], ["diboson", "ztautau"], 1.25).tolist()
    [1.25, 1.0]
    """
    return _scaled(weights, np.asarray(detailedlabel) == "diboson", systBkgNorm)


def all_bkg_weight_norm(weights: Any, label: Any, systBkgNorm: float) -> Any:  # noqa: N803
    """Return the weights with those of label 0, all backgrounds, multiplied by ``systBkgNorm``.

    Examples
    --------
    >>> all_bkg_weight_norm([1.0, 1.0], [0, 1], 1.001).tolist()
    [1.001, 1.0]
    """
    return _scaled(weights, np.asarray(label) == 0, systBkgNorm)


def _soft_met_noise(soft_met: float, n_rows: int, seed: int | np.random.Generator) -> Vector | None:
    """Draw the soft missing momentum; an integer seed gives the reference's numbers."""
    if soft_met == 0:
        return None
    source = _random_source(seed)
    x, y = (source.normal(0, soft_met, size=n_rows) for _ in "xy")
    return Vector(x, y)


def _random_source(seed: Any) -> np.random.Generator | np.random.RandomState:
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


def _plain_number(value: Any, name: str) -> float:
    """Return a number, NumPy scalar or array of one element as a Python float.

    A Python float does not change an array's precision.
    """
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "iufb":
        raise SettingsError(f"{name} must be one number, got {value!r}")
    return float(array.item())


def _check_shifts(tes: Any, jes: Any, soft_met: Any) -> tuple[float, float, float]:
    """Return the three as Python floats; no soft momentum for a width below 0."""
    factors = {"tes": _plain_number(tes, "tes"), "jes": _plain_number(jes, "jes")}
    for name, value in factors.items():
        if not 0 < value < math.inf:
            raise SettingsError(f"{name} must be a positive factor, got {value:g}")
    width = _plain_number(soft_met, "soft_met")
    if not -math.inf < width < math.inf:
        raise SettingsError(f"soft_met must be a finite width in GeV, got {width:g}")
    return factors["tes"], factors["jes"], max(width, 0.0)


def mom4_manipulate(
    data: pd.DataFrame,
    systTauEnergyScale: float,  # noqa: N803 (names of the reference API)
    systJetEnergyScale: float,  # noqa: N803
    soft_met: float,
    seed: int | np.random.Generator = DEFAULT_SEED,
) -> pd.DataFrame:
    """Shift the primaries of a frame and round them; no cuts, no derived quantities.

    Parameters
    ----------
    data : DataFrame
        Must hold the sixteen ``PRI_`` columns; others are kept as they are.
    systTauEnergyScale, systJetEnergyScale : float
        Factors of the tau's and the jets' energy.
    soft_met : float
        Width of the additional soft missing momentum [GeV]; 0 or less means none.
    seed : int or numpy.random.Generator
        Randomness of ``soft_met``. An integer gives the numbers of the reference implementation;
        pass a different one each time, or the same noise is added again and again.

    Returns
    -------
    DataFrame
        A new frame with the index of ``data``.

    Examples
    --------
    >>> mom4_manipulate(event, 1.1, 1.0, 0.0)[["PRI_had_pt", "PRI_lep_pt"]].iloc[0].tolist()
    [44.0, 30.0]
    """
    tes, jes, soft_met = _check_shifts(systTauEnergyScale, systJetEnergyScale, soft_met)
    noise = _soft_met_noise(soft_met, len(data), seed)
    event = shifted(Event(primary_columns(data)), tes=tes, jes=jes, soft_met=noise)
    return _with_columns(data, {name: rounded(event[name]) for name in PRI_COLUMNS})


def postprocess(data: pd.DataFrame, *, corrected: bool = False) -> pd.DataFrame:
    """Apply the cuts that follow every shift: tau, jets and lepton above their thresholds.

    Events with a tau below 26 GeV or a lepton below 20 GeV are dropped, jets at or below 26 GeV are
    removed from their event (``corrected``: see :func:`HiggsML.physics.shifts.without_soft_jets`).

    Returns
    -------
    DataFrame
        A new frame. As in the reference implementation, its index counts the events whose tau
        passes the cut: it is 0, 1, 2 ... with gaps where a lepton fails, which no event of the
        official data does.

    Examples
    --------
    >>> soft = event.assign(PRI_had_pt=25.0)
    >>> len(postprocess(event)), len(postprocess(soft))
    (1, 0)
    """
    event = without_soft_jets(Event(primary_columns(data)), corrected=corrected)
    keep = np.flatnonzero(passes_cuts(event))
    result = _with_columns(data, event.columns).iloc[keep]
    return result.set_axis(_index_after_cuts(event["PRI_had_pt"], keep))


def _index_after_cuts(had_pt: Array, kept: NDArray[np.intp]) -> pd.Index:
    """Return the kept rows' numbers among the events whose tau passes its cut."""
    passed = np.flatnonzero(had_pt >= HAD_PT_MIN)
    if passed.size == kept.size:
        return pd.RangeIndex(kept.size)
    return pd.Index(np.searchsorted(passed, kept))


def _with_columns(data: pd.DataFrame, event: Mapping[str, Array]) -> pd.DataFrame:
    """Return a new frame in which the primaries are replaced; ``PRI_n_jets`` keeps its type."""
    columns: dict[str, Any] = dict(event)
    n_jets = pd.Series(event["PRI_n_jets"], data.index).astype(data["PRI_n_jets"].dtype)
    return data.assign(**{**columns, "PRI_n_jets": n_jets})


@overload
def systematics(
    data_set: pd.DataFrame,
    tes: float = ...,
    jes: float = ...,
    soft_met: float = ...,
    seed: int | np.random.Generator = ...,
    ttbar_scale: float | None = ...,
    diboson_scale: float | None = ...,
    bkg_scale: float | None = ...,
    dopostprocess: bool = ...,
    *,
    corrected: bool = ...,
) -> pd.DataFrame: ...
@overload
def systematics(
    data_set: dict[str, Any],
    tes: float = ...,
    jes: float = ...,
    soft_met: float = ...,
    seed: int | np.random.Generator = ...,
    ttbar_scale: float | None = ...,
    diboson_scale: float | None = ...,
    bkg_scale: float | None = ...,
    dopostprocess: bool = ...,
    *,
    corrected: bool = ...,
) -> dict[str, Any]: ...
def systematics(
    data_set: pd.DataFrame | dict[str, Any],
    tes: float = 1.0,
    jes: float = 1.0,
    soft_met: float = 0.0,
    seed: int | np.random.Generator = DEFAULT_SEED,
    ttbar_scale: float | None = None,
    diboson_scale: float | None = None,
    bkg_scale: float | None = None,
    dopostprocess: bool = True,
    *,
    corrected: bool = False,
) -> pd.DataFrame | dict[str, Any]:
    """Apply systematic shifts, cuts and weights to a dataset and compute its derived quantities.

    Parameters
    ----------
    data_set : DataFrame or dict
        Either a frame with the sixteen ``PRI_`` columns (and perhaps ``weights``,
        ``detailed_labels``, ``labels`` and others), or a dict with such a frame under "data",
        an array under "weights", and perhaps further arrays of the same length and "settings".
        A Series in a dict is matched with the frame by its index.
    tes, jes : float
        Factors of the tau's and the jets' energy.
    soft_met : float
        Width of the additional soft missing momentum [GeV]; 0 or less means none.
    seed : int or numpy.random.Generator
        Randomness of ``soft_met``, see :func:`mom4_manipulate`.
    ttbar_scale, diboson_scale, bkg_scale : float, optional
        Factors on the weights of ttbar, of diboson and of all backgrounds. They need the column or
        key ``detailed_labels`` (``bkg_scale`` alone: ``labels``); without it a warning says that
        the weights stay as they are.
    dopostprocess : bool
        Whether to apply the cuts, see :func:`postprocess`.
    corrected : bool
        How to count jets that are cut away, see :func:`HiggsML.physics.shifts.without_soft_jets`.

    Returns
    -------
    DataFrame or dict
        The same kind as ``data_set``, which is not changed. Columns of a frame that were float64
        are float32; arrays of a dict come back as Series of their own type. Without the cuts, all
        keep the frame's index; with them, events that fail are gone and the index is counted anew,
        see :func:`postprocess`.

    Raises
    ------
    DataError
        If columns are missing, or the index of a Series does not fit.
    SettingsError
        If a shift is out of the possible range.

    Examples
    --------
    >>> shifted = systematics(events, tes=0.98, ttbar_scale=1.05)
    >>> len(shifted) < len(events), (shifted["PRI_had_pt"] >= 26).all().item()
    (True, True)
    """
    if isinstance(data_set, pd.DataFrame):
        frame = data_set
    elif isinstance(data_set, dict):
        absent = [key for key in ("data", "weights") if key not in data_set]
        if absent:
            raise DataError(f"a data_set of type dict must contain {absent}")
        frame = data_set["data"]
        extra = {
            key: _row_values(values, frame, key)
            for key, values in data_set.items()
            if key not in ("data", "settings")
        }
    else:
        raise DataError(f"data_set must be a DataFrame or a dict, not {type(data_set).__name__}")
    tes, jes, soft_met = _check_shifts(tes, jes, soft_met)
    noise = run_beside(len(frame), lambda: _soft_met_noise(soft_met, len(frame), seed))
    primaries, all_rows = primary_columns(frame), np.arange(len(frame))
    kept, index = _passing(primaries, tes) if dopostprocess else (all_rows, frame.index)
    others = _other_columns(frame, kept)
    block = _shifted_features(
        primaries, kept, noise(), tes=tes, jes=jes, cuts=dopostprocess, corrected=corrected
    )
    result = _assemble(frame, block, others, index)
    scales = {"ttbar_scale": ttbar_scale, "diboson_scale": diboson_scale, "bkg_scale": bkg_scale}
    if isinstance(data_set, pd.DataFrame):
        weights = _scaled_weights(result, scales)
        return result if weights is None else result.assign(weights=weights.astype(np.float32))
    rows = pd.DataFrame(
        {key: values.take(kept) for key, values in extra.items()}, index=index, copy=False
    )
    weights = _scaled_weights(rows, scales)
    if weights is not None:
        rows["weights"] = weights
    settings = {"settings": data_set["settings"]} if "settings" in data_set else {}
    return {**{key: rows[key] for key in extra}, "data": result, **settings}


def _row_values(values: Any, frame: pd.DataFrame, key: str) -> Any:
    """Return one value per row of ``frame``; a Series is matched by its index.

    Raises
    ------
    DataError
        If there are more or fewer values than rows, or a Series has other labels.
    """
    if isinstance(values, pd.Series) and not values.index.equals(frame.index):
        fits = values.index.is_unique and frame.index.is_unique and len(values) == len(frame)
        if not fits or not frame.index.isin(values.index).all():
            raise DataError(
                f"the index of {key!r} is not that of 'data': select the rows of both alike, or "
                f"pass {key!r} as an array"
            )
        values = values.reindex(frame.index)
    series = values if isinstance(values, pd.Series) else pd.Series(np.asarray(values))
    if len(series) != len(frame):
        raise DataError(f"{key!r} has {len(series)} values for {len(frame)} events of 'data'")
    return series.array


def _passing(columns: Mapping[str, Array], tes: float) -> tuple[NDArray[np.intp], pd.Index]:
    """Return the rows that pass the cuts, and their index after them.

    Two columns tell which, the others need no computing.
    """
    had_pt, lep_pt = rounded(columns["PRI_had_pt"] * tes), rounded(columns["PRI_lep_pt"])
    kept = np.flatnonzero(passes_cuts({"PRI_had_pt": had_pt, "PRI_lep_pt": lep_pt}))
    return kept, _index_after_cuts(had_pt, kept)


def _other_columns(frame: pd.DataFrame, kept: NDArray[np.intp]) -> dict[str, Any]:
    """Return the kept rows of all columns but the features."""
    others = {}
    for name in frame.columns:
        if name not in FEATURES:
            values = frame[name].array.take(kept)
            wide = frame[name].dtype == np.float64
            others[name] = values.astype(np.float32) if wide else values
    return others


def _shifted_features(
    columns: Mapping[str, Array],
    kept: NDArray[np.intp],
    soft_met: Vector | None,
    **options: Any,
) -> NDArray[np.float32]:
    """Return the 28 features of the kept rows, shape (28, m); options as for ``features_of``."""
    everything = kept.size == columns["PRI_met"].size
    block = np.empty((len(FEATURES), kept.size), dtype=np.float32)

    def work(_: int, chunk: slice) -> None:
        for rows in pieces(chunk):
            mine = rows if everything else kept[rows]
            event = {name: column[mine] for name, column in columns.items()}
            noise = soft_met and Vector(soft_met.x[mine], soft_met.y[mine])
            features = features_of(event, soft_met=noise, **options)
            for out, values in zip(block[:, rows], features, strict=True):
                out[:] = values

    run_in_chunks(kept.size, work)
    return block


def _assemble(
    frame: pd.DataFrame,
    block: NDArray[np.float32],
    others: Mapping[str, Any],
    index: pd.Index,
) -> pd.DataFrame:
    """Put features (shape (28, m)) and all other columns into one frame.

    Columns stand where they stood in ``frame``; derived quantities that were not there follow. Each
    stands for itself: of one block, pandas would select columns with negative strides, which
    ``torch.tensor`` does not take.
    """
    columns: dict[str, Any] = {**dict(zip(FEATURES, block, strict=True)), **others}
    n_jets_type = frame["PRI_n_jets"].dtype
    if n_jets_type.kind != "f":
        columns["PRI_n_jets"] = pd.array(columns["PRI_n_jets"]).astype(n_jets_type)
    order = [*frame.columns, *(name for name in FEATURES if name not in frame.columns)]
    return pd.DataFrame({name: columns[name] for name in order}, index=index, copy=False)


def _scaled_weights(frame: pd.DataFrame, scales: Mapping[str, Any]) -> pd.Series | None:
    """Return the ``weights`` of ``frame`` (1 without any) times the rate factors; None means as is.

    Parameters
    ----------
    frame : DataFrame
        Weights and labels.
    scales : mapping of str to float or None
        By the name of :func:`systematics`' parameter.
    """
    wanted = {
        name: _plain_number(scale, name) for name, scale in scales.items() if scale is not None
    }
    factors = rate_factors(**wanted)
    if all(factor == 1.0 for factor in factors.values()):
        return None
    if "detailed_labels" in frame.columns:
        factor = frame["detailed_labels"].map(factors).to_numpy(dtype=np.float64, na_value=np.nan)
        if np.isnan(factor).any():
            strange = sorted(set(frame["detailed_labels"].unique()) - set(PROCESSES))
            raise DataError(f"unknown process {strange} in detailed_labels; known are {PROCESSES}")
    elif "labels" in frame.columns and set(wanted) == {"bkg_scale"}:
        factor = np.where(frame["labels"] == 0, factors["ztautau"], 1.0)
    else:
        warnings.warn(
            f"{' and '.join(wanted)} need the process of every event: the weights stay as they "
            "are; add the column or key 'detailed_labels' (for bkg_scale alone, 'labels' is "
            "enough)",
            stacklevel=3,
        )
        return None
    weights = frame["weights"] if "weights" in frame.columns else pd.Series(1.0, frame.index)
    return weights * factor


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
