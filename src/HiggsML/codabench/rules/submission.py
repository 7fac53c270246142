"""What a submission must be: read, never run."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from HiggsML.codabench.images import image_packages, modules_of
from HiggsML.codabench.rules.findings import Finding, Findings, Location
from HiggsML.errors import SubmissionError
from HiggsML.files import is_junk
from HiggsML.submission.archive import read_layout
from HiggsML.submission.layout import BUNDLE_NAMES, Layout, shadowed_modules, shown

__all__ = ["check_layout"]


_MAX_BYTES = 300 << 20
_SEARCHED = re.compile(rb"\bpath\s*(\.\s*(append|insert|extend)\b|\+=|\[)")
"""A line that changes ``sys.path``, or may."""


def check_layout(path: Path, *, packages: Collection[str] | None = None) -> list[Finding]:
    """Check a submission's files without running them.

    Parameters
    ----------
    path : Path
        A directory, or the zip that is to be uploaded.
    packages : collection of str, optional
        What the image has, by the names that pip knows; by default that of the competition's.

    Returns
    -------
    list of Finding
        What a run would refuse it for, as errors, and advice.
    """
    report = Findings([])
    try:
        layout = read_layout(path)
    except SubmissionError as error:
        report.need("submission", Location(path.name), str(error), "Pack the submission again.")
        return report.found
    for problem in layout.problems:
        report.need(problem.rule, Location(problem.name), problem.message, problem.remedy)
    if layout.problems:
        return report.found
    left = [name for name in layout.leftovers if path.is_file() or not is_junk(name)]
    if left:
        message = f"{len(left)} such entries do not belong to a submission and are left out"
        remedy = "Rename what the model needs: no part of a name may begin with a dot."
        report.advise("leftover", Location(shown(left[0])), message, remedy)
    size = sum(entry.size for entry in layout.files.values())
    if size > _MAX_BYTES:
        message = f"{size / 1e6:.0f} MB are much to upload and to unpack for every run"
        report.advise("size", Location(path.name), message, "Store weights as float32, compressed.")
    _check_code(layout, image_packages() if packages is None else packages, report)
    return report.found


def _check_code(layout: Layout, packages: Collection[str], report: Findings) -> None:
    modules = modules_of(packages) | {"HiggsML"} | sys.stdlib_module_names
    code = {name: entry for name, entry in layout.own.items() if name.endswith(".py")}
    for name in shadowed_modules(code, modules):
        message = "an installed module has this name, and is imported instead"
        report.advise("shadowed", Location(f"{layout.folder}{name}"), message, "Rename it.")
    anywhere = any(_SEARCHED.search(layout.read(f"{layout.folder}{name}")) for name in code)
    known = modules | _importable(layout.own, anywhere=anywhere) | BUNDLE_NAMES
    missing: dict[str, Location] = {}
    for short in code:
        _check_module(short, layout, known, missing, report)
    for module, location in missing.items():
        message = "neither the submission nor the platform's image has this module"
        remedy = (
            f"Put its files beside model.py, or use what the image has: {', '.join(packages)}. "
            f"(For trials at home: pip install {module}.)"
        )
        report.need("import", location, message, remedy)


def _importable(names: Iterable[str], *, anywhere: bool) -> set[str]:
    """Return the modules that lie beside model.py or in a folder there: both are searched.

    A submission that adds to ``sys.path`` may find those of all its folders (``anywhere``).
    """
    modules = set()
    for name in names:
        first, *rest = name.split("/")
        modules.add(first.removesuffix(".py"))
        if anywhere:
            modules.update(part.removesuffix(".py") for part in rest)
        if rest and not first.startswith("__"):
            modules.add(rest[0].removesuffix(".py"))
    return modules


def _check_module(
    short: str,
    layout: Layout,
    known: Collection[str],
    missing: dict[str, Location],
    report: Findings,
) -> None:
    """Check one file; each module that it lacks goes to ``missing``, once."""
    name = f"{layout.folder}{short}"
    try:
        parsed = ast.parse(layout.read(name))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        report.need("syntax", Location(name, line), f"not valid Python: {error}", "Correct it.")
        return
    if short == "model.py" and not _defines_model(parsed):
        message = "there seems to be no class Model with fit and predict"
        report.advise("model", Location(name), message, "Define it, or import it from a helper.")
    for node in ast.walk(parsed):
        for module in _imported(node):
            if module not in known and not _is_optional(node, parsed):
                line = getattr(node, "lineno", None)
                missing.setdefault(module, Location(name, line, "", module))


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module.split(".")[0]]
    return []


def _is_optional(node: ast.AST, parsed: ast.Module) -> bool:
    """Return whether an import stands in a ``try``, so that its failure is expected."""
    return any(
        node in ast.walk(block)
        for outer in ast.walk(parsed)
        if isinstance(outer, ast.Try)
        for block in outer.body
    )


def _defines_model(parsed: ast.Module) -> bool:
    for node in parsed.body:
        if isinstance(node, ast.ClassDef) and node.name == "Model":
            methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
            return bool(node.bases) or {"fit", "predict"} <= methods
        if isinstance(node, ast.ImportFrom) and any(
            "Model" in (alias.name, alias.asname) for alias in node.names
        ):
            return True
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "Model" for target in node.targets
        ):
            return True
    return False
