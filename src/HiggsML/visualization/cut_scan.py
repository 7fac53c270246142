"""Where to cut on one variable: signal over background beyond each threshold.

Examples
--------
>>> scan = scan_cuts([3.0, 5.0], [1.0, 3.0, 3.0, 4.0], [0.0, 2.0, 3.5, 4.5])
>>> scan.percent.tolist()
[50.0, 66.66666666666667, 100.0]
>>> scan.skipped.tolist()
[4.5]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from HiggsML.errors import DataError, SettingsError
from HiggsML.visualization.style import (
    BAND,
    BLUE,
    GRAY,
    INK,
    VERMILION,
    axis_label,
    column_values,
    feature_columns,
    panel_grid,
    present,
    row_values,
    style,
)

__all__ = ["CutScan", "Direction", "plot_scans", "scan_cuts", "scan_features"]

Array = NDArray[np.float64]
Direction = Literal["above", "below"]

_PERCENTILES = (1.0, 99.0)  # long tails would squeeze the bulk into a few cuts


@dataclass(frozen=True)
class CutScan:
    """What passes each cut on a variable.

    Attributes
    ----------
    variable, label : str
        Column name, and what an axis calls it.
    direction : {"above", "below"}
        Whether events strictly above or strictly below a cut are kept.
    cuts : array of shape (n,)
        Cuts that some background passes, in the order of the edges.
    signal, background : array of shape (n,)
        Sums of the weights that pass.
    uncertainty : array of shape (n,)
        Statistical uncertainty of ``percent`` from the finite simulation.
    skipped : array
        Cuts that no background passes: S/B is not defined there.
    edges : array of shape (m,)
        All cuts: the edges of the histograms.
    histograms : tuple of two arrays of shape (m - 1,)
        Signal and background density, each of area 1 over the edges.
    total_signal : float
        Sum of all signal weights.
    keep : float
        Share of the signal that the best cut must keep.
    """

    variable: str
    label: str
    direction: Direction
    cuts: Array
    signal: Array
    background: Array
    uncertainty: Array
    skipped: Array
    edges: Array
    histograms: tuple[Array, Array]
    total_signal: float
    keep: float = 0.0

    @property
    def percent(self) -> Array:
        """100 x S/B at each of :attr:`cuts`."""
        return 100 * self.signal / self.background

    @property
    def significance(self) -> Array:
        """S / sqrt(B), which knows that fewer events also mean less certainty."""
        return self.signal / np.sqrt(self.background)

    @property
    def best(self) -> int | None:
        """Index of the largest S/B among the cuts that keep enough signal; None without any."""
        enough = (self.signal > 0) & (self.signal >= self.keep * self.total_signal)
        if not enough.any():
            return None
        return int(np.argmax(np.where(enough, self.percent, -np.inf)))

    @property
    def best_cut(self) -> float | None:
        """The cut at :attr:`best`."""
        return None if self.best is None else float(self.cuts[self.best])

    def as_frame(self) -> pd.DataFrame:
        """Return the scan as a table."""
        return pd.DataFrame(
            {
                "cut": self.cuts,
                "signal": self.signal,
                "background": self.background,
                "percent": self.percent,
                "uncertainty": self.uncertainty,
                "significance": self.significance,
            }
        )


def scan_cuts(
    signal: ArrayLike,
    background: ArrayLike,
    edges: ArrayLike,
    *,
    signal_weights: ArrayLike | None = None,
    background_weights: ArrayLike | None = None,
    direction: Direction = "above",
    keep: float = 0.0,
    variable: str = "x",
    label: str | None = None,
) -> CutScan:
    """Compute S/B of the events strictly beyond each cut.

    Parameters
    ----------
    signal, background : array of shape (rows,)
        Values of the variable; NaN passes no cut.
    edges : array of shape (m,)
        Cuts, rising.
    signal_weights, background_weights : array of shape (rows,), optional
        Weights, 1 by default; single ones may be negative, as some event generators have them.
    direction : {"above", "below"}
        Side of the cut that is kept.
    keep : float
        Share of the signal, 0 to 1, that a cut must keep to be called the best.
    variable, label : str
        Name of the variable, and of its axis.

    Raises
    ------
    DataError
        If there are no events, or not one weight per value.
    SettingsError
        If the edges do not rise, or an option is impossible.
    """
    if direction not in ("above", "below"):
        raise SettingsError(f"direction must be 'above' or 'below', got {direction!r}")
    if not 0 <= keep <= 1:
        raise SettingsError(f"keep must be a share between 0 and 1, got {keep}")
    thresholds = np.asarray(edges, dtype=np.float64)
    if thresholds.ndim != 1 or thresholds.size < 2 or not (np.diff(thresholds) > 0).all():
        raise SettingsError(f"{variable}: the edges must be two or more rising numbers")
    sums, squares, densities, totals = [], [], [], []
    for values, weights, what in (
        (signal, signal_weights, "signal"),
        (background, background_weights, "background"),
    ):
        x, w = _finite(values, weights, f"{variable}, {what}")
        sums.append(_beyond(x, w, thresholds, direction))
        squares.append(_beyond(x, w**2, thresholds, direction))
        densities.append(_density(x, w, thresholds))
        totals.append(float(w.sum()))
    # A sum that rounding or negative weights leave at or below zero is no background to divide by.
    defined = sums[1] > 1e-12 * abs(totals[1])
    s, b = sums[0][defined], sums[1][defined]
    relative = squares[1][defined] / b**2
    uncertainty = 100 / b * np.sqrt(squares[0][defined] + s**2 * relative)
    return CutScan(
        variable=variable,
        label=axis_label(variable) if label is None else label,
        direction=direction,
        cuts=thresholds[defined],
        signal=s,
        background=b,
        uncertainty=uncertainty,
        skipped=thresholds[~defined],
        edges=thresholds,
        histograms=(densities[0], densities[1]),
        total_signal=totals[0],
        keep=keep,
    )


def scan_features(
    events: pd.DataFrame,
    target: ArrayLike,
    weights: ArrayLike,
    columns: Sequence[str] | None = None,
    *,
    directions: Sequence[Direction] = ("above", "below"),
    n_cuts: int = 40,
    keep: float = 0.1,
) -> list[CutScan]:
    """Scan features of the HiggsML dataset in both directions.

    Events whose jet is absent pass no cut on it, in either direction.

    Parameters
    ----------
    events : DataFrame
        Events.
    target, weights : array of shape (rows,)
        1 for signal and 0 for background; event weights.
    columns : sequence of str, optional
        Features; all numeric ones by default.
    directions : sequence of {"above", "below"}
        Sides to scan.
    n_cuts : int
        Cuts between the 1st and the 99th percentile of a feature.
    keep : float
        Share of the signal that a cut must keep to be called the best: without it the best cut is
        where the last few events happen to be signal.

    Returns
    -------
    list of CutScan
        The feature with the largest S/B at its best cut first.
    """
    if n_cuts < 2:
        raise SettingsError(f"a scan needs at least two cuts, got {n_cuts}")
    is_signal = row_values(target, len(events), "target") == 1
    weight = row_values(weights, len(events), "weights").astype(np.float64)
    scans = []
    for name in feature_columns(events, columns):
        values = column_values(events, name)
        there = present(name, values)
        if not there.any():
            continue
        low, high = np.percentile(values[there], _PERCENTILES)
        edges = np.linspace(low, high if high > low else low + 1, n_cuts)
        values = np.where(there, values, np.nan)
        for direction in directions:
            scan = scan_cuts(
                values[is_signal],
                values[~is_signal],
                edges,
                signal_weights=weight[is_signal],
                background_weights=weight[~is_signal],
                direction=direction,
                keep=keep,
                variable=name,
            )
            if scan.best is not None:
                scans.append(scan)
    return sorted(scans, key=lambda scan: -float(scan.percent[scan.best or 0]))


def _finite(values: ArrayLike, weights: ArrayLike | None, where: str) -> tuple[Array, Array]:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not x.size:
        raise DataError(f"{where}: there are no events")
    w = np.ones(x.size) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != x.shape:
        raise DataError(f"{where}: {x.size} values but weights of shape {w.shape}")
    if not np.isfinite(w).all():
        raise DataError(f"{where}: some weights are NaN or infinite")
    total = ~np.isnan(x)
    return x[total], w[total]


def _beyond(x: Array, w: Array, cuts: Array, direction: Direction) -> Array:
    """Sum the weights strictly above, or below, each cut."""
    order = np.argsort(x, kind="stable")
    sorted_x = x[order]
    if direction == "below":
        running = np.concatenate([[0.0], np.cumsum(w[order])])
        below: Array = running[np.searchsorted(sorted_x, cuts, side="left")]
        return below
    # Summed from the far end, so that no difference of large numbers is left where nothing is.
    running = np.concatenate([np.cumsum(w[order][::-1])[::-1], [0.0]])
    above: Array = running[np.searchsorted(sorted_x, cuts, side="right")]
    return above


def _density(x: Array, w: Array, edges: Array) -> Array:
    counts = np.histogram(x, edges, weights=w)[0].astype(np.float64)
    area = float((counts * np.diff(edges)).sum() / np.diff(edges).mean())
    total = counts.sum()
    if total <= 0 or area <= 0:
        return np.zeros_like(counts)
    density: Array = counts / (total * np.diff(edges))
    return density


def plot_scans(scans: Sequence[CutScan]) -> Figure:
    """Draw each scan as two panels: normalized histograms above, 100 x S/B beyond each cut below.

    Raises
    ------
    DataError
        If there is no scan.
    """
    if not scans:
        raise DataError("there is no scan to draw")
    columns = min(len(scans), 2)
    rows = 2 * -(-len(scans) // columns)
    with style():
        figure, panels = panel_grid(
            rows * columns, columns=columns, size=(4.2, 2.2), pads=(0.82, 0.82), header=0.1
        )
        for axes in panels:
            axes.set_visible(False)
        for k, scan in enumerate(scans):
            row, column = 2 * (k // columns), k % columns
            upper, lower = (panels[(row + below) * columns + column] for below in (0, 1))
            _draw_histograms(upper, scan)
            _draw_ratio(lower, scan)
            for axes in (upper, lower):
                axes.set_visible(True)
                axes.set_xlim(scan.edges[0], scan.edges[-1])
                axes.set_xlabel(scan.label)
    return figure


def _draw_histograms(axes: Axes, scan: CutScan) -> None:
    signal, background = scan.histograms
    axes.stairs(background, scan.edges, color=BLUE, fill=True, alpha=0.35, label="background")
    axes.stairs(signal, scan.edges, color=VERMILION, label="signal")
    axes.set_ylim(0, 1.32 * max(float(signal.max()), float(background.max()), 1e-9))
    axes.set_ylabel("density (area 1)")
    axes.legend(loc="upper right", ncols=2)


def _draw_ratio(axes: Axes, scan: CutScan) -> None:
    """Draw S/B with its uncertainty, gaps where it is not defined, and the best cut."""
    defined = np.isin(scan.edges, scan.cuts)
    ratio, spread = np.full((2, scan.edges.size), np.nan)
    ratio[defined], spread[defined] = scan.percent, scan.uncertainty
    axes.fill_between(scan.edges, ratio - spread, ratio + spread, color=BAND, lw=0)
    axes.plot(scan.edges, ratio, "o-", color=INK, ms=2.5, lw=1, gid="ratio")
    sign = ">" if scan.direction == "above" else "<"
    axes.set_ylabel(rf"100 $\times$ S/B, events {sign} cut")
    best = scan.best
    peak = float(np.nanmax(scan.percent)) if scan.cuts.size else 1.0
    if best is not None:
        cut, value = float(scan.cuts[best]), float(scan.percent[best])
        axes.axvline(cut, color=VERMILION, lw=1, ls="--", gid="best")
        few = scan.signal < scan.keep * scan.total_signal
        if few.any():
            axes.plot(
                scan.cuts[few], scan.percent[few], "o", color=BAND, mec=GRAY, ms=3.2, gid="few"
            )
        axes.plot([cut], [value], "o", color=VERMILION, ms=5)
        kept = scan.signal[best] / scan.total_signal
        text = f"best: {sign} {cut:.4g}, S/B = {value:.3g} %, keeps {100 * kept:.0f} % of S"
        if few.any():
            text += f"\nlight points keep less than {100 * scan.keep:.0f} %"
        axes.set_title(text, loc="right", fontsize=8.5, color=VERMILION, pad=3)
    low, high = _shown(scan, peak)
    if scan.skipped.size:
        axes.plot(
            scan.skipped, np.full_like(scan.skipped, low), "x", color=GRAY, ms=4, clip_on=False
        )
        axes.text(
            0.97, 0.06, "x: no background left", transform=axes.transAxes, ha="right",
            fontsize=8, color=GRAY,
        )  # fmt: skip
    axes.set_ylim(low, high)


def _shown(scan: CutScan, peak: float) -> tuple[float, float]:
    """Return the ends of the ratio's axis, which shows the rise from no cut to the best one."""
    if not scan.cuts.size or peak <= 0:
        return 0.0, max(1.2 * peak, 1e-9)
    loosest = scan.percent[0 if scan.direction == "above" else -1]
    span = min(max(5 * (peak - float(loosest)), 0.2 * peak), peak)
    return peak - span, peak + 0.25 * span
