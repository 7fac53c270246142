"""Pages that are made while the documentation is built: the feature table, and the tests' code."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_INTRODUCTION = """\
# Feature table

Every function of the reference implementation and of the four-lepton exercise: where it is
documented, with its source code, and a test that shows that it does what it should.

"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    docs = Path(config.docs_dir)
    table = yaml.safe_load((docs / "features.yml").read_text(encoding="utf-8"))
    text = _INTRODUCTION
    modules = set()
    for group, features in table.items():
        text += f"## {group}\n\n| Function | Test |\n|---|---|\n"
        for name, test in features.items():
            module, function = test.split(".")
            modules.add(module)
            line = _line(docs.parent / "tests" / f"{module}.py", function)
            words = function.removeprefix("test_").replace("_", " ")
            short = name.removeprefix("HiggsML.")
            # The second block of code on a page of tests would have the number 1.
            text += (
                f"| [`{short}`][{name}] | [{words}](tests/{module}.md#__codelineno-0-{line}) |\n"
            )
        text += "\n"
    files.append(File.generated(config, "features.md", content=text))
    for module in sorted(modules):
        code = (docs.parent / "tests" / f"{module}.py").read_text(encoding="utf-8")
        page = (
            "---\nsearch:\n  exclude: true\n---\n\n"
            f'# tests/{module}.py\n\n````python linenums="1"\n{code}````\n'
        )
        files.append(File.generated(config, f"tests/{module}.md", content=page))
    return files


def on_page_content(html: str, page: Page, **_: object) -> None:
    """Tell MkDocs, which checks links before code is rendered, of the anchors of lines."""
    if page.file.src_uri.startswith("tests/") and page.present_anchor_ids is not None:
        page.present_anchor_ids |= set(re.findall(r'name="(__codelineno-\d+-\d+)"', html))


def _line(path: Path, function: str) -> int:
    """Return the line on which a function of a file begins."""
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if text.lstrip().startswith(f"def {function}("):
            return number
    raise ValueError(f"docs/features.yml names {path.name}::{function}, which does not exist")
