"""Events of data frames under the nuisance parameters of energy scales and missing momentum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from HiggsML.errors import DataError
from HiggsML.physics.chunks import pieces, run_beside, run_in_chunks, threads_for
from HiggsML.physics.event import Event
from HiggsML.physics.features import features_of, primary_columns
from HiggsML.physics.kinematics import Array, Vector
from HiggsML.physics.missing_jets import filled, put_back
from HiggsML.physics.shifts import HAD_PT_MIN, passes_cuts, rounded, shifted, without_soft_jets
from HiggsML.schema import FEATURES, PRI_COLUMNS
from HiggsML.systematics.arguments import DEFAULT_SEED, check_shifts, random_source
from HiggsML.systematics.weights import scaled_weights

__all__ = ["mom4_manipulate", "postprocess", "systematics"]


def _soft_met_noise(soft_met: float, n_rows: int, seed: int | np.random.Generator) -> Vector | None:
    """Draw the soft missing momentum; an integer seed gives the reference's numbers."""
    if soft_met == 0:
        return None
    source = random_source(seed)
    x, y = (source.normal(0, soft_met, size=n_rows) for _ in "xy")
    return Vector(x, y)


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
    tes, jes, soft_met = check_shifts(systTauEnergyScale, systJetEnergyScale, soft_met)
    noise = _soft_met_noise(soft_met, len(data), seed)
    columns, absent = filled(primary_columns(data))
    event = shifted(Event(columns), tes=tes, jes=jes, soft_met=noise)
    changed = {name: rounded(event[name]) for name in PRI_COLUMNS}
    changed |= {name: np.where(none, np.nan, changed[name]) for name, none in absent.items()}
    return _with_columns(data, changed)


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
    passed = np.cumsum(had_pt >= HAD_PT_MIN)
    if not passed.size or passed[-1] == kept.size:
        return pd.RangeIndex(kept.size)
    return pd.Index(np.subtract(passed[kept], 1))


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
        A Series in a dict is matched with the frame by its index. NaN in a jet's columns means that
        it does not exist, and stays.
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
    tes, jes, soft_met = check_shifts(tes, jes, soft_met)
    noise = run_beside(len(frame), lambda: _soft_met_noise(soft_met, len(frame), seed))
    (primaries, no_jets), all_rows = filled(primary_columns(frame)), np.arange(len(frame))
    kept, index = _passing(primaries, tes) if dopostprocess else (all_rows, frame.index)
    others = _other_columns(frame, kept)
    block = _shifted_features(
        primaries, kept, noise(), tes=tes, jes=jes, cuts=dopostprocess, corrected=corrected
    )
    put_back(block, no_jets, kept)
    result = _assemble(frame, block, others, index)
    scales = {"ttbar_scale": ttbar_scale, "diboson_scale": diboson_scale, "bkg_scale": bkg_scale}
    if isinstance(data_set, pd.DataFrame):
        weights = scaled_weights(result, scales)
        return result if weights is None else result.assign(weights=weights.astype(np.float32))
    rows = pd.DataFrame(
        {key: values.take(kept) for key, values in extra.items()}, index=index, copy=False
    )
    weights = scaled_weights(rows, scales)
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
    threads = threads_for(kept.size)

    def work(_: int, chunk: slice) -> None:
        for rows in pieces(chunk, threads):
            mine = rows if everything else kept[rows]
            event = {name: column[mine] for name, column in columns.items()}
            noise = soft_met and Vector(soft_met.x[mine], soft_met.y[mine])
            features = features_of(event, soft_met=noise, **options)
            for out, values in zip(block[:, rows], features, strict=True):
                out[:] = values

    run_in_chunks(kept.size, work, threads=threads)
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
