"""Colors, labels and the plot style that all figures share, without touching global settings."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import mplhep
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure, SubFigure
from matplotlib.transforms import Bbox
from numpy.typing import ArrayLike, NDArray

from HiggsML.errors import DataError
from HiggsML.schema import LABEL_COLUMNS, MISSING, SIGNAL
from HiggsML.visualization.pyplot_figures import make_figure, show_once

__all__ = [
    "BAND",
    "BLUE",
    "GRAY",
    "GREEN",
    "INK",
    "LABELS",
    "ORANGE",
    "PALETTE",
    "PROCESS_COLORS",
    "PROCESS_LABELS",
    "PURPLE",
    "SKY",
    "TAILS",
    "VERMILION",
    "StyledFigure",
    "axis_label",
    "bulk_range",
    "column_values",
    "feature_columns",
    "figure_for",
    "needs_jet",
    "note",
    "panel_grid",
    "plain",
    "present",
    "row_values",
    "style",
]

# The palette of Okabe and Ito: told apart with every common form of color blindness.
BLUE, VERMILION, GREEN, ORANGE = "#0072b2", "#d55e00", "#009e73", "#e69f00"
SKY, PURPLE = "#56b4e9", "#cc79a7"
INK, GRAY, BAND = "#1b1f24", "#6e7781", "#d8dee6"
PALETTE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)

PROCESS_COLORS = {"ztautau": SKY, "ttbar": ORANGE, "diboson": GREEN, SIGNAL: VERMILION}
PROCESS_LABELS = {
    "ztautau": r"$Z \to \tau\tau$",
    "ttbar": r"$t\bar{t}$",
    "diboson": "diboson",
    SIGNAL: r"$H \to \tau\tau$",
}

LABELS = {
    "PRI_lep_pt": (r"lepton $p_T$", "GeV"),
    "PRI_lep_eta": (r"lepton $\eta$", ""),
    "PRI_lep_phi": (r"lepton $\phi$", "rad"),
    "PRI_had_pt": (r"tau $p_T$", "GeV"),
    "PRI_had_eta": (r"tau $\eta$", ""),
    "PRI_had_phi": (r"tau $\phi$", "rad"),
    "PRI_jet_leading_pt": (r"leading jet $p_T$", "GeV"),
    "PRI_jet_leading_eta": (r"leading jet $\eta$", ""),
    "PRI_jet_leading_phi": (r"leading jet $\phi$", "rad"),
    "PRI_jet_subleading_pt": (r"second jet $p_T$", "GeV"),
    "PRI_jet_subleading_eta": (r"second jet $\eta$", ""),
    "PRI_jet_subleading_phi": (r"second jet $\phi$", "rad"),
    "PRI_n_jets": ("number of jets", ""),
    "PRI_jet_all_pt": (r"sum of jet $p_T$", "GeV"),
    "PRI_met": ("missing momentum", "GeV"),
    "PRI_met_phi": (r"missing momentum $\phi$", "rad"),
    "DER_mass_transverse_met_lep": (r"$m_T$(lepton, missing)", "GeV"),
    "DER_mass_vis": ("visible mass", "GeV"),
    "DER_pt_h": (r"Higgs candidate $p_T$", "GeV"),
    "DER_deltaeta_jet_jet": (r"$|\Delta\eta|$(jet, jet)", ""),
    "DER_mass_jet_jet": ("mass(jet, jet)", "GeV"),
    "DER_prodeta_jet_jet": (r"$\eta_1 \times \eta_2$ of the jets", ""),
    "DER_deltar_had_lep": (r"$\Delta R$(tau, lepton)", ""),
    "DER_pt_tot": (r"total $p_T$", "GeV"),
    "DER_sum_pt": (r"sum of all $p_T$", "GeV"),
    "DER_pt_ratio_lep_had": (r"$p_T$ ratio lepton/tau", ""),
    "DER_met_phi_centrality": (r"missing momentum $\phi$ centrality", ""),
    "DER_lep_eta_centrality": (r"lepton $\eta$ centrality", ""),
}
"""What a column is called in a figure, and its unit ("" for none)."""

TAILS = "long tails cut off"
_BULK = (1.0, 99.0)  # percentiles
_STRETCHED = 1.5  # times the bulk's length: a longer range ends where the bulk does
_NOTE_LETTERS = 17  # per inch, in the small type of notes

_STYLE: Any = {
    **{key: value for key, value in mplhep.style.ATLAS.items() if key != "figure.figsize"},
    # ATLAS sizes are made for one large plot; these suit panels and small screens.
    "font.size": 10,
    "font.family": ["TeX Gyre Heros", "DejaVu Sans"],  # the second for letters that the first lacks
    "text.hinting": "none",  # which merges the dots of small letters with their stems
    "axes.labelsize": 10,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 6,
    "axes.labelpad": 4,
    "axes.linewidth": 0.8,
    "axes.autolimit_mode": "data",
    "axes.formatter.limits": (-3, 5),
    "axes.unicode_minus": True,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.major.size": 4.5,
    "xtick.minor.size": 2.2,
    "ytick.major.size": 4.5,
    "ytick.minor.size": 2.2,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "patch.linewidth": 1.2,
    "legend.fontsize": 9,
    "legend.borderpad": 0.2,
    "legend.handlelength": 1.6,
    "figure.dpi": 120,
    "axes.prop_cycle": cycler(color=list(PALETTE)),
}


@contextmanager
def style() -> Iterator[None]:
    """Apply the plot style (mplhep's ATLAS style with smaller type) inside a ``with`` block."""
    with mpl.rc_context(_STYLE):
        yield


class StyledFigure(Figure):
    """A figure that looks the same wherever it is drawn.

    Matplotlib looks up some settings (ticks, formulas) only when it draws or measures, which is
    long after a ``with`` block around the making of the figure has ended: both enter the style
    again.
    """

    def draw(self, renderer: RendererBase) -> None:
        """Draw in the project's style."""
        with style():
            super().draw(renderer)

    def get_tightbbox(self, renderer: RendererBase | None = None, **keywords: Any) -> Bbox:
        """Measure what is drawn, as notebooks do to cut margins off, in the project's style."""
        with style():
            return super().get_tightbbox(renderer, **keywords)

    def _ipython_display_(self) -> None:
        """Have IPython show the figure in its usual way, but not twice."""
        show_once(self)
        raise NotImplementedError

    def _repr_png_(self) -> bytes:
        """Show the figure in a notebook, whether or not pyplot is in use there."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def new_figure(width: float, height: float) -> StyledFigure:
    """Return an empty figure; sizes in inches."""
    return make_figure(StyledFigure, (width, height))


def figure_for(
    ax: Axes | None, *, width: float = 5.0, height: float = 3.6, left: float = 0.62
) -> tuple[Figure, Axes]:
    """Return the given axes and their figure, or new ones with room for labels (inches)."""
    if ax is None:
        figure: Figure = new_figure(width, height)
        box = (left / width, 0.52 / height, 1 - (left + 0.14) / width, 1 - 0.86 / height)
        return figure, figure.add_axes(box)
    parent = ax.get_figure()
    while isinstance(parent, SubFigure):  # matplotlib before 3.10 has no get_figure(root=True)
        parent = parent.figure
    if parent is None:
        raise DataError("the axes passed as ax belong to no figure")
    return parent, ax


def panel_grid(
    n_panels: int,
    *,
    columns: int = 3,
    size: tuple[float, float] = (2.75, 2.05),
    pads: tuple[float, float] = (0.72, 0.72),
    header: float = 0.5,
) -> tuple[StyledFigure, list[Axes]]:
    """Return a figure with ``n_panels`` equal panels.

    Sizes in inches: a panel, the gaps left of and below it, and the space at the top. Placed by
    hand, since matplotlib's layout engines take seconds for dozens of panels.
    """
    columns = 2 if n_panels == 4 and columns == 3 else min(columns, n_panels)
    rows = -(-n_panels // columns)
    width = columns * (size[0] + pads[0]) + 0.2
    height = rows * (size[1] + pads[1]) + header
    figure = new_figure(width, height)
    axes = []
    for panel in range(n_panels):
        row, column = divmod(panel, columns)
        left = pads[0] + column * (size[0] + pads[0])
        bottom = height - header - row * (size[1] + pads[1]) - size[1]
        box = (left / width, bottom / height, size[0] / width, size[1] / height)
        axes.append(figure.add_axes(box))
        axes[-1].minorticks_off()  # too fine to read, and half of the drawing time
    return figure, axes


def plain(text: object) -> str:
    """Return text in which matplotlib sees no formula."""
    return str(text).replace("$", r"\$")


def axis_label(column: str) -> str:
    """Return what a column is called on an axis, with its unit."""
    name, unit = LABELS.get(column, (plain(column), ""))
    return f"{name} [{unit}]" if unit else name


def note(figure: Figure, text: str, *, left: float = 0.0) -> None:
    """Write a remark (sampling, what is left out) in small type at the top right.

    It is broken into lines that leave ``left`` inches free beside it.
    """
    width, height = figure.get_size_inches()
    figure.text(
        0.99,
        1 - 0.08 / height,
        textwrap.fill(text, max(16, int(_NOTE_LETTERS * (width - left - 0.15)))),
        ha="right",
        va="top",
        fontsize=8,
        color=GRAY,
    )


def feature_columns(frame: pd.DataFrame, columns: Sequence[str] | None) -> list[str]:
    """Return the columns to draw: those asked for, or all numeric ones but labels and weights.

    Raises
    ------
    DataError
        If a column is not in the frame or not numeric, or none is left.
    """
    if columns is None:
        numeric = frame.select_dtypes("number").columns
        chosen = [str(name) for name in numeric if name not in LABEL_COLUMNS]
    else:
        chosen = [columns] if isinstance(columns, str) else list(columns)
        if unknown := [name for name in chosen if name not in frame.columns]:
            known = ", ".join(map(str, frame.columns))
            raise DataError(f"unknown columns {', '.join(map(repr, unknown))}; there are {known}")
        for name in chosen:
            if not pd.api.types.is_numeric_dtype(frame[name]):
                raise DataError(f"column {name!r} is not numeric ({frame[name].dtype})")
    if not chosen:
        raise DataError("there is no numeric feature column to draw")
    if frame.empty:
        raise DataError("the data frame has no rows to draw")
    return chosen


def column_values(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Return a column as floats."""
    return frame[column].to_numpy(dtype=np.float64)


def needs_jet(column: str) -> bool:
    """Tell whether a feature is -25 in events without the jets that it is made of."""
    return "jet" in column or column == "DER_lep_eta_centrality"


def present(column: str, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which values are there: finite and, for jet quantities, not the -25 of an absent jet."""
    there = np.isfinite(values)
    if needs_jet(column):
        there &= values != MISSING
    return there


def bulk_range(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the range of finite values, without tails that would squeeze the bulk."""
    there = values[np.isfinite(values)]
    if not there.size:
        return 0.0, 1.0
    low, high = float(there.min()), float(there.max())
    first, last = (float(end) for end in np.percentile(there, _BULK))
    reach = _STRETCHED * (last - first)
    return low if last - low <= reach else first, high if high - first <= reach else last


def row_values(values: ArrayLike, n_rows: int, what: str) -> NDArray[Any]:
    """Return one value per row of a frame as an array.

    Raises
    ------
    DataError
        If there are more or fewer than rows.
    """
    array = np.asarray(values)
    if array.shape != (n_rows,):
        raise DataError(f"{what} must have one entry per row: {n_rows}, not shape {array.shape}")
    return array
