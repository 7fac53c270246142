"""What a submission must be: read, never run."""

from __future__ import annotations

import ast
import sys
from pathlib import Path, PurePosixPath

from HiggsML.codabench.bundle.tree import Tree, is_junk
from HiggsML.codabench.contract import IMAGE_MODULES
from HiggsML.codabench.rules.findings import Finding, Findings, Place
from HiggsML.errors import BundleError

__all__ = ["check_layout"]


_MAX_BYTES = 300 << 20


def check_layout(path: Path) -> list[Finding]:
    """Check a submission's files without running them.

    Parameters
    ----------
    path : Path
        A directory, or the zip that is to be uploaded.

    Raises
    ------
    BundleError
        If it is neither.
    """
    report = Findings([])
    if not path.exists():
        raise BundleError(f"{path} does not exist: name a submission's directory or zip")
    tree = Tree.from_directory(path) if path.is_dir() else Tree.from_zip(path)
    for name, problem in tree.problems:
        report.error("zip", Place(name), f"this entry {problem}", "Pack the submission again.")
    if tree.problems:
        return report.found
    for name, entry in tree.files.items():
        if entry.is_link:
            report.error("link", Place(name), "this is a symbolic link", "Put the file there.")
        elif PurePosixPath(name).name in ("metadata", "metadata.yaml") and name.count("/") <= 1:
            message = "the platform would take this submission for a program of its own"
            report.error("metadata", Place(name), message, "Remove the file, or rename it.")
        elif is_junk(name) and not path.is_dir():
            report.warning("leftover", Place(name), "this is not needed", "Leave it out.")
    if tree.size() > _MAX_BYTES:
        message = f"{tree.size() / 1e6:.0f} MB are much to upload and to unpack for every run"
        report.warning("size", Place(path.name), message, "Store weights as float32, compressed.")
    _check_code(tree, report)
    return report.found


def _check_code(tree: Tree, report: Findings) -> None:
    models = [
        name
        for name in tree.files
        if PurePosixPath(name).name == "model.py" and name.count("/") <= 1 and not is_junk(name)
    ]
    if not models:
        deeper = [name for name in tree.files if name.endswith("/model.py")]
        place = Place(deeper[0] if deeper else "model.py")
        message = "model.py must lie at the top, or in one folder"
        report.error("model", place, message, "Use `higgsml submission pack DIR`.")
        return
    if len(models) > 1 and "model.py" not in models:
        message = f"there are several model.py: {', '.join(models)}"
        report.error("model", Place(models[0]), message, "Submit one.")
        return
    folder = "" if "model.py" in models else f"{PurePosixPath(models[0]).parent}/"
    code = {
        name.removeprefix(folder): name
        for name in tree.files
        if name.startswith(folder) and name.endswith(".py") and not is_junk(name)
    }
    # Helper modules are found beside model.py and in the folders there.
    own = {part for name in code for part in (name.split("/")[0], name.split("/")[-1][:-3])}
    for short, name in code.items():
        _check_module(short, name, tree, own, report)


def _check_module(short: str, name: str, tree: Tree, own: set[str], report: Findings) -> None:
    stem = short.removesuffix(".py")
    if "/" not in short and (stem in sys.stdlib_module_names or stem in IMAGE_MODULES):
        message = "an installed module has this name, and is imported instead"
        report.error("shadowed", Place(name), message, "Rename the file.")
    try:
        parsed = ast.parse(tree.read(name))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        report.error("syntax", Place(name, line), f"not valid Python: {error}", "Correct it.")
        return
    if short == "model.py" and not _defines_model(parsed):
        message = "there seems to be no class Model with fit and predict"
        report.warning("model", Place(name), message, "Define it, or import it from a helper.")
    for node in ast.walk(parsed):
        for module in _imported(node):
            known = module in own or module in IMAGE_MODULES or module in sys.stdlib_module_names
            if not known and not _is_optional(node, parsed):
                place = Place(name, getattr(node, "lineno", None), "", module)
                message = "neither the submission nor the platform's image has this module"
                report.error("import", place, message, "Add it to the submission, or do without.")


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
