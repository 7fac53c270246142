"""Single events: features against each other, and what a systematic shift does event by event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from HiggsML.errors import DataError
from HiggsML.visualization.pyplot_figures import shows_figures
from HiggsML.visualization.style import (
    BLUE,
    GRAY,
    LABELS,
    TAILS,
    VERMILION,
    axis_label,
    bulk_range,
    column_values,
    feature_columns,
    new_figure,
    note,
    panel_grid,
    plain,
    present,
    row_values,
    style,
)

__all__ = ["event_vise_syst", "event_vise_syst_arrow", "pair_plots", "pair_plots_syst"]

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Seed = int | np.random.Generator

_ALL_PAIRS_UP_TO = 4  # columns; beyond, the arrow plot shows neighbors only
_PANELS_UP_TO = 8  # columns; beyond, panels are too small for numbers
_ARROW_SHARE = 0.06  # of a panel: the length up to which arrows are magnified


@shows_figures
def pair_plots(
    dfall: pd.DataFrame,
    target: ArrayLike,
    sample_size: int = 10,
    columns: Sequence[str] | None = None,
    *,
    seed: Seed = 0,
) -> Figure:
    """Scatter plots of all pairs of features, for a sample of signal and background events.

    Parameters
    ----------
    dfall : DataFrame
        Events. With a ``weights`` column, events are drawn in proportion to their weight.
    target : array of shape (number of rows,)
        1 for signal, 0 for background.
    sample_size : int
        Events to draw of each class (fewer if there are fewer).
    columns : sequence of str, optional
        Features; all numeric ones by default.
    seed : int or numpy.random.Generator
        Choice of the events.

    Returns
    -------
    Figure
        Histograms on the diagonal (in units of the sample), scatter plots below it. Long tails
        are cut off, which the figure says.

    Examples
    --------
    >>> len(pair_plots(events, events["labels"], 20, ["PRI_had_pt", "PRI_met"]).axes)
    3
    """
    names = feature_columns(dfall, columns)
    label = row_values(target, len(dfall), "target")
    weight = dfall["weights"].to_numpy(np.float64) if "weights" in dfall else None
    rng = np.random.default_rng(seed)
    groups = {}
    for value, title, color in ((0, "background", BLUE), (1, "signal", VERMILION)):
        rows = _sample(np.flatnonzero(label == value), sample_size, rng, weight)
        groups[f"{title}, {rows.size:,} events drawn"] = (dfall.iloc[rows], color)
    return _pairs(names, groups)


@shows_figures
def pair_plots_syst(
    dfall: pd.DataFrame,
    df_syst: pd.DataFrame,
    sample_size: int = 100,
    columns: Sequence[str] | None = None,
    *,
    seed: Seed = 0,
) -> Figure:
    """Scatter plots of all pairs of features, for events before and after a systematic shift.

    Parameters
    ----------
    dfall, df_syst : DataFrame
        Events as they are and shifted. With as many rows in both, the same rows are shown.
    sample_size : int
        Events to draw.
    columns : sequence of str, optional
        Features; all numeric ones by default.
    seed : int or numpy.random.Generator
        Choice of the events.

    Examples
    --------
    >>> shifted = systematics(events, tes=1.05, dopostprocess=False)
    >>> len(pair_plots_syst(events, shifted, 20, ["PRI_had_pt", "PRI_met"]).axes)
    3
    """
    names = feature_columns(dfall, columns)
    feature_columns(df_syst, names)
    rng = np.random.default_rng(seed)
    rows = _sample(np.arange(len(dfall)), sample_size, rng)
    same = len(dfall) == len(df_syst)
    other = rows if same else _sample(np.arange(len(df_syst)), sample_size, rng)
    kind = "the same events" if same else "other events"
    groups = {
        f"nominal, {rows.size:,} events drawn": (dfall.iloc[rows], BLUE),
        f"shifted, {kind}": (df_syst.iloc[other], VERMILION),
    }
    return _pairs(names, groups)


def _sample(
    rows: Rows, size: int, rng: np.random.Generator, weight: NDArray[np.float64] | None = None
) -> Rows:
    """Draw rows without repetition, in proportion to their weight if there is one."""
    if size < 1:
        raise DataError(f"sample_size must be at least 1, got {size}")
    if weight is not None:
        rows = rows[weight[rows] > 0]
    if rows.size <= size:
        return rows
    if weight is None:
        return np.sort(rng.choice(rows, size, replace=False))
    # The smallest of exponential waiting times with rate w: a weighted draw without repetition.
    waiting = rng.exponential(size=rows.size) / weight[rows]
    return np.sort(rows[np.argpartition(waiting, size)[:size]])


def _pairs(names: list[str], groups: Mapping[str, tuple[pd.DataFrame, str]]) -> Figure:
    """Draw the lower triangle of a matrix of scatter plots, with histograms on its diagonal."""
    n, many = len(names), len(names) > _PANELS_UP_TO
    cell, left, bottom = (0.6, 1.75, 1.75) if many else (1.45, 0.75, 0.6)
    # The legend stands in the empty upper triangle, which few features leave too small.
    header = 0.15 if n > 3 else 0.55
    width, height = max(left + n * cell + 0.15, 4.4), bottom + n * cell + header
    data = [
        _Group(
            [_without_absent(name, column_values(frame, name)) for name in names],
            color,
            min(1.0, 0.3 + 30 / max(len(frame), 1)),
        )
        for frame, color in groups.values()
    ]
    title = None
    for values in zip(*(group.columns for group in data), strict=True):
        low, high = bulk_range(np.concatenate(values))
        for column in values:
            outside = (column < low) | (column > high)
            if outside.any():
                column[outside] = np.nan
                title = TAILS
    with style():
        figure = new_figure(width, height)
        if many:
            box = (left / width, bottom / height, n * cell / width, n * cell / height)
            _draw_matrix(figure.add_axes(box), names, data)
        else:
            side = cell - 0.1
            for row, column in ((i, j) for i in range(n) for j in range(i + 1)):
                x, y = left + column * cell, bottom + (n - 1 - row) * cell
                box = (x / width, y / height, side / width, side / height)
                _draw_panel(figure.add_axes(box), names, row, column, data)
        handles = [
            Line2D([], [], marker="o", linestyle="", color=color, label=text)
            for text, (_, color) in groups.items()
        ]
        legend = figure.legend(
            handles=handles,
            loc="upper right",
            bbox_to_anchor=(0.99, 1 - 0.05 / height),
            title=title,
            title_fontsize=8,
            alignment="left",
        )
        legend.get_title().set_color(GRAY)
    return figure


class _Group(NamedTuple):
    """Events that share a color: one array per feature, NaN where there is no jet."""

    columns: list[Array]
    color: str
    alpha: float


def _without_absent(name: str, values: Array) -> Array:
    return np.where(present(name, values), values, np.nan)


def _histograms(data: Sequence[_Group], feature: int) -> tuple[list[Array], Array]:
    """Return one histogram per group, with common edges."""
    columns = [group.columns[feature] for group in data]
    together = np.concatenate(columns)
    together = together[np.isfinite(together)]
    edges = np.histogram_bin_edges(together, 20) if together.size else np.linspace(0, 1, 21)
    return [np.histogram(values, edges)[0].astype(float) for values in columns], edges


def _draw_panel(
    axes: Axes, names: list[str], row: int, column: int, data: Sequence[_Group]
) -> None:
    if row == column:
        heights, edges = _histograms(data, row)
        for counts, group in zip(heights, data, strict=True):
            axes.stairs(counts, edges, color=group.color, linewidth=1.0)
        axes.set_ylim(bottom=0)
    else:
        for group in data:
            x, y = group.columns[column], group.columns[row]
            axes.plot(x, y, ".", color=group.color, alpha=group.alpha, ms=4, mew=0)
    axes.minorticks_off()
    axes.locator_params(nbins=3)
    last = len(names) - 1
    axes.tick_params(labelsize=7, labelbottom=row == last, labelleft=column == 0)
    if row == column:
        axes.set_yticks([])  # the numbers of its row belong to the scatter plots
    if row == last:
        axes.set_xlabel(axis_label(names[column]), fontsize=8, loc="center")
    if column == 0:
        axes.set_ylabel(axis_label(names[row]) if row else "events", fontsize=8, loc="center")


def _draw_matrix(axes: Axes, names: list[str], data: Sequence[_Group]) -> None:
    """Draw all panels into one pair of axes, each feature scaled to its range.

    Hundreds of axes would take ten seconds, and their numbers would be too small to read.
    """
    n, side = len(names), 0.9
    spans = []
    for feature in range(n):
        together = np.concatenate([group.columns[feature] for group in data])
        together = together[np.isfinite(together)]
        low, high = (together.min(), together.max()) if together.size else (0.0, 1.0)
        spans.append((low, (high - low) or 1.0))
    for row, column in ((i, j) for i in range(n) for j in range(i + 1)):
        frame = Rectangle((column, n - 1 - row), side, side, fill=False, color=GRAY, linewidth=0.5)
        axes.add_artist(frame)
    lower = [(row, column) for row in range(n) for column in range(row)]
    for group in data:
        scaled = [
            side * (0.04 + 0.92 * (values - low) / span)
            for values, (low, span) in zip(group.columns, spans, strict=True)
        ]
        x = np.concatenate([column + scaled[column] for _, column in lower])
        y = np.concatenate([n - 1 - row + scaled[row] for row, _ in lower])
        axes.plot(x, y, ".", color=group.color, alpha=group.alpha, ms=2.5, mew=0)
    for feature in range(n):
        heights, edges = _histograms(data, feature)
        low, span = spans[feature]
        x = feature + side * (0.04 + 0.92 * (edges - low) / span)
        peak = max(float(counts.max()) for counts in heights) or 1.0
        for counts, group in zip(heights, data, strict=True):
            base = n - 1 - feature
            line = base + 0.92 * side * counts / peak
            axes.stairs(line, x, baseline=base, color=group.color, linewidth=0.8)
    short = [LABELS.get(name, (plain(name), ""))[0] for name in names]
    axes.set(xlim=(-0.05, n), ylim=(-0.05, n))
    axes.set_xticks(np.arange(n) + side / 2, short, rotation=90, fontsize=8)
    axes.set_yticks(np.arange(n) + side / 2, short[::-1], fontsize=8)
    axes.minorticks_off()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _matched(
    dfall: pd.DataFrame,
    df_syst: pd.DataFrame,
    columns: Sequence[str] | None,
    sample_size: int,
    seed: Seed,
) -> tuple[list[str], pd.DataFrame, pd.DataFrame]:
    """Return a sample of rows of both frames, which must hold the same events."""
    names = feature_columns(dfall, columns)
    feature_columns(df_syst, names)
    if len(dfall) != len(df_syst):
        raise DataError(
            f"the frames have {len(dfall)} and {len(df_syst)} rows, so they can not be compared "
            "event by event: shift with dopostprocess=False, which drops no event"
        )
    rows = _sample(np.arange(len(dfall)), sample_size, np.random.default_rng(seed))
    return names, dfall.iloc[rows], df_syst.iloc[rows]


@shows_figures
def event_vise_syst(
    dfall: pd.DataFrame,
    df_syst: pd.DataFrame,
    columns: Sequence[str] | None = None,
    sample_size: int = 100,
    *,
    seed: Seed = 0,
) -> Figure:
    """Shift of each feature, event by event, against its nominal value.

    Parameters
    ----------
    dfall, df_syst : DataFrame
        The same events in the same order, as they are and shifted (``dopostprocess=False``).
    columns : sequence of str, optional
        Features; all numeric ones by default.
    sample_size : int
        Events to draw.
    seed : int or numpy.random.Generator
        Choice of the events.

    Raises
    ------
    DataError
        If the frames differ in length.

    Examples
    --------
    >>> shifted = systematics(events, tes=1.05, dopostprocess=False)
    >>> len(event_vise_syst(events, shifted, ["PRI_had_pt", "PRI_met"]).axes)
    2
    """
    names, nominal, shifted = _matched(dfall, df_syst, columns, sample_size, seed)
    with style():
        figure, panels = panel_grid(len(names), pads=(0.85, 0.72))
        for name, axes in zip(names, panels, strict=True):
            before, after = column_values(nominal, name), column_values(shifted, name)
            both = present(name, before) & present(name, after)
            axes.axhline(0.0, color=GRAY, linewidth=0.8)
            axes.plot(before[both], (after - before)[both], "o", color=BLUE, ms=3, alpha=0.5, mew=0)
            axes.margins(0.05)
            if not np.any((after - before)[both]):
                axes.set_ylim(-1, 1)
            axes.set_xlabel(axis_label(name))
            axes.set_ylabel(
                f"shift [{unit}]" if (unit := LABELS.get(name, ("", ""))[1]) else "shift"
            )
        note(figure, f"shifted - nominal, {len(nominal):,} of {len(dfall):,} events")
    return figure


@shows_figures
def event_vise_syst_arrow(
    dfall: pd.DataFrame,
    df_syst: pd.DataFrame,
    columns: Sequence[str] | None = None,
    sample_size: int = 100,
    *,
    magnify: float | None = None,
    seed: Seed = 0,
) -> Figure:
    """Arrows from where events are towards where a systematic shift moves them.

    All pairs of up to four features are shown; of more, each feature with the next one. Long tails
    are cut off, which the figure says.

    Parameters
    ----------
    dfall, df_syst : DataFrame
        The same events in the same order, as they are and shifted (``dopostprocess=False``).
    columns : sequence of str, optional
        At least two features; all numeric ones by default.
    sample_size : int
        Events to draw.
    magnify : float, optional
        Length of the arrows in units of the shift. By default a round number, 1 or more, with
        which typical arrows can be seen; the figure states it.
    seed : int or numpy.random.Generator
        Choice of the events.

    Raises
    ------
    DataError
        If the frames differ in length, there is only one feature, or ``magnify`` is not positive.

    Examples
    --------
    >>> shifted = systematics(events, tes=1.05, dopostprocess=False)
    >>> len(event_vise_syst_arrow(events, shifted, ["PRI_had_pt", "PRI_met"]).axes)
    1
    """
    names, nominal, shifted = _matched(dfall, df_syst, columns, sample_size, seed)
    if len(names) < 2:
        raise DataError("arrows need at least two columns")
    if magnify is not None and not magnify > 0:
        raise DataError(f"magnify must be positive, got {magnify}")
    pairs = list(combinations(names, 2) if len(names) <= _ALL_PAIRS_UP_TO else pairwise(names))
    places = {}
    for name in names:
        before, after = column_values(nominal, name), column_values(shifted, name)
        both = present(name, before) & present(name, after)
        places[name] = np.where(both, before, np.nan), np.where(both, after, np.nan)
    ranges = {name: bulk_range(before) for name, (before, _) in places.items()}
    factor = _magnification(places, ranges) if magnify is None else magnify
    with style():
        figure, panels = panel_grid(len(pairs))
        for (x_name, y_name), axes in zip(pairs, panels, strict=True):
            (x, to_x), (y, to_y) = places[x_name], places[y_name]
            both = np.isfinite(x) & np.isfinite(y)
            x, y, to_x, to_y = x[both], y[both], to_x[both], to_y[both]
            axes.plot(x, y, ".", color=BLUE, ms=3.5, alpha=0.6, mew=0)
            # angles="xy" points from the one place to the other whatever the two scales are.
            axes.quiver(
                *(x, y, to_x - x, to_y - y),
                angles="xy",
                scale_units="xy",
                scale=1 / factor,
                width=0.005,
                headwidth=4,
                headlength=5,
                minlength=0.5,
                color=VERMILION,
            )
            for name, set_limits in ((x_name, axes.set_xlim), (y_name, axes.set_ylim)):
                low, high = ranges[name]
                margin = 0.06 * (high - low) or 0.5
                set_limits(low - margin, high + margin)
            axes.set_xlabel(axis_label(x_name))
            axes.set_ylabel(axis_label(y_name))
        remarks = [f"nominal to shifted, {len(nominal):,} of {len(dfall):,} events"]
        if factor != 1:
            remarks.append(f"arrows {factor:g} times as long as the shift")
        if any(
            np.nanmin(before) < ranges[name][0] or np.nanmax(before) > ranges[name][1]
            for name, (before, _) in places.items()
            if np.isfinite(before).any()
        ):
            remarks.append(TAILS)
        note(figure, "; ".join(remarks))
    return figure


def _magnification(
    places: Mapping[str, tuple[Array, Array]], ranges: Mapping[str, tuple[float, float]]
) -> float:
    """Return a round factor, 1 or more, with which shifts of the most shifted feature show."""
    typical = 0.0
    for name, (before, after) in places.items():
        moved = np.abs(after - before)
        moved = moved[moved > 0]  # NaN is not
        low, high = ranges[name]
        if moved.size and high > low:
            typical = max(typical, float(np.median(moved)) / (high - low))
    if typical <= 0:
        return 1.0
    wanted = _ARROW_SHARE / typical
    rounds = [step * 10.0**power for power in range(4) for step in (1, 2, 5)]
    return max((value for value in rounds if value <= wanted), default=1.0)
