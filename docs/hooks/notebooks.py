"""The notebooks as pages, and as files to open, made while the documentation is built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

Cell = tuple[str, str]
"""Its kind, "markdown" or "code", and its text."""


def cells(text: str) -> list[Cell]:
    """Return the cells of a Python file with marks (``# %%``)."""
    found = []
    for part in text.split("\n# %%")[1:]:
        head, _, body = part.partition("\n")
        if "[markdown]" in head:
            lines = (line.removeprefix("#").removeprefix(" ") for line in body.splitlines())
            found.append(("markdown", "\n".join(lines).strip()))
        elif body.strip():
            found.append(("code", body.strip()))
    return found


def notebook(parts: list[Cell]) -> dict[str, Any]:
    """Return a notebook in version 4.5 of its format."""
    made: list[dict[str, Any]] = []
    for number, (kind, text) in enumerate(parts):
        cell: dict[str, Any] = {
            "cell_type": kind,
            "id": f"cell-{number}",
            "metadata": {},
            "source": text,
        }
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        made.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def page(parts: list[Cell], name: str) -> str:
    """Return a page of the documentation, with a link to the notebook."""
    link = f"[Download this notebook]({name}.ipynb){{download}}, and open it in Jupyter.\n"
    blocks = [text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in parts]
    return "\n\n".join([blocks[0], link, *blocks[1:]]) + "\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page and a notebook for each Python file in ``docs/notebooks``."""
    for path in sorted((Path(config.docs_dir) / "notebooks").glob("*.py")):
        parts = cells("\n" + path.read_text(encoding="utf-8"))
        name = f"tutorials/{path.stem}"
        files.append(File.generated(config, f"{name}.md", content=page(parts, path.stem)))
        content = json.dumps(notebook(parts), indent=1)
        files.append(File.generated(config, f"{name}.ipynb", content=content))
    return files
