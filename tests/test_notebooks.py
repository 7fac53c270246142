"""Every notebook runs from a clean kernel, without an error and without a warning on stderr."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext", reason="the extra 'notebooks' is not installed")
nbclient = pytest.importorskip("nbclient", reason="the extra 'notebooks' is not installed")
pytest.importorskip("ipykernel", reason="the extra 'notebooks' is not installed")

NOTEBOOKS = Path(__file__).resolve().parent.parent / "docs" / "notebooks"


@pytest.mark.filterwarnings("default")  # of the machinery that runs kernels
@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.py")), ids=lambda path: path.stem)
def test_notebook_runs(path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = jupytext.read(path)
    client = nbclient.NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOKS)}},
    )
    client.execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert not [out["text"] for out in outputs if out.get("name") == "stderr"]
    assert any("image/png" in out.get("data", {}) for out in outputs)
    if target := os.environ.get("HIGGSML_NOTEBOOK_OUTPUT"):
        jupytext.write(notebook, Path(target) / f"{path.stem}.ipynb")
