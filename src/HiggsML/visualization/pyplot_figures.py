"""Where a plot's figure belongs: to pyplot, so that it shows where one looks for it, or to nobody.

A plotting function that a person calls makes its figure through pyplot: ``plt.savefig`` and
``plt.show`` find it, a notebook shows it below its cell, a window opens where there are windows.
Pages and judged runs make plain figures, which nothing keeps: see :func:`plain_figures`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib._pylab_helpers import Gcf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["make_figure", "plain_figures", "show_once", "shows_figures"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
AFigure = TypeVar("AFigure", bound=Figure)

# The figures of the plot that is being drawn; None where figures are plain.
_drawn: ContextVar[list[Figure] | None] = ContextVar("drawn", default=None)
_plain: ContextVar[bool] = ContextVar("plain", default=False)


@contextmanager
def plain_figures() -> Iterator[None]:
    """Make figures that pyplot knows nothing of, inside a ``with`` block or a decorated function.

    They need no closing, and no window or notebook shows them.
    """
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def shows_figures(plot: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Make the figures of a plotting function belong to pyplot, and open their windows."""

    @functools.wraps(plot)
    def wrapper(*args: Parameters.args, **keywords: Parameters.kwargs) -> Result:
        if _plain.get() or _drawn.get() is not None:  # or called by another plot
            return plot(*args, **keywords)
        # Loads the backend before the plot's style is in force: one for notebooks switches settings
        # on, which the end of the style would switch off again.
        plt.draw_if_interactive()  # type: ignore[no-untyped-call]
        figures: list[Figure] = []
        token = _drawn.set(figures)
        try:
            result = plot(*args, **keywords)
        except BaseException:
            for figure in figures:
                plt.close(figure)
            raise
        finally:
            _drawn.reset(token)
        if any(getattr(figure.canvas, "required_interactive_framework", 0) for figure in figures):
            plt.show()
        return result

    return wrapper


def make_figure(kind: type[AFigure], size: tuple[float, float]) -> AFigure:
    """Return an empty figure of ``size`` (inches): pyplot's current one, or a plain one."""
    figures = _drawn.get()
    if figures is None:
        figure = kind(figsize=size)
        FigureCanvasAgg(figure)
        return figure
    _make_room(kind)
    figure = plt.figure(FigureClass=kind, figsize=size)  # type: ignore[assignment]
    figures.append(figure)
    return figure


def show_once(figure: Figure) -> None:
    """Take a figure that a notebook shows now out of pyplot, or the cell's end would show it again.

    IPython shows the value of a cell's last line, and then all figures that pyplot still has.
    """
    if _inline():
        plt.close(figure)


def _inline() -> bool:
    return "inline" in mpl.get_backend().lower()


def _make_room(kind: type[Figure]) -> None:
    """Show or close figures before matplotlib warns of too many.

    Where nothing shows them, a loop would otherwise keep the figure of every step: the oldest of
    ours that still belong to pyplot are closed. Who holds one can draw and save it all the same.
    """
    limit, opened = mpl.rcParams["figure.max_open_warning"], Gcf.get_all_fig_managers()
    if not 1 <= limit <= len(opened):
        return
    if _inline():
        plt.show()
    elif not mpl.is_interactive():
        ours = [one.canvas.figure for one in opened if isinstance(one.canvas.figure, kind)]
        for figure in ours[: len(opened) - limit + 1]:
            plt.close(figure)
