"""Figures of a study: what a pooled score can not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from HiggsML.errors import SettingsError
from HiggsML.schema import COVERAGE_TARGET, MU_RANGE
from HiggsML.statistics.fisher_information import Information
from HiggsML.studies.study import Point, Study, Summary, summarize
from HiggsML.visualization.style import BLUE, GRAY, INK, PALETTE, SKY, panel_grid, style

__all__ = ["coverage_by_mu", "impact_plot", "study_plot"]


def coverage_by_mu(
    mu: ArrayLike, covered: ArrayLike, *, bins: int = 6
) -> list[tuple[float, float, float]]:
    """Return center, coverage and binomial error in bins of the true mu.

    Examples
    --------
    >>> bins = coverage_by_mu([0.5, 2.5], [True, False], bins=2)
    >>> [(round(mu, 2), share) for mu, share, _ in bins]
    [(0.83, 1.0), (2.27, 0.0)]
    """
    truth, inside = np.asarray(mu, dtype=np.float64), np.asarray(covered, dtype=bool)
    low, high = min(MU_RANGE[0], truth.min()), max(MU_RANGE[1], truth.max())
    edges = np.linspace(low, high, bins + 1)
    number = np.clip(np.searchsorted(edges, truth, side="right") - 1, 0, bins - 1)
    points = []
    for k in range(bins):
        mine = inside[number == k]
        if mine.size:
            share = (mine.sum() + 0.5) / (mine.size + 1)
            error = float(np.sqrt(share * (1 - share) / (mine.size + 1)))
            points.append((float((edges[k] + edges[k + 1]) / 2), float(mine.mean()), error))
    return points


def study_plot(studies: Mapping[str, Study]) -> Figure:
    """Draw coverage, bias and width against mu, pulls, and both against each nuisance parameter.

    Parameters
    ----------
    studies : mapping of str to Study
        By the name of the method.

    Examples
    --------
    >>> from HiggsML.studies.study import run_study
    >>> study = run_study(model, store, [Point("mu = 1", "mu", 1.0, mu=1.0)], experiments=2, seed=1)
    >>> figure = study_plot({"constant": study})
    >>> figure.savefig(folder / "study.png")
    """
    if not studies:
        raise SettingsError("there is no study to draw")
    first = next(iter(studies.values()))
    axes_names = list(dict.fromkeys(point.axis for point in first.points))
    nuisances = [name for name in axes_names if name not in ("drawn", "mu")]
    with style():
        figure, panels = panel_grid(
            5 + 2 * len(nuisances), columns=4, size=(2.9, 2.0), pads=(0.85, 0.85), header=0.35
        )
        for number, (name, study) in enumerate(studies.items()):
            # Methods beside each other: their error bars do not hide one another.
            look = _Look(PALETTE[number % len(PALETTE)], name, number - (len(studies) - 1) / 2)
            summaries = [
                (point, summarize(measured))
                for point, measured in zip(study.points, study.measurements, strict=True)
            ]
            _coverage(panels[0], summaries, "mu", look)
            _bias(panels[1], summaries, "mu", look)
            _widths(panels[2], summaries, look)
            _pulls(panels[3], study, look)
            _drawn(panels[-1], study, look)
            for index, nuisance in enumerate(nuisances):
                _coverage(panels[4 + 2 * index], summaries, nuisance, look)
                _bias(panels[5 + 2 * index], summaries, nuisance, look)
        _describe(panels, nuisances)
        if len(studies) > 1:
            panels[-1].legend(loc="lower left", fontsize=8)
    return figure


def impact_plot(limits: Mapping[str, Information]) -> Figure:
    """Draw what each nuisance parameter does to mu, and how long the interval is without it.

    Parameters
    ----------
    limits : mapping of str to Information
        By the name of the scenario.

    Examples
    --------
    >>> known = Information(1.0, 0.6, 1.0, {"tes": 0.7, "jes": 0.3}, {"tes": 0.5, "jes": 0.9})
    >>> len(impact_plot({"mini": known}).axes)
    2
    """
    if not limits:
        raise SettingsError("there is no limit to draw")
    with style():
        figure, panels = panel_grid(2 * len(limits), columns=2, size=(3.1, 2.0), pads=(1.15, 0.8))
        for row, (name, limit) in enumerate(limits.items()):
            shifts, widths = panels[2 * row : 2 * row + 2]
            ranked = sorted(limit.impacts, key=lambda n: abs(limit.impacts[n]))
            places = np.arange(len(ranked))
            impact = np.array([limit.impacts[n] for n in ranked])
            shifts.barh(places, impact, color=BLUE, label="+1 standard deviation")
            shifts.barh(places, -impact, color=SKY, label="\N{MINUS SIGN}1 standard deviation")
            shifts.axvline(0, color=GRAY, linewidth=0.8)
            reach = 1.15 * np.abs(impact).max()
            shifts.set(xlim=(-reach, reach), xlabel=f"shift of μ at μ = {limit.mu:g}")
            shifts.set_title(f"{name}: impact")
            shifts.legend(loc="lower right", fontsize=7)
            # Points: a bar's length would mean something only from zero on.
            without = [limit.width_without(n) for n in ranked]
            widths.hlines(places, without, limit.width_profiled, color=BLUE, linewidth=1.5)
            widths.plot(without, places, "o", color=BLUE, ms=5)
            widths.axvline(limit.width_profiled, color=INK, linewidth=1, label="none known")
            widths.axvline(
                limit.width_known, color=INK, linewidth=1, linestyle="--", label="all known"
            )
            span = limit.width_profiled - limit.width_known or limit.width_profiled
            widths.set_xlim(limit.width_known - 0.1 * span, limit.width_profiled + 0.1 * span)
            widths.set_xlabel("interval width if this one were known")
            widths.set_title(f"{name}: width")
            widths.legend(loc="lower left", fontsize=7)
            for panel in (shifts, widths):
                panel.set_yticks(places, ranked)
                panel.tick_params(axis="y", length=0)
    return figure


class _Look(NamedTuple):
    """How a method is drawn: its color, its name, and its offset from the others."""

    color: str
    label: str
    offset: float

    def points(self, panel: Axes, x: ArrayLike, y: ArrayLike, error: ArrayLike) -> None:
        """Draw points with error bars; nothing was measured between them, so no line joins them."""
        at = np.asarray(x, dtype=np.float64)
        step = 0.05 * (float(np.ptp(at)) or 1.0) / max(at.size, 4)
        panel.errorbar(
            at + 2 * step * self.offset, y, error, fmt="o", ms=4, color=self.color, label=self.label
        )


def _of_axis(summaries: list[tuple[Point, Summary]], axis: str) -> list[tuple[float, Summary]]:
    return [(point.value, summary) for point, summary in summaries if point.axis == axis]


def _coverage(panel: Axes, summaries: list[tuple[Point, Summary]], axis: str, look: _Look) -> None:
    if of_axis := _of_axis(summaries, axis):
        x, chosen = zip(*of_axis, strict=True)
        look.points(panel, x, [s.coverage for s in chosen], [s.coverage_error for s in chosen])


def _bias(panel: Axes, summaries: list[tuple[Point, Summary]], axis: str, look: _Look) -> None:
    if of_axis := _of_axis(summaries, axis):
        x, chosen = zip(*of_axis, strict=True)
        look.points(panel, x, [s.bias for s in chosen], [s.bias_error for s in chosen])


def _widths(panel: Axes, summaries: list[tuple[Point, Summary]], look: _Look) -> None:
    of_axis = _of_axis(summaries, "mu")
    widths = [s.width for _, s in of_axis]
    look.points(panel, [x for x, _ in of_axis], widths, np.zeros(len(widths)))


def _pulls(panel: Axes, study: Study, look: _Look) -> None:
    pulls = np.concatenate([m.mu_pulls for m in study.measurements])
    counts, edges = np.histogram(np.clip(pulls, -4, 4), np.linspace(-4, 4, 41), density=True)
    panel.stairs(counts, edges, color=look.color)
    x = np.linspace(-4, 4, 161)
    panel.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), color=GRAY, linewidth=0.8)


def _drawn(panel: Axes, study: Study, look: _Look) -> None:
    if any(point.axis == "drawn" for point in study.points):
        pooled = study.pooled("drawn")
        x, y, error = zip(*coverage_by_mu(pooled.mu, pooled.covered), strict=True)
        look.points(panel, x, y, error)


def _describe(panels: Sequence[Axes], nuisances: Sequence[str]) -> None:
    """Write titles and labels, and draw what is wanted."""
    bias = "mean of predicted \N{MINUS SIGN} true μ"
    texts = [
        ("Coverage at fixed μ", "true μ", "coverage"),
        ("Bias at fixed μ", "true μ", bias),
        ("Width at fixed μ", "true μ", "mean interval width"),
        ("Pulls of μ", "(predicted \N{MINUS SIGN} true μ) / uncertainty", "density"),
    ]
    for name in nuisances:
        value = f"{name} [widths of its prior]"
        texts += [
            (f"Coverage against {name}", value, "coverage"),
            (f"Bias against {name}", value, bias),
        ]
    texts.append(("Coverage, all drawn from their priors", "true μ", "coverage"))
    for panel, (title, x, y) in zip(panels, texts, strict=True):
        panel.set(title=title, xlabel=x, ylabel=y)
        # Room for points at the ends, also for a coverage of 0 or 1.
        panel.margins(x=0.06)
        if y == "coverage":
            panel.axhline(COVERAGE_TARGET, color=GRAY, linewidth=0.8)
            panel.set_ylim(-0.04, 1.04)
        elif y == bias:
            panel.axhline(0, color=GRAY, linewidth=0.8)
            reach = 1.1 * float(np.abs(panel.get_ylim()).max())
            panel.set_ylim(-reach, reach)
        else:
            panel.set_ylim(0, 1.1 * panel.dataLim.y1)
