"""What tells signal from background: correlations of features in each class, and ROC curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from HiggsML.errors import DataError
from HiggsML.visualization.pyplot_figures import shows_figures
from HiggsML.visualization.style import (
    BLUE,
    GRAY,
    GREEN,
    INK,
    LABELS,
    VERMILION,
    column_values,
    feature_columns,
    figure_for,
    new_figure,
    note,
    plain,
    present,
    row_values,
    style,
)

__all__ = ["correlation_plots", "roc_curve_wrapper"]

Array = NDArray[np.float64]

_CORRELATED_ROWS = 100_000  # per class: correlations to 0.3 %, in a fraction of a second
_CURVE_POINTS = 1_000
_LETTERS = {"b": BLUE, "r": VERMILION, "g": GREEN, "k": INK}


@shows_figures
def correlation_plots(
    dfall: pd.DataFrame, target: ArrayLike, columns: Sequence[str] | None = None
) -> Figure:
    """Correlation matrices of background and signal, in percent.

    Each pair of features uses the events that have both: the -25 of absent jets would otherwise
    dominate. A ``weights`` column in ``dfall`` is honored. Of each class, 100,000 events at most
    are used, which the title says.

    Parameters
    ----------
    dfall : DataFrame
        Events.
    target : array of shape (number of rows,)
        1 for signal, 0 for background.
    columns : sequence of str, optional
        Features; all numeric ones by default.

    Returns
    -------
    Figure
        Two panels; numbers are printed for up to 16 features.

    Examples
    --------
    >>> len(correlation_plots(events, events["labels"], ["PRI_had_pt", "PRI_met"]).axes)
    3
    """
    names = feature_columns(dfall, columns)
    label = row_values(target, len(dfall), "target")
    weight = dfall["weights"].to_numpy(np.float64) if "weights" in dfall else np.ones(len(dfall))
    n = len(names)
    side = max(2.2, (0.36 if n <= 16 else 0.2) * n)
    left, gap, bottom, bar = 1.75, 0.25, 1.75, 0.75
    width, height = left + 2 * side + gap + bar, bottom + side + 0.4
    with style():
        figure = new_figure(width, height)
        for panel, (value, title) in enumerate(((0, "background"), (1, "signal"))):
            rows = np.flatnonzero(label == value)
            text = f"{title}: {rows.size:,} events"
            if rows.size > _CORRELATED_ROWS:
                text = f"{title}: {_CORRELATED_ROWS:,} of {rows.size:,} events"
                rows = np.sort(np.random.default_rng(0).choice(rows, _CORRELATED_ROWS, False))
            matrix = _correlation(dfall.iloc[rows], names, weight[rows])
            box = (left + panel * (side + gap), bottom, side, side)
            axes = figure.add_axes((box[0] / width, bottom / height, side / width, side / height))
            image = axes.imshow(100 * matrix, cmap="RdBu_r", vmin=-100, vmax=100)
            axes.set_title(text)
            short = [LABELS.get(name, (plain(name), ""))[0] for name in names]
            small = 8 if n <= 16 else 6.5
            axes.set_xticks(range(n), short, rotation=90, fontsize=small)
            axes.set_yticks(range(n), short if panel == 0 else [""] * n, fontsize=small)
            axes.tick_params(which="both", length=0)
            axes.minorticks_off()
            if n <= 16:
                for row, column in np.argwhere(np.isfinite(matrix)):
                    number = 100 * matrix[row, column]
                    color = "white" if abs(number) > 60 else INK
                    axes.text(
                        column,
                        row,
                        f"{number:.0f}",
                        ha="center",
                        va="center",
                        fontsize=7,
                        color=color,
                    )
        scale = figure.add_axes(
            ((width - bar + 0.1) / width, bottom / height, 0.12 / width, side / height)
        )
        figure.colorbar(image, cax=scale, label="correlation [%]")
        note(figure, "absent jets left out")
    return figure


def _correlation(frame: pd.DataFrame, names: Sequence[str], weight: Array) -> Array:
    """Weighted correlation of each pair over the events that have both; NaN where undefined."""
    values = np.column_stack([column_values(frame, name) for name in names])
    there = np.column_stack([present(name, values[:, i]) for i, name in enumerate(names)])
    values[~there] = 0.0
    # Any center near the mean will do: it only guards the differences below against rounding.
    values -= values.sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    values[~there] = 0.0
    valid = there.astype(np.float64)
    weighted = values * weight[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        total = (valid * weight[:, None]).T @ valid
        mean = weighted.T @ valid / total
        square = (weighted * values).T @ valid / total
        variance = square - mean**2
        covariance = weighted.T @ values / total - mean * mean.T
        matrix: Array = covariance / np.sqrt(variance * variance.T)
    # A constant column's variance is zero up to rounding: its correlation is not a number.
    flat = variance <= 1e-12 * square
    matrix[flat | flat.T] = np.nan
    return matrix


@shows_figures
def roc_curve_wrapper(
    score: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike,
    plot_label: str = "model",
    color: str = "b",
    lw: float = 2,
    *,
    ax: Axes | None = None,
) -> Figure:
    """Weighted ROC curve of a classifier, with the area under it in the legend.

    Parameters
    ----------
    score, labels, weights : array of shape (n,)
        Classifier output (higher is more like signal), 1 for signal and 0 for background, weight.
    plot_label : str
        Name in the legend.
    color : str
        Any color of matplotlib; the letters b, r, g and k mean those of this package's palette.
    lw : float
        Line width.
    ax : Axes, optional
        Where to draw; pass the same axes again to compare models.

    Raises
    ------
    DataError
        If one of the classes has no weight.

    Examples
    --------
    >>> score = events["DER_mass_vis"]
    >>> figure = roc_curve_wrapper(score, events["labels"], events["weights"], "mass alone")
    >>> len(figure.axes)
    1
    """
    value = np.asarray(score, dtype=np.float64)
    if value.ndim != 1 or not np.isfinite(value).all():
        raise DataError("score must be a one-dimensional array of finite numbers")
    weight = row_values(weights, value.size, "weights").astype(np.float64)
    is_signal = row_values(labels, value.size, "labels") == 1
    order = np.argsort(-value)
    last_of_ties = np.append(np.flatnonzero(np.diff(value[order])), value.size - 1)
    rates = []
    for mask, name in ((is_signal, "signal"), (~is_signal, "background")):
        passed = np.cumsum(np.where(mask, weight, 0.0)[order])[last_of_ties] if value.size else []
        if not len(passed) or passed[-1] <= 0:
            raise DataError(f"a ROC curve needs {name} events of positive weight")
        rates.append(np.concatenate([[0.0], np.asarray(passed) / passed[-1]]))
    signal, background = rates
    area = float(np.sum(np.diff(background) * (signal[1:] + signal[:-1]) / 2))
    # A million steps would take seconds to draw and megabytes to save.
    shown = np.unique(np.linspace(0, signal.size - 1, _CURVE_POINTS).round().astype(int))
    with style():
        figure, axes = figure_for(ax, width=4.4, height=4.2)
        if not axes.lines:
            axes.plot([0, 1], [0, 1], color=GRAY, lw=0.8, ls="--", label="chance (area 0.5)")
        text = f"{plain(plot_label)} (area {area:.3f})"
        axes.plot(
            background[shown], signal[shown], color=_LETTERS.get(color, color), lw=lw, label=text
        )
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.set_xlabel("background efficiency")
        axes.set_ylabel("signal efficiency")
        axes.legend(loc="lower right")
    return figure
