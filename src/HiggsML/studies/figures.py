"""Figures of a study: what a pooled score can not show."""

from __future__ import annotations

from collections.abc import Mapping

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
    """Return center, coverage and binomial error in bins of the true mu."""
    truth, inside = np.asarray(mu, dtype=np.float64), np.asarray(covered, dtype=bool)
    low, high = min(MU_RANGE[0], truth.min()), max(MU_RANGE[1], truth.max())
    edges = np.linspace(low, high, bins + 1)
    number = np.clip(np.searchsorted(edges, truth, side="right") - 1, 0, bins - 1)
    found = []
    for k in range(bins):
        mine = inside[number == k]
        if mine.size:
            share = (mine.sum() + 0.5) / (mine.size + 1)
            error = float(np.sqrt(share * (1 - share) / (mine.size + 1)))
            found.append((float((edges[k] + edges[k + 1]) / 2), float(mine.mean()), error))
    return found


def study_plot(studies: Mapping[str, Study]) -> Figure:
    """Draw coverage against mu and against each nuisance parameter, pulls, and width against mu.

    Parameters
    ----------
    studies : mapping of str to Study
        By the name of the method.
    """
    if not studies:
        raise SettingsError("there is no study to draw")
    first = next(iter(studies.values()))
    axes_names = list(dict.fromkeys(point.axis for point in first.points))
    nuisances = [name for name in axes_names if name not in ("drawn", "mu")]
    with style():
        figure, panels = panel_grid(4 + len(nuisances), columns=2 if not nuisances else 4)
        for color, (name, study) in zip(PALETTE, studies.items(), strict=False):
            summaries = [
                (point, summarize(measured))
                for point, measured in zip(study.points, study.measurements, strict=True)
            ]
            _by_value(panels[0], summaries, "mu", color, name)
            _widths(panels[1], summaries, color)
            _pulls(panels[2], study, color)
            _drawn(panels[3], study, color, name)
            for panel, nuisance in zip(panels[4:], nuisances, strict=True):
                _by_value(panel, summaries, nuisance, color, name)
        _target(panels[0], "coverage against mu", "true mu")
        for panel in (panels[0], panels[3]):
            if panel.get_legend_handles_labels()[1]:
                panel.legend(loc="lower left", fontsize=8)
                break
        panels[1].set(title="mean width", xlabel="true mu", ylim=(0, None))
        panels[2].set(title="pulls of mu", xlabel="(estimate - truth) / half width")
        _target(panels[3], "all drawn: coverage in bins of mu", "true mu")
        for panel, nuisance in zip(panels[4:], nuisances, strict=True):
            _target(panel, f"coverage against {nuisance}", "value [prior widths]")
    return figure


def impact_plot(limits: Mapping[str, Information]) -> Figure:
    """Draw what each nuisance parameter does to mu, and how long the interval is without it.

    Parameters
    ----------
    limits : mapping of str to Information
        By the name of the scenario.
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
            shifts.barh(places, -impact, color=SKY, label="-1 standard deviation")
            shifts.axvline(0, color=GRAY, linewidth=0.8)
            reach = 1.15 * np.abs(impact).max()
            shifts.set(xlim=(-reach, reach), xlabel=rf"shift of $\mu$ at $\mu$ = {limit.mu:g}")
            shifts.set_title(f"{name}: impact")
            shifts.legend(loc="lower right", fontsize=7)
            widths.barh(places, [limit.width_without(n) for n in ranked], color=BLUE)
            widths.axvline(limit.width_profiled, color=INK, linewidth=1)
            widths.axvline(limit.width_known, color=INK, linewidth=1, linestyle="--")
            widths.set_xlim(0.9 * limit.width_known, 1.05 * limit.width_profiled)
            widths.set(xlabel="width if this one were known")
            widths.set_title("lines: none known, all known (dashed)")
            for panel in (shifts, widths):
                panel.set_yticks(places, ranked)
                panel.tick_params(axis="y", length=0)
    return figure


def _of_axis(summaries: list[tuple[Point, Summary]], axis: str) -> list[tuple[float, Summary]]:
    return [(point.value, summary) for point, summary in summaries if point.axis == axis]


def _by_value(
    panel: Axes, summaries: list[tuple[Point, Summary]], axis: str, color: str, label: str
) -> None:
    found = _of_axis(summaries, axis)
    if found:
        x, chosen = zip(*found, strict=True)
        y, error = [s.coverage for s in chosen], [s.coverage_error for s in chosen]
        panel.errorbar(x, y, error, fmt="o-", color=color, label=label, linewidth=1)


def _widths(panel: Axes, summaries: list[tuple[Point, Summary]], color: str) -> None:
    found = _of_axis(summaries, "mu")
    panel.plot([x for x, _ in found], [s.width for _, s in found], "o-", color=color)
    panel.margins(x=0.06)


def _pulls(panel: Axes, study: Study, color: str) -> None:
    pulls = np.concatenate([m.mu_pulls for m in study.measurements])
    counts, edges = np.histogram(np.clip(pulls, -4, 4), np.linspace(-4, 4, 41), density=True)
    panel.stairs(counts, edges, color=color)
    x = np.linspace(-4, 4, 161)
    panel.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), color=GRAY, linewidth=0.8)


def _drawn(panel: Axes, study: Study, color: str, label: str) -> None:
    if any(point.axis == "drawn" for point in study.points):
        pooled = study.pooled("drawn")
        x, y, error = zip(*coverage_by_mu(pooled.mu, pooled.covered), strict=True)
        panel.errorbar(x, y, error, fmt="o-", color=color, label=label, linewidth=1)


def _target(panel: Axes, title: str, label: str) -> None:
    panel.axhline(COVERAGE_TARGET, color=GRAY, linewidth=0.8)
    # Room for points at the ends, also for a coverage of 0 or 1.
    panel.margins(x=0.06)
    panel.set(title=title, xlabel=label, ylim=(-0.04, 1.04))
