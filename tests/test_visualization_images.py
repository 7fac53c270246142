"""A few figures compared, as images, with ones that were looked at.

Text is taken off, and images are shrunk before they are compared, so that another version of
matplotlib or of its fonts makes no difference, while a wrong figure does: each comes with one that
has a mistake in it and must be told apart. After a wanted change, make the baselines again with

    HIGGSML_BASELINES=write pytest tests/test_visualization_images.py

and look at them.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from matplotlib.ticker import NullFormatter
from PIL import Image

from HiggsML import visualization as vis
from HiggsML.schema import MISSING

BASELINES = Path(__file__).with_name("baselines")
TOLERANCE = 2.0  # root mean square difference of the colors, of 255
N = 600


def spread(step):
    """Return N numbers that fill (0, 1) evenly and, for other steps, independently."""
    return (0.5 + step * np.arange(1, N + 1)) % 1


def events():
    """Events without a random number: the same with every version of numpy."""
    process = np.select(
        [spread(np.sqrt(7)) < share for share in (0.5, 0.7, 0.8)],
        ["ztautau", "ttbar", "diboson"],
        "htautau",
    )
    jet = 26 - 50 * np.log(spread(np.sqrt(3)))
    met = -25 * np.log(spread(np.sqrt(2)))
    return pd.DataFrame(
        {
            "PRI_had_pt": 26 - 30 * np.log(spread(np.sqrt(5))) + 0.3 * met,
            "PRI_met": met,
            "PRI_jet_leading_pt": np.where(spread(np.sqrt(11)) < 0.5, jet, MISSING),
            "weights": 0.5 + spread(np.sqrt(13)),
            "detailed_labels": process,
            "labels": (process == "htautau").astype(int),
        }
    )


E = events()
SHIFTED = E.assign(PRI_had_pt=1.1 * E["PRI_had_pt"], PRI_met=E["PRI_met"] + 4)
ONES = np.ones(N)
LOW, HIGH = 0.6 + spread(np.sqrt(2)), 1.2 + spread(np.sqrt(2)) + 0.1 * spread(np.sqrt(3))
COLUMNS = ["PRI_had_pt", "PRI_met"]


def stacked(weights, mu_hat=2.0):
    return vis.stacked_histogram(
        *(E, E["labels"], weights, E["detailed_labels"], "PRI_jet_leading_pt", mu_hat)
    )


# The figure, and one with a mistake.
FIGURES = {
    "stacked_histogram": (lambda: stacked(E["weights"]), lambda: stacked(E["weights"], 1.5)),
    "histogram_syst": (
        lambda: vis.histogram_syst(E, SHIFTED, E["weights"], E["weights"], COLUMNS),
        lambda: vis.histogram_syst(E, SHIFTED, E["weights"], ONES, COLUMNS),
    ),
    "pair_plots": (
        lambda: vis.pair_plots(E, E["labels"], N, COLUMNS),
        lambda: vis.pair_plots(E, E["labels"], N, COLUMNS[::-1]),
    ),
    "event_vise_syst_arrow": (
        lambda: vis.event_vise_syst_arrow(E, SHIFTED, COLUMNS, N, magnify=1),
        lambda: vis.event_vise_syst_arrow(SHIFTED, E, COLUMNS, N, magnify=1),
    ),
    "roc_curve_wrapper": (
        lambda: vis.roc_curve_wrapper(E["PRI_met"] + 9 * E["labels"], E["labels"], E["weights"]),
        lambda: vis.roc_curve_wrapper(E["PRI_met"] + 7 * E["labels"], E["labels"], E["weights"]),
    ),
    "interval_plot": (
        lambda: vis.interval_plot(LOW, HIGH, 1.3),
        lambda: vis.interval_plot(LOW, HIGH, 1.33),
    ),
}


def image(figure):
    """Draw a figure without text and legends, which depend on fonts."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(NullFormatter())
            axis.set_minor_formatter(NullFormatter())
        if axes.get_legend() is not None:
            axes.get_legend().remove()
    for legend in list(figure.legends):
        legend.remove()
    for text in figure.findobj(Text):
        text.set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=60)
    return Image.open(buffer).convert("RGB")


def difference(one, other):
    """Root mean square difference of two images of equal size, blind to the edges of lines."""
    a, b = (np.asarray(picture.reduce(3), dtype=float) for picture in (one, other))
    return np.sqrt(np.mean((a - b) ** 2))


@pytest.mark.parametrize("name", FIGURES)
def test_figure_looks_as_it_did(name, tmp_path):
    right, wrong = (image(make()) for make in FIGURES[name])
    path = BASELINES / f"{name}.png"
    if os.environ.get("HIGGSML_BASELINES") == "write":
        right.quantize(64).save(path, optimize=True)
    baseline = Image.open(path).convert("RGB")
    right.save(tmp_path / f"{name}.png")
    assert right.size == baseline.size
    assert difference(right, baseline) < TOLERANCE, f"see {tmp_path / name}.png and {path}"
    assert difference(wrong, baseline) > 2 * TOLERANCE
