"""A program of the bundle: its script, and those modules of the library that it needs.

What a program imports, anywhere in a module, comes along, and so do the drop-in names that
participants' code may import where it runs. The rest of the library would only be stored, and sent
to a worker, with every program.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from HiggsML.files import Entry, is_junk, on_disk

__all__ = ["DROP_IN_NAMES", "program_files"]

DROP_IN_NAMES = (
    *("datasets", "systematics", "derived_quantities", "visualization", "ingestion", "score"),
    *("physics", "statistics", "schema"),
)
"""What a submission may import besides installed packages."""

_PACKAGE = "HiggsML"
_CODE = re.compile(rf"(?:from|import) ({_PACKAGE}(?:\.\w+)*)|^({_PACKAGE}(?:\.\w+)+)$")


def program_files(script: Path, library: Path) -> dict[str, Entry]:
    """Return the files of a program's directory besides its metadata, by name.

    Parameters
    ----------
    script : Path
        ``run_ingestion.py``, next to which participants' code runs, or another one.
    library : Path
        The directory of the package.
    """
    modules = _Modules(library)
    for name in _imports(script):
        modules.add(name)
    if script.name == "run_ingestion.py":
        for name in DROP_IN_NAMES:
            modules.add(f"{_PACKAGE}.{name}", whole=True)
    files = {f"{_PACKAGE}/{path.relative_to(library).as_posix()}" for path in modules.files()}
    return {
        script.name: on_disk(script),
        **{name: on_disk(library.parent / name) for name in sorted(files)},
    }


class _Modules:
    """Modules of the library, each with all that it imports."""

    def __init__(self, library: Path) -> None:
        self._library = library
        self._found: set[Path] = set()

    def add(self, name: str, *, whole: bool = False) -> None:
        """Add a module by its dotted name (or an attribute of one); ``whole`` adds a room."""
        parts = name.split(".")[1:]
        path = self._library
        self._add_file(path / "__init__.py")
        for part in parts:
            path = path / part
            if (path / "__init__.py").is_file():
                self._add_file(path / "__init__.py")
            else:
                self._add_file(path.with_name(f"{part}.py"))
                return
        for inner in path.rglob("*.py") if whole else ():
            self._add_file(inner)

    def files(self) -> Iterator[Path]:
        """Yield the modules and, beside them, templates and other data of their rooms."""
        yield from self._found
        for folder in {path.parent for path in self._found if path.name == "__init__.py"}:
            for path in folder.iterdir():
                if is_junk(path.name):
                    continue
                if path.is_dir() and not (path / "__init__.py").exists():
                    inside = (one for one in path.rglob("*") if one.is_file())
                    yield from (one for one in inside if not is_junk(str(one.relative_to(path))))
                elif path.is_file() and path.suffix != ".py":
                    yield path

    def _add_file(self, path: Path) -> None:
        if path in self._found or not path.is_file():
            return
        self._found.add(path)
        for name in _imports(path):
            self.add(name)


def _imports(path: Path) -> Iterator[str]:
    """Yield the names of this package that a module imports, or names in code that it starts."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name.split(".")[0] == _PACKAGE)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == _PACKAGE:
            yield from (f"{node.module}.{one.name}" for one in node.names)
        elif isinstance(node, ast.Constant) and id(node) not in docstrings:
            match = _CODE.search(node.value) if isinstance(node.value, str) else None
            if match is not None:
                yield match[1] or match[2]
