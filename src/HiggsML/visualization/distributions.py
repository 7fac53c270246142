"""Distributions of features: stacked by process, under systematic shifts, and by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from HiggsML.errors import DataError
from HiggsML.schema import BACKGROUNDS, SIGNAL
from HiggsML.visualization.pyplot_figures import shows_figures
from HiggsML.visualization.style import (
    BAND,
    BLUE,
    GRAY,
    INK,
    LABELS,
    PALETTE,
    PROCESS_COLORS,
    PROCESS_LABELS,
    TAILS,
    VERMILION,
    axis_label,
    bulk_range,
    column_values,
    feature_columns,
    figure_for,
    needs_jet,
    note,
    panel_grid,
    plain,
    present,
    row_values,
    style,
)

__all__ = [
    "histogram_classes",
    "histogram_syst",
    "stacked_histogram",
]

Array = NDArray[np.float64]


def _edges(column: str, values: Array, n_bins: int) -> Array:
    """Return bin edges over the range of the values, without long tails; counts get a bin each."""
    if n_bins < 1:
        raise DataError(f"a histogram needs at least one bin, got {n_bins}")
    if not values.size:
        return np.linspace(0.0, 1.0, n_bins + 1)
    low, high = bulk_range(values)
    if column == "PRI_n_jets":
        return np.arange(np.floor(low), np.floor(high) + 2) - 0.5
    if high <= low:
        low, high = low - 0.5, low + 0.5
    return np.linspace(low, high, n_bins + 1)


def _count(values: Array, edges: Array, weights: Array) -> Array:
    """Weighted counts in equal bins: told so, numpy is three times as fast as with their edges."""
    limits = (float(edges[0]), float(edges[-1]))
    counts = np.histogram(values, bins=edges.size - 1, range=limits, weights=weights)[0]
    return counts.astype(np.float64)


def _left_out(column: str, values: Array, weights: Array, edges: Array) -> str:
    """Say which share of the weight a histogram does not show, or nothing."""
    total = float(weights.sum())
    if total <= 0:
        return ""
    there = present(column, values)
    absent = float(weights[~there].sum()) / total
    outside = float(weights[there & ((values > edges[-1]) | (values < edges[0]))].sum()) / total
    parts = []
    if absent > 0:
        parts.append(f"{absent:.1%} without this jet" if needs_jet(column) else f"{absent:.1%} NaN")
    if outside > 0:
        parts.append(f"{outside:.1%} outside the range")
    return ", ".join(parts)


@shows_figures
def stacked_histogram(
    dfall: pd.DataFrame,
    target: ArrayLike,
    weights: ArrayLike,
    detailed_label: ArrayLike,
    field_name: str,
    mu_hat: float = 1.0,
    nbins: int = 30,
    y_scale: str = "linear",
    *,
    ax: Axes | None = None,
) -> Figure:
    """Expected events of one feature, stacked by process, with the signal on top.

    Parameters
    ----------
    dfall : DataFrame
        Events.
    target, weights, detailed_label : array of shape (number of rows,)
        1 for signal and 0 for background, event weight, process name.
    field_name : str
        The column to draw. Long tails are cut off; the figure says how much lies beyond, and how
        many events do not have the jet in question.
    mu_hat : float
        Signal strength of a second line, beside the one for mu = 1.
    nbins : int
        Number of bins.
    y_scale : {"linear", "log"}
        Scale of the vertical axis.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Figure
        The figure that was drawn on.

    Examples
    --------
    >>> labels = (events["labels"], events["weights"], events["detailed_labels"])
    >>> stacked_histogram(events, *labels, "DER_mass_vis", mu_hat=2.0).axes[0].get_xlabel()
    'visible mass [GeV]'
    """
    (column,) = feature_columns(dfall, [field_name])
    n_rows = len(dfall)
    is_signal = row_values(target, n_rows, "target") == 1
    weight = row_values(weights, n_rows, "weights").astype(np.float64)
    process = row_values(detailed_label, n_rows, "detailed_label").astype(str)
    values = column_values(dfall, column)
    there = present(column, values)
    edges = _edges(column, values[there], nbins)

    def count(mask: NDArray[np.bool_]) -> Array:
        chosen = mask & there
        return _count(values[chosen], edges, weight[chosen])

    names = set(np.unique(process[~is_signal]))
    # Rare processes at the bottom, where a linear scale still shows them.
    order = [name for name in reversed(BACKGROUNDS) if name in names]
    order = sorted(order, key=lambda name: weight[process == name].sum())
    order = sorted(names - set(order)) + order
    signal = count(is_signal)
    backgrounds = {name: count((process == name) & ~is_signal) for name in order}
    with style():
        figure, axes = figure_for(ax, width=5.6, height=4.2, left=0.78)
        base = _stack(axes, edges, backgrounds)
        axes.stairs(base + signal, edges, color=VERMILION, label=_signal_label(1.0))
        if mu_hat != 1.0:
            label = _signal_label(mu_hat)
            axes.stairs(base + mu_hat * signal, edges, color=INK, linestyle="--", label=label)
        magnified = _magnification(signal, base)
        if magnified > 1:
            label = f"{PROCESS_LABELS[SIGNAL]} alone, x {magnified:,}"
            axes.stairs(magnified * signal, edges, color=VERMILION, linestyle=":", label=label)
        peak = max((base + max(mu_hat, 1.0) * signal).max(), (magnified * signal).max(), 1e-9)
        _leave_room_for_the_legend(axes, y_scale, base, float(peak))
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel(axis_label(column))
        unit = LABELS.get(column, ("", ""))[1]
        per_bin = f"events / {edges[1] - edges[0]:.3g} {unit}".rstrip()
        axes.set_ylabel("events" if column == "PRI_n_jets" else per_bin)
        axes.legend(ncols=2, loc="upper right")
        remark = _left_out(column, values, weight, edges)
        if remark:
            axes.set_title(f"not shown: {remark}", loc="right", fontsize=8, color=GRAY)
    return figure


def _stack(axes: Axes, edges: Array, counts: Mapping[str, Array]) -> Array:
    """Draw processes on top of each other; return their sum."""
    base = np.zeros(edges.size - 1)
    spare = iter(PALETTE)
    for name, count in counts.items():
        color = PROCESS_COLORS.get(name) or next(spare)
        label = PROCESS_LABELS.get(name, plain(name))
        top = base + count
        axes.stairs(top, edges, baseline=base, fill=True, color=color, alpha=0.75, label=label)
        base = top
    return base


def _leave_room_for_the_legend(axes: Axes, y_scale: str, background: Array, peak: float) -> None:
    axes.set_yscale(y_scale)
    if y_scale == "log":
        filled = background[background > 0]
        floor = float(filled.min()) / 3 if filled.size else peak / 1e3
        axes.set_ylim(floor, peak * 30)
    else:
        axes.set_ylim(0, peak * 1.45)


def _signal_label(mu: float) -> str:
    return rf"+ {PROCESS_LABELS[SIGNAL]} ($\mu$ = {mu:.3g})"


def _magnification(signal: Array, background: Array) -> int:
    """Power of ten that makes the signal's shape visible beside the backgrounds."""
    if signal.max(initial=0) <= 0 or background.max(initial=0) <= 0:
        return 1
    ratio = background.max() / signal.max()
    return int(10 ** np.floor(np.log10(ratio))) if ratio >= 10 else 1


@shows_figures
def histogram_syst(
    dfall: pd.DataFrame,
    df_syst: pd.DataFrame,
    weights: ArrayLike,
    weight_syst: ArrayLike,
    columns: Sequence[str] | None = None,
    nbin: int = 25,
) -> Figure:
    """Weighted histograms before and after a systematic shift, with their ratio below.

    Parameters
    ----------
    dfall, df_syst : DataFrame
        Events as they are and shifted; they may differ in length.
    weights, weight_syst : array of shape (number of rows,)
        Weights of the two.
    columns : sequence of str, optional
        Features to draw; all numeric ones by default.
    nbin : int
        Number of bins.

    Returns
    -------
    Figure
        One panel per feature. The band around a ratio of 1 is the statistical uncertainty of the
        nominal sample; the points have none of their own, since the two samples usually hold the
        same events.

    Examples
    --------
    >>> shifted = systematics(events, tes=1.05)
    >>> weights = (events["weights"], shifted["weights"])
    >>> len(histogram_syst(events, shifted, *weights, ["PRI_had_pt"]).axes)
    2
    """
    names = feature_columns(dfall, columns)
    feature_columns(df_syst, names)
    nominal_weight = row_values(weights, len(dfall), "weights").astype(np.float64)
    shifted_weight = row_values(weight_syst, len(df_syst), "weight_syst").astype(np.float64)
    with style():
        figure, panels = panel_grid(len(names), size=(2.75, 2.5), header=0.55)
        for name, panel in zip(names, panels, strict=True):
            main, below = _split(panel)
            nominal, shifted = column_values(dfall, name), column_values(df_syst, name)
            edges = _edges(name, nominal[present(name, nominal)], nbin)
            before = _count(nominal, edges, nominal_weight)
            after = _count(shifted, edges, shifted_weight)
            squares = _count(nominal, edges, nominal_weight**2)
            main.stairs(before, edges, fill=True, color=BLUE, alpha=0.35, label="nominal")
            main.stairs(after, edges, color=VERMILION, label="shifted")
            main.set_ylim(0, max(before.max(), after.max(), 1e-9) * 1.12)
            main.set_ylabel("events")
            filled = before > 0
            centers = ((edges[1:] + edges[:-1]) / 2)[filled]
            ratio = after[filled] / before[filled]
            error = np.zeros_like(before)
            error[filled] = np.sqrt(squares[filled]) / before[filled]
            below.stairs(1 + error, edges, baseline=1 - error, fill=True, color=BAND)
            below.axhline(1.0, color=GRAY, linewidth=0.8)
            below.plot(centers, ratio, "o", color=VERMILION, ms=2.5, gid="ratio")
            # The bulk decides the range: an almost empty last bin may be anywhere.
            bulk = before[filled] > 0.05 * before.max(initial=0)
            reach = float(np.abs(ratio[bulk] - 1).max(initial=0.01))
            reach = min(max(1.6 * reach, 0.02), 1.0)
            below.set_ylim(1 - reach, 1 + reach)
            below.set_ylabel("ratio")
            below.set_xlabel(axis_label(name))
            for axes in (main, below):
                axes.set_xlim(edges[0], edges[-1])
        figure.legend(
            *main.get_legend_handles_labels(), loc="upper left", ncols=2, bbox_to_anchor=(0, 1)
        )
        note(figure, f"{TAILS}, absent jets left out", left=1.8)
    return figure


@shows_figures
def histogram_classes(
    dfall: pd.DataFrame,
    target: ArrayLike,
    weights: ArrayLike,
    columns: Sequence[str] | None = None,
    nbin: int = 25,
) -> Figure:
    """Weighted histograms of signal and of background, both of area 1.

    Parameters
    ----------
    dfall : DataFrame
        Events.
    target, weights : array of shape (number of rows,)
        1 for signal and 0 for background, event weight.
    columns : sequence of str, optional
        Features to draw; all numeric ones by default.
    nbin : int
        Number of bins.

    Returns
    -------
    Figure
        One panel per feature.

    Examples
    --------
    >>> len(histogram_classes(events, events["labels"], events["weights"], ["PRI_met"]).axes)
    1
    """
    names = feature_columns(dfall, columns)
    is_signal = row_values(target, len(dfall), "target") == 1
    weight = row_values(weights, len(dfall), "weights").astype(np.float64)
    with style():
        figure, panels = panel_grid(len(names), header=0.55)
        for name, axes in zip(names, panels, strict=True):
            values = column_values(dfall, name)
            there = present(name, values)
            edges = _edges(name, values[there], nbin)
            for mask, label, color in (
                (~is_signal, "background", BLUE),
                (is_signal, "signal", VERMILION),
            ):
                counts = _count(values[there & mask], edges, weight[there & mask])
                density = counts / max(float((counts * np.diff(edges)).sum()), 1e-300)
                axes.stairs(density, edges, color=color, fill=True, alpha=0.3)
                axes.stairs(density, edges, color=color, label=label)
            axes.set_ylim(bottom=0)
            axes.set_xlim(edges[0], edges[-1])
            axes.set_xlabel(axis_label(name))
            axes.set_ylabel("density (area 1)")
        handles = axes.get_legend_handles_labels()
        figure.legend(*handles, loc="upper left", ncols=2, bbox_to_anchor=(0, 1))
        note(figure, f"{TAILS}, absent jets left out", left=2.0)
    return figure


def _split(panel: Axes) -> tuple[Axes, Axes]:
    """Replace a panel by one for the histogram and a lower one for the ratio."""
    figure, box = panel.figure, panel.get_position()
    panel.remove()
    share, gap = 0.32, 0.055  # the gap parts the numbers of the two axes
    main = figure.add_axes(
        (box.x0, box.y0 + share * box.height, box.width, (1 - share) * box.height)
    )
    below = figure.add_axes((box.x0, box.y0, box.width, (share - gap) * box.height))
    main.tick_params(labelbottom=False)
    main.minorticks_off()
    below.minorticks_off()
    return main, below
