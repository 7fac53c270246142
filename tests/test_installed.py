"""What someone finds who has installed the package and has nothing else: no checkout, no data."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from HiggsML import __version__

README = Path(__file__).resolve().parents[1] / "README.md"


def higgsml(*words, cwd):
    command = [sys.executable, "-m", "HiggsML", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600)


def test_the_module_is_the_command(tmp_path):
    assert higgsml("--version", cwd=tmp_path).stdout.split()[-1] == __version__


@pytest.fixture
def submission(tmp_path):
    """The Model that the README prints."""
    model = re.search(r"```python\n(import numpy as np\n.*?)```", README.read_text("utf-8"), re.S)
    (tmp_path / "my_submission").mkdir()
    (tmp_path / "my_submission" / "model.py").write_text(model[1], encoding="utf-8")
    return tmp_path / "my_submission"


def test_a_run_without_data_leads_to_one_with_data(tmp_path, submission):
    refused = higgsml("run", "my_submission", cwd=tmp_path)
    assert refused.returncode == 2
    said = " ".join(refused.stderr.replace("│", " ").split())
    offered = re.search(r"higgsml (generate .*? --output input_data)", said)
    words = offered[1].replace("480000", "4000").split()
    assert higgsml(*words, cwd=tmp_path).returncode == 0
    few = ("--sets", "1", "--pseudo-experiments", "2")
    done = higgsml("run", "my_submission", *few, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "outputs" / "my_submission" / "scores" / "detailed_results.html").exists()


@pytest.mark.skipif(
    os.environ.get("HIGGSML_INSTALLED") != "wheel",
    reason="for a wheel: make test-versions installs one",
)
def test_the_page_on_pypi_leads_somewhere():
    page = importlib.metadata.metadata("higgsml-uncertainty")
    links = re.findall(r"\]\(([^)]+)\)", page.get_payload() or page["Description"])
    assert len(links) > 20
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    images = [link for link in links if link.endswith(".png")]
    assert images
    assert all("/raw/" in link for link in images), "else PyPI shows no picture"
    text = page.get_payload() or page["Description"]
    assert "mermaid" not in text
    assert "make demo" not in text
    assert "pip install higgsml-uncertainty" in text
    assert page["Author"]
    assert {url.split(",")[0] for url in page.get_all("Project-URL")} >= {"Repository", "Paper"}
