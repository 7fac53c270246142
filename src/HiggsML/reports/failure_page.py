"""``detailed_results.html`` of a submission without a score: why there is none, on one page."""

from __future__ import annotations

from pathlib import Path

from HiggsML.errors import printable
from HiggsML.reports.page import write_from_template

__all__ = ["render_failure"]

_LIMIT = 3000  # letters


def render_failure(path: Path, reason: str, *, by_ingestion: bool) -> None:
    """Write the page; all that comes from outside is cleaned and escaped.

    Parameters
    ----------
    path : Path
        Where to write; the directory is made if need be.
    reason : str
        What went wrong, in one or several lines.
    by_ingestion : bool
        Whether the ingestion failed, and not the scoring of its results.
    """
    write_from_template(
        path, "failure.html.j2", reason=printable(reason[:_LIMIT]), by_ingestion=by_ingestion
    )
