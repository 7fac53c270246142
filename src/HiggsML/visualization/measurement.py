"""Measured signal strengths: intervals, pulls, coverage and width against the true mu."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from HiggsML.errors import DataError
from HiggsML.results import Predictions
from HiggsML.schema import COVERAGE_TARGET, MU_RANGE
from HiggsML.statistics.measurements import contains, pull, width
from HiggsML.statistics.official_scores import coverage_band
from HiggsML.visualization.pyplot_figures import shows_figures
from HiggsML.visualization.style import (
    BAND,
    BLUE,
    GRAY,
    INK,
    VERMILION,
    figure_for,
    new_figure,
    panel_grid,
    plain,
    style,
)

__all__ = [
    "interval_plot",
    "pull_plot",
    "pulls_of",
    "visualize_coverage",
    "visualize_scatter",
    "width_and_coverage_plot",
]

Array = NDArray[np.float64]
Result = Predictions | Mapping[str, Any]
Results = Mapping[Any, Result]
Truth = Mapping[Any, float] | Sequence[float]

_PULL_RANGE = 5.0
_LONG_RANKS = 10_000  # from here on 20k: a power of ten above the axis would hit the legend
_LEAST_PITCH = 3.5  # points between intervals from which on they are single lines
_CENTRAL = (15.865, 84.135)  # percentiles that hold the central 68.27 %
_ATTRIBUTES = {"mu_hats": "mu_hat", "delta_mu_hats": "delta_mu_hat", "p16": "p16", "p84": "p84"}


def _column(result: Result, key: str) -> Array:
    """Return a column of a result: of ours, or of a dictionary with either spelling of its keys."""
    if isinstance(result, Predictions):
        return np.asarray(getattr(result, _ATTRIBUTES[key]), dtype=np.float64)
    for name in (key, f"{key}s"):
        if name in result:
            return np.asarray(result[name], dtype=np.float64)
    raise DataError(f"a result lacks {key!r}; it has {', '.join(map(repr, result))}")


def _matched(results: Results, mus: Truth) -> list[tuple[Any, Result, float]]:
    """Return (name of the set, its result, its true mu)."""
    if not results:
        raise DataError("there are no results to draw")
    try:
        return [(key, result, float(mus[key])) for key, result in results.items()]
    except (KeyError, IndexError, TypeError) as error:
        raise DataError(f"no true mu is known for one of the sets ({error})") from error


def _mu_limits(mus: ArrayLike) -> tuple[float, float]:
    """Return the range of the challenge's true mu, or more if these need it."""
    values = np.asarray(mus, dtype=np.float64)
    return min(0.0, values.min() - 0.1), max(MU_RANGE[1] + 0.1, values.max() + 0.1)


# ----------------------------------------------------------------------------------------------
# Intervals
# ----------------------------------------------------------------------------------------------


@shows_figures
def interval_plot(
    p16: ArrayLike,
    p84: ArrayLike,
    mu: float,
    mu_hat: ArrayLike | None = None,
    *,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """All intervals of one set as horizontal lines, sorted by the measured mu.

    Parameters
    ----------
    p16, p84 : array of shape (n,)
        Interval ends.
    mu : float
        The true value, drawn as a vertical line. Intervals that contain it have one color and those
        that miss it another.
    mu_hat : array of shape (n,), optional
        Measured values: the order of the intervals, and a thin curve. By default the middles.
    title : str, optional
        Text above the axes.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> interval_plot([0.8, 1.1], [1.2, 1.4], mu=1.0).axes[0].get_xlabel()
    'signal strength μ'
    """
    low, high = np.asarray(p16, dtype=np.float64), np.asarray(p84, dtype=np.float64)
    center = (low + high) / 2 if mu_hat is None else np.asarray(mu_hat, dtype=np.float64)
    if low.ndim != 1 or not low.size or not low.shape == high.shape == center.shape:
        raise DataError(
            f"p16, p84 and mu_hat must be equally long lists, not of shapes {low.shape}, "
            f"{high.shape} and {center.shape}"
        )
    order = np.argsort(center, kind="stable")
    low, high, center = low[order], high[order], center[order]
    covered = contains(low, high, mu)
    rank = np.arange(1, low.size + 1)
    with style():
        figure, axes = figure_for(ax)
        pitch = axes.get_position().height * figure.get_size_inches()[1] * 72 / (low.size + 1)
        # Many lines overlap a little and fill an area: gaps of about a pixel would give a moire. A
        # few stay apart.
        thickness = 1.4 * pitch if pitch < _LEAST_PITCH else min(0.55 * pitch, 4.0)
        for mask, color, text in (
            (covered, BLUE, "contain"),
            (~covered, VERMILION, "miss"),
        ):
            x, y = _segments(low[mask], high[mask], rank[mask])
            label = f"{int(mask.sum()):,} {text} the true μ"
            line = axes.plot(x, y, color=color, linewidth=thickness, label=label, gid=text)[0]
            line.set_solid_capstyle("butt")
            # An interval of no width would be invisible.
            point = mask & (high == low)
            axes.plot(low[point], rank[point], ".", color=color, ms=min(3.0, 2 * thickness + 1))
        axes.plot(center, rank, color=INK, linewidth=0.9, marker="" if low.size > 1 else ".")
        axes.axvline(mu, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
        axes.set_xlim(*_bulk_range(low, high, mu))
        axes.set_ylim(0, low.size + 1)
        axes.set_xlabel("signal strength μ")
        # A browser's own font is wider than ours: room for the numbers beside it.
        axes.set_ylabel("pseudo-experiment, by measured μ", labelpad=7)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 2.5, 5, 10]))
        if low.size >= _LONG_RANKS:
            axes.yaxis.set_major_formatter(EngFormatter(sep="", useMathText=False))
        legend = axes.legend(
            loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderpad=0, borderaxespad=0.3
        )
        for handle in legend.get_lines():
            handle.set_linewidth(4)
        if title is not None:
            axes.set_title(plain(title), pad=19)
    return figure


def _segments(low: Array, high: Array, y: NDArray[np.integer[Any]]) -> tuple[Array, Array]:
    """One line with a gap after each interval: a hundred times faster than a line for each."""
    gap = np.full(low.size, np.nan)
    return np.column_stack([low, high, gap]).ravel(), np.column_stack([y, y, gap]).ravel()


def _bulk_range(low: Array, high: Array, mu: float) -> tuple[float, float]:
    """Return a range that holds mu and all but the wildest interval ends."""
    left = min(float(np.percentile(low, 1)), mu)
    right = max(float(np.percentile(high, 99)), mu)
    margin = 0.08 * (right - left) or 0.1 * max(abs(mu), 1.0)
    return left - margin, right + margin


@shows_figures
def visualize_coverage(ingestion_result_dict: Results, ground_truth_mus: Truth) -> Figure:
    """Intervals of every set, one panel each: see :func:`interval_plot`.

    Parameters
    ----------
    ingestion_result_dict : mapping
        By set: :class:`~HiggsML.results.Predictions`, or a dictionary with lists ``p16`` or
        ``p16s``, ``p84`` or ``p84s`` and, if wanted, ``mu_hats``.
    ground_truth_mus : mapping or sequence
        True mu by set.

    Examples
    --------
    >>> len(visualize_coverage(predictions, mus).axes) == len(predictions)
    True
    """
    sets = _matched(ingestion_result_dict, ground_truth_mus)
    with style():
        figure, panels = panel_grid(
            len(sets), columns=min(3, len(sets)), size=(3.3, 2.6), pads=(0.75, 1.05), header=0.6
        )
        for (key, result, mu), axes in zip(sets, panels, strict=True):
            known = isinstance(result, Predictions) or "mu_hats" in result
            center = _column(result, "mu_hats") if known else None
            low, high = _column(result, "p16"), _column(result, "p84")
            interval_plot(low, high, mu, center, title=f"set {key}, μ = {mu:.3g}", ax=axes)
    return figure


# ----------------------------------------------------------------------------------------------
# Over all sets
# ----------------------------------------------------------------------------------------------


@shows_figures
def visualize_scatter(
    ingestion_result_dict: Results, ground_truth_mus: Truth, *, ax: Axes | None = None
) -> Figure:
    """Predicted against true mu: mean and spread of each set, and below it what is left over.

    Parameters
    ----------
    ingestion_result_dict : mapping
        By set: :class:`~HiggsML.results.Predictions` or a dictionary with a list ``mu_hats``.
    ground_truth_mus : mapping or sequence
        True mu by set.
    ax : Axes, optional
        Where to draw the upper part alone; a new figure with both parts by default.

    Returns
    -------
    Figure
        Thick bars hold the central 68 %, thin ones 95 % of a set's predictions.

    Examples
    --------
    >>> visualize_scatter(predictions, mus).axes[0].get_xlabel()
    'true μ'
    """
    sets = _matched(ingestion_result_dict, ground_truth_mus)
    true = np.array([mu for _, _, mu in sets])
    predicted = [_column(result, "mu_hats") for _, result, _ in sets]
    limits = _mu_limits(true)
    with style():
        if ax is None:
            figure, upper, lower = _two_panels(share=0.62)
            _spread(lower, true, [values - mu for values, mu in zip(predicted, true, strict=True)])
            lower.axhline(0.0, color=GRAY, linewidth=0.9)
            lower.set(xlim=limits, xlabel="true μ", ylabel="predicted \N{MINUS SIGN} true")
        else:
            figure, upper = figure_for(ax)
            upper.set_xlabel("true μ")
        upper.plot(limits, limits, color=GRAY, linewidth=0.9)
        _spread(upper, true, predicted)
        upper.set(xlim=limits, ylabel="predicted μ")
        upper.legend(loc="upper left")
    return figure


def _two_panels(share: float) -> tuple[Figure, Axes, Axes]:
    """Return a figure with two panels above each other on one horizontal axis."""
    wide, height = 5.0, 4.2
    figure = new_figure(wide, height)
    inner = 1 - 0.72 / height
    lower_height = inner * (1 - share) - 0.03
    box = (0.62 / wide, 0.52 / height, 1 - 0.76 / wide)
    lower = figure.add_axes((box[0], box[1], box[2], lower_height))
    upper = figure.add_axes((box[0], box[1] + inner * (1 - share), box[2], inner * share))
    upper.tick_params(labelbottom=False)
    for axes in (upper, lower):  # longer numbers would push the label off the figure
        axes.ticklabel_format(axis="y", scilimits=(-3, 4))
    return figure, upper, lower


def _spread(axes: Axes, x: Array, groups: Sequence[Array]) -> None:
    """Draw mean, central 68 % and central 95 % of each group of values."""
    ends = np.array([np.percentile(g, [2.275, *_CENTRAL, 97.725]) for g in groups])
    axes.vlines(x, ends[:, 0], ends[:, 3], color=BLUE, linewidth=1.0, label="95 %")
    axes.vlines(x, ends[:, 1], ends[:, 2], color=BLUE, linewidth=4.0, alpha=0.45, label="68 %")
    means = [float(np.mean(group)) for group in groups]
    axes.plot(x, means, "o", color=INK, ms=3.5, label="mean", gid="mean")


@shows_figures
def pull_plot(results: Results, mus: Truth, *, ax: Axes | None = None) -> Figure:
    """Histogram of (predicted - true mu) / predicted uncertainty, beside a unit Gaussian.

    Parameters
    ----------
    results, mus
        As for :func:`visualize_scatter`, with ``delta_mu_hats`` too. Predictions with an
        uncertainty of 0 or less have no pull and are left out, which the figure says.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> figure = pull_plot(predictions, mus)
    >>> figure.savefig(folder / "pulls.png")
    """
    pulls, without = pulls_of(results, mus)
    edges = np.linspace(-_PULL_RANGE, _PULL_RANGE, 41)
    clipped = np.clip(pulls, -_PULL_RANGE, _PULL_RANGE)
    heights = np.histogram(clipped, edges)[0]
    outside = int((np.abs(pulls) > _PULL_RANGE).sum())
    with style():
        figure, axes = figure_for(ax)
        axes.stairs(heights, edges, fill=True, color=BLUE, alpha=0.45)
        axes.stairs(heights, edges, color=BLUE)
        x = np.linspace(-_PULL_RANGE, _PULL_RANGE, 201)
        unit = pulls.size * (edges[1] - edges[0]) * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
        axes.plot(x, unit, color=INK, linewidth=1.1, linestyle=(0, (4, 3)), label="unit Gaussian")
        axes.set(
            xlim=(-_PULL_RANGE, _PULL_RANGE),
            xlabel="pull: (predicted \N{MINUS SIGN} true μ) / uncertainty",
        )
        axes.set_ylim(0, 1.4 * max(float(heights.max()), float(unit.max(initial=0.0)), 1.0))
        axes.set_ylabel("predictions")
        axes.legend(loc="upper left")
        lines = []
        if pulls.size:
            mean = f"{np.mean(pulls):z.3f}".replace("-", "\N{MINUS SIGN}")
            lines = [f"mean {mean} ± {np.std(pulls) / math.sqrt(pulls.size):.3f}"]
            lines.append(f"spread {np.std(pulls):.3g}")
        if outside:
            lines.append(f"{outside:,} beyond ±{_PULL_RANGE:g}, in the end bins")
        if without:
            lines.append(f"{without:,} left out: uncertainty 0")
        for row, line in enumerate(lines):  # one by one, or an SVG file loses their alignment
            corner = (0.97, 0.95 - 0.07 * row)
            axes.text(*corner, line, ha="right", va="top", transform=axes.transAxes, fontsize=9)
    return figure


def pulls_of(results: Results, mus: Truth) -> tuple[Array, int]:
    """Return all pulls, and how many predictions have none since their uncertainty is not > 0."""
    columns = [
        (mu, _column(result, "mu_hats"), _column(result, "delta_mu_hats"))
        for _, result, mu in _matched(results, mus)
    ]
    pulls = np.concatenate([pull(*one) for one in columns])
    return pulls, sum(delta.size for *_, delta in columns) - pulls.size


@shows_figures
def width_and_coverage_plot(
    results: Results,
    mus: Truth,
    *,
    limit: tuple[ArrayLike, ArrayLike] | None = None,
) -> Figure:
    """Coverage and width of the intervals against the true mu, one point per set.

    Parameters
    ----------
    results, mus
        As for :func:`visualize_coverage`.
    limit : pair of arrays, optional
        True mu and the shortest width there, drawn as a line.

    Returns
    -------
    Figure
        Above: coverage, with the band where two binomial standard deviations around 68.27 % lie.
        Below: mean width, with bars that hold the central 68 % of the widths.

    Examples
    --------
    >>> len(width_and_coverage_plot(predictions, mus).axes)
    2
    """
    sets = sorted(_matched(results, mus), key=lambda item: item[2])
    true = np.array([mu for _, _, mu in sets])
    low = [_column(result, "p16") for _, result, _ in sets]
    high = [_column(result, "p84") for _, result, _ in sets]
    coverage = np.array([np.mean(contains(*one)) for one in zip(low, high, true, strict=True)])
    limits = _mu_limits(true)
    count = min(values.size for values in low)
    band = np.clip(coverage_band(count), 0.0, 1.0)
    with style():
        figure, upper, lower = _two_panels(share=0.5)
        upper.axhspan(band[0], band[1], color=BAND, linewidth=0, label="expected, 2 std. dev.")
        upper.axhline(COVERAGE_TARGET, color=GRAY, linewidth=0.9)
        inside = (coverage >= band[0]) & (coverage <= band[1])
        for mask, color, text in ((inside, BLUE, "inside"), (~inside, VERMILION, "outside")):
            upper.plot(true[mask], coverage[mask], "o", color=color, gid=text)
        floor, top = min(band[0], coverage.min()), max(band[1], coverage.max())
        margin = 0.2 * (top - floor)
        upper.set(xlim=limits, ylim=(floor - margin, top + 2 * margin), ylabel="coverage")
        # On the left, where a browser's own, wider font can not push it out of the frame.
        upper.legend(loc="upper left")
        widths = [width(*one) for one in zip(low, high, strict=True)]
        ends = np.array([np.percentile(values, _CENTRAL) for values in widths])
        means = [float(np.mean(values)) for values in widths]
        top = 1.35 * max(float(ends.max()), *means) or 1.0
        # Bars that the points hide need no entry in the legend.
        visible = np.ptp(ends, axis=1).max() > 0.08 * top
        label = "68 %" if visible else "_hidden"
        lower.vlines(
            true, ends[:, 0], ends[:, 1], color=BLUE, linewidth=4.0, alpha=0.45, label=label
        )
        lower.plot(true, means, "o", color=INK, ms=3.5, label="mean", gid="mean")
        lower.set(xlim=limits, xlabel="true μ", ylabel="interval width")
        lower.set_ylim(0, top)
        if limit is not None:
            lower.plot(*limit, color=VERMILION, linewidth=1.1, label="information limit")
        lower.legend(loc="upper left", ncols=3)
    return figure
