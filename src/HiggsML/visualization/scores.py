"""Scores of a run: the penalty on its coverage, and what chance makes of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from HiggsML.errors import DataError
from HiggsML.schema import COVERAGE_TARGET
from HiggsML.statistics.numbers import with_error
from HiggsML.statistics.official_scores import BootstrapScores, coverage_band, coverage_penalty
from HiggsML.visualization.pyplot_figures import shows_figures
from HiggsML.visualization.style import (
    BAND,
    BLUE,
    GRAY,
    INK,
    VERMILION,
    figure_for,
    panel_grid,
    style,
)

__all__ = ["bootstrap_plot", "coverage_function_plot"]


@shows_figures
def coverage_function_plot(
    coverage: float,
    n_predictions: int,
    *,
    spread: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """The factor by which the score punishes a wrong coverage, with a run's own point.

    Parameters
    ----------
    coverage : float
        The run's coverage.
    n_predictions : int
        Number of predictions, which sets the tolerance.
    spread : pair of float, optional
        Range of the coverage that chance allows, as a horizontal bar.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Examples
    --------
    >>> len(coverage_function_plot(0.65, 1000).axes)
    1
    """
    low, high = coverage_band(n_predictions)
    reach = max(2.5 * (high - COVERAGE_TARGET), 1.25 * abs(coverage - COVERAGE_TARGET))
    left, right = max(0.0, COVERAGE_TARGET - reach), min(1.0, COVERAGE_TARGET + reach)
    x = np.linspace(left, right, 400)
    factor = [coverage_penalty(value, n_predictions) for value in x]
    own = coverage_penalty(coverage, n_predictions)
    with style():
        figure, axes = figure_for(ax)
        axes.axvspan(max(low, left), min(high, right), color=BAND, linewidth=0, label="no penalty")
        axes.axvline(COVERAGE_TARGET, color=GRAY, linewidth=0.9)
        axes.plot(x, factor, color=INK, label="penalty factor")
        if spread is not None:
            axes.plot(spread, (own, own), color=VERMILION, linewidth=4, alpha=0.5)
        axes.plot([coverage], [own], "o", color=VERMILION, ms=7, label="this run", gid="run")
        axes.set_yscale("log")
        axes.set(xlim=(left, right), xlabel="coverage", ylabel="penalty factor")
        top = max(max(factor), own)
        axes.set_ylim(0.7, max(10.0, top**1.25))
        axes.yaxis.set_major_formatter(lambda value, _: _power_of_ten(value))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderpad=0)
    return figure


def _power_of_ten(value: float) -> str:
    """Write a tick label without a formula, which would not be text in an SVG file."""
    exponent = round(math.log10(value))
    if exponent <= 3:
        return f"{value:g}"
    return "10" + str(exponent).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


_SCORE_LABELS = {
    "interval": "mean interval width",
    "coverage": "coverage",
    "quantiles_score": "quantiles score",
}


@shows_figures
def bootstrap_plot(
    scores: BootstrapScores,
    *,
    observed: Mapping[str, float] | None = None,
    names: Sequence[str] = tuple(_SCORE_LABELS),
) -> Figure:
    """Distributions of interval, coverage and quantiles score over resampled results.

    Parameters
    ----------
    scores : BootstrapScores
        One entry per resampling.
    observed : mapping of str to float, optional
        Values of the results themselves, by name of the score; drawn as dashed lines.
    names : sequence of str
        Which of "interval", "coverage" and "quantiles_score" to draw.

    Examples
    --------
    >>> from HiggsML.statistics.official_scores import bootstrap_scores
    >>> figure = bootstrap_plot(bootstrap_scores(predictions, mus, n_bootstraps=20))
    >>> figure.savefig(folder / "bootstrap.png")
    """
    if unknown := sorted(set(names) - set(_SCORE_LABELS)) or not names:
        raise DataError(f"unknown scores {unknown}; there are {', '.join(_SCORE_LABELS)}")
    size, header = ((4.1, 2.4), 0.35) if len(names) == 1 else ((2.5, 2.1), 0.4)
    with style():
        figure, panels = panel_grid(len(names), size=size, pads=(0.65, 0.6), header=header)
        for name, axes in zip(names, panels, strict=True):
            values = np.asarray(getattr(scores, name), dtype=np.float64)
            low, high = float(values.min()), float(values.max())
            # Equal up to rounding, they would leave numpy no room for thirty bins.
            pad = 0.0 if high - low > 1e-9 * max(1.0, abs(high)) else 0.01 * max(1.0, abs(high))
            heights, edges = np.histogram(values, np.linspace(low - pad, high + pad, 31))
            axes.stairs(heights, edges, fill=True, color=BLUE, alpha=0.45)
            axes.stairs(heights, edges, color=BLUE)
            axes.axvline(float(np.mean(values)), color=INK, linewidth=1.1)
            if observed is not None:
                axes.axvline(observed[name], color=VERMILION, linewidth=1.1, linestyle=(0, (4, 3)))
            std = float(np.std(values)) if pad == 0 else 0.0
            axes.set_title(with_error(float(np.mean(values)), std))
            axes.set_xlabel(_SCORE_LABELS[name])
            axes.locator_params(axis="x", nbins=4)
            axes.set_ylim(0, 1.15 * float(heights.max()))
        panels[0].set_ylabel("resamplings")
    return figure
