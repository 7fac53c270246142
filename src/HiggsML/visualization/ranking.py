"""A ranking at a glance: scores, coverage and widths of many submissions, one line each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from HiggsML.errors import SettingsError
from HiggsML.schema import COVERAGE_TARGET
from HiggsML.visualization.style import BAND, BLUE, GRAY, VERMILION, new_figure, plain, style

__all__ = ["ranking_plot"]

_LETTER = 0.085  # width of a letter [inch]
_LONGEST_NAME = 32  # letters


def _shorten(name: str) -> str:
    """Return a name that leaves room for the figure: of a long one, both ends."""
    if len(name) <= _LONGEST_NAME:
        return name
    half = _LONGEST_NAME // 2
    return f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[-half + 1 :]}"


def ranking_plot(
    names: Sequence[str],
    *,
    scores: ArrayLike,
    errors: ArrayLike,
    coverages: ArrayLike,
    coverage_error: float,
    widths: ArrayLike,
    limit: float | None = None,
) -> Figure:
    """Draw interval score, coverage and width of each submission, the best on top.

    Parameters
    ----------
    names : sequence of str
        Submissions, best first.
    scores, errors : array of shape (n,)
        Interval scores and their standard errors.
    coverages : array of shape (n,)
        Shares of intervals that contain the true mu.
    coverage_error : float
        Binomial error of one coverage: the band of two of them is shaded.
    widths : array of shape (n,)
        Mean widths.
    limit : float, optional
        The shortest honest width, drawn as a line.

    Examples
    --------
    >>> figure = ranking_plot(["a", "b"], scores=[0.2, 0.3], errors=[0.01, 0.02],
    ...                       coverages=[0.68, 0.6], coverage_error=0.015, widths=[0.13, 0.15])
    >>> [axes.get_xlabel() for axes in figure.axes]
    ['interval score', 'coverage', 'mean width']
    """
    columns = [
        np.asarray(column, dtype=np.float64) for column in (scores, errors, coverages, widths)
    ]
    if any(column.shape != (len(names),) for column in columns) or not len(names):
        raise SettingsError(
            f"{len(names)} names need as many scores, errors, coverages and widths, got "
            + ", ".join(str(column.size) for column in columns)
        )
    score, error, coverage, width = columns
    y = np.arange(len(names))[::-1]
    with style():
        labels = [plain(_shorten(name)) for name in names]
        figure = new_figure(9.0, height := 0.85 + 0.32 * len(names))
        left, middle, right = figure.subplots(1, 3, sharey=True)
        figure.subplots_adjust(
            left=(0.2 + _LETTER * max(map(len, labels))) / 9.0,
            right=1 - 0.25 / 9.0,
            bottom=0.55 / height,
            top=1 - 0.1 / height,
            wspace=0.15,
        )
        left.errorbar(score, y, xerr=error, fmt="o", ms=4, color=BLUE, elinewidth=1.2)
        band = (COVERAGE_TARGET - 2 * coverage_error, COVERAGE_TARGET + 2 * coverage_error)
        middle.axvspan(*band, color=BAND, lw=0)
        middle.axvline(COVERAGE_TARGET, color=GRAY, lw=0.8, ls="--")
        inside = (coverage >= band[0]) & (coverage <= band[1])
        for chosen, color in ((inside, BLUE), (~inside, VERMILION)):
            middle.plot(coverage[chosen], y[chosen], "o", ms=4, color=color)
        right.plot(width, y, "o", ms=4, color=BLUE)
        if limit is not None:
            right.axvline(limit, color=GRAY, lw=0.8, ls=":")
        left.set_yticks(y, labels)
        for axes, label in ((left, "interval score"), (middle, "coverage"), (right, "mean width")):
            axes.set_xlabel(label)
            axes.margins(x=0.1)
            axes.tick_params(axis="y", which="both", length=0)
            axes.set_ylim(-0.6, len(names) - 0.4)
        right.set_xlim(0, 1.1 * float(width.max()))
    return figure
