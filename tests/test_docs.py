"""The documentation: it builds without a warning, its examples run, its feature table is true."""

from __future__ import annotations

import ast
import doctest
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
FEATURES = {
    name: test
    for group in yaml.safe_load((DOCS / "features.yml").read_text(encoding="utf-8")).values()
    for name, test in group.items()
}


def resolve(name):
    """Import as much of a dotted name as is a module, and get the rest as attributes."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise AssertionError(name)


@pytest.mark.parametrize(("name", "test"), FEATURES.items(), ids=FEATURES)
def test_feature_and_its_test_exist(name, test):
    assert callable(resolve(name))
    module, function = test.split(".")
    tree = ast.parse((ROOT / "tests" / f"{module}.py").read_text(encoding="utf-8"))
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert function in names


def test_four_lepton_functions_all_have_a_row():
    module = importlib.import_module("HiggsML.four_lepton")
    functions = {
        f"HiggsML.four_lepton.{name}"
        for name in module.__all__
        if callable(getattr(module, name)) and not isinstance(getattr(module, name), type)
    }
    assert functions <= set(FEATURES)


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_examples_of_a_page(page):
    text = page.read_text(encoding="utf-8")
    for code in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        ast.parse(code)
    for code in re.findall(r"^```pycon\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        example = doctest.DocTestParser().get_doctest(code, {}, page.name, str(page), 0)
        assert doctest.DocTestRunner().run(example).failed == 0


def test_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="the extra 'docs' is not installed")
    pytest.importorskip("material", reason="the extra 'docs' is not installed")
    pytest.importorskip("mkdocstrings", reason="the extra 'docs' is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "features" / "index.html").read_text(encoding="utf-8")
    for name in FEATURES:
        assert f"#{name}" in page, f"{name} has no link to its documentation"
    lines = set(re.findall(r"tests/(\w+)/#(__codelineno-0-\d+)", page))
    for module, anchor in lines:
        text = (tmp_path / "tests" / module / "index.html").read_text(encoding="utf-8")
        assert f'name="{anchor}"' in text
    for path in tmp_path.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=\"?(https?:[^\s\">]+)", text)
        loaded += re.findall(r"<link[^>]*rel=\"?stylesheet[^>]*href=\"?(https?:[^\s\">]+)", text)
        assert not loaded, f"{path.name} loads {loaded}"
