"""Pages from templates: one style, everything escaped, whole or absent."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import HiggsML
from HiggsML.files import whole_file

__all__ = ["TEMPLATES", "write_from_template"]

TEMPLATES = Path(__file__).with_name("templates")


def write_from_template(
    path: Path, template: str, *, sortable: bool = False, **values: Any
) -> None:
    """Write a page; it is whole or absent.

    Parameters
    ----------
    path : Path
        Where to write; the directory is made if need be.
    template : str
        Name of its template, which extends the common shell.
    sortable : bool
        Add the script that makes tables sortable.
    **values : Any
        What the template shows. Text is escaped, unless it is marked as markup of this package.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = Markup((TEMPLATES / "page.css").read_text(encoding="utf-8"))  # noqa: S704 (ours)
    script = (TEMPLATES / "sortable.js").read_text(encoding="utf-8") if sortable else ""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    shell = {
        "css": css,
        "script": Markup(script),  # noqa: S704 (a file of this package)
        "script_hash": digest if sortable else "",
        "version": HiggsML.__version__,
    }
    html = environment.get_template(template).render(shell | values)
    with whole_file(path) as file:
        file.write(html.encode())
