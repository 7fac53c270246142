"""Figures as SVG text for a web page: small, without addresses, in the colors of the page."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from HiggsML.visualization.style import (
    BAND,
    BLUE,
    GRAY,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
)

__all__ = ["THEME", "inline_svg"]

THEME: Mapping[str, str] = {
    INK: "var(--ink)",
    GRAY: "var(--muted)",
    BAND: "var(--band)",
    BLUE: "var(--blue)",
    VERMILION: "var(--vermilion)",
    GREEN: "var(--green)",
    ORANGE: "var(--orange)",
    SKY: "var(--sky)",
    PURPLE: "var(--purple)",
}
"""Custom property of the page that takes the place of each color: light and dark in one file."""

_COLOR = re.compile("|".join(THEME))
_PATH = re.compile(r'(?<= d=")[^"]*(?=")')
_ATTRIBUTE = re.compile(r'(?<==")[^"]*(?=")')
_NUMBER = re.compile(r"-?\d+\.\d+")
_HORIZONTAL = re.compile(r"M(\S+) (\S+)L(\S+) \2(?=[ML]|$)")
_GROUP = re.compile(r"<g id=\"[^\"]*\"(/?)>")
_NOISE = re.compile(
    r"<!--.*?-->"  # the text of labels, repeated
    r"|<style.*?</style>"  # would apply to the whole page
    r"|<g/>"
    r"|(?<=; )font-family: [^;\"]*; |font-family: [^;\"]*; "  # the page's own font
    r"| transform=\"rotate\(-0 [^\"]*\"",
    re.DOTALL,
)


def inline_svg(figure: Figure, *, name: str, description: str) -> str:
    """Return a figure as an ``<svg>`` element for an HTML page.

    Parameters
    ----------
    figure : Figure
        Its minor ticks are taken off and its tick labels become plain text.
    name : str
        Unique in the page: it keeps the element ids of several figures apart.
    description : str
        What a screen reader says; plain words without ``<``, ``&`` or quotation marks.
    """
    if re.search(r"[<>&\"]", description):
        raise ValueError(f"description must be plain words, got {description!r}")
    for axes in figure.axes:
        axes.minorticks_off()
        for axis in (axes.xaxis, axes.yaxis):
            formatter = axis.get_major_formatter()
            if isinstance(formatter, ScalarFormatter):
                # Formulas would be cut into single letters at fixed places.
                formatter.set_useMathText(False)
    buffer = io.StringIO()
    no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    text = buffer.getvalue()
    width, height = (72 * float(inches) for inches in figure.get_size_inches())
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = _NOISE.sub("", body)
    body = _PATH.sub(lambda match: _short(match[0]), body)
    body = _GROUP.sub(r"<g\1>", body).replace("xlink:href", "href")
    body = _ATTRIBUTE.sub(lambda match: _round(match[0]), body)  # never the text of a label
    body = _COLOR.sub(lambda match: THEME[match[0]], body)
    body = re.sub(r"\s*\n\s*", "", body)
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{description}">{body}'


def _short(path: str) -> str:
    """Shorten path data: two decimals, no blanks, horizontal lines by their end."""
    path = re.sub(r"\s*\n\s*|\s*(?<=[MLCQz])\s*", "", _round(path))
    return _HORIZONTAL.sub(r"M\1 \2H\3", path)


def _round(text: str) -> str:
    return _NUMBER.sub(lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), text)
