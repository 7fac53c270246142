"""From a checkout to the files of a bundle: add the library, the starting kit, settings, the key.

Nothing is copied here: the result is a :class:`~HiggsML.codabench.bundle.tree.Tree` whose files
are those of the checkout under the names that they get in the bundle.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from HiggsML.codabench.bundle.program import program_files
from HiggsML.codabench.bundle.settings import RunSettings, run_plan, without_settings
from HiggsML.codabench.bundle.tree import Tree, in_memory
from HiggsML.errors import BundleError, SettingsError
from HiggsML.files import PACKAGE, Entry, is_junk, on_disk
from HiggsML.seal import KEY_FILE, new_key

__all__ = ["KEY_PLACES", "assemble", "find_checkout", "is_checkout", "starting_kit"]

COMPETITION_FILE = "competition.yaml"
PROGRAM_METADATA = "metadata.yaml"
LIBRARY = Path("src", "HiggsML")
PROGRAM_SCRIPTS = {
    "ingestion_program": Path("ingestion_program", "run_ingestion.py"),
    "scoring_program": Path("scoring_program", "run_scoring.py"),
}
KEY_PLACES = ("input_data", "reference_data")
"""Where the two programs find the key."""

_PRACTICE_DATA = "input_data"
_KIT_PACKAGE = ("pyproject.toml", "README.md", "LICENSE", "Dockerfile")
_KIT_README = Path("examples", "STARTING_KIT.md")
_KIT_DIRECTORIES = ("examples", "sample_submission", "ingestion_program", "scoring_program")


def is_checkout(directory: Path) -> bool:
    """Return whether this is the project itself, of which a bundle is yet to be made."""
    return (directory / LIBRARY / "__init__.py").is_file() and (
        directory / COMPETITION_FILE
    ).is_file()


def find_checkout(start: Path | None = None) -> Path:
    """Return the checkout at or above a directory, or the one that this package is imported from.

    Raises
    ------
    BundleError
        If there is none.
    """
    here = (start or Path.cwd()).resolve()
    for directory in (here, *here.parents, PACKAGE.parents[1]):
        if is_checkout(directory):
            return directory
    raise BundleError(f"{here} is not in a checkout of the project: change into one")


def assemble(source: Path, *, input_data: Path | None = None, key: str | None = None) -> Tree:
    """Return the files of the bundle that a checkout makes.

    Parameters
    ----------
    source : Path
        The checkout.
    input_data : Path, optional
        Dataset to put in the place of the tasks' ``input_data``; the checkout's own stays what
        participants get to practice with.
    key : str, optional
        Text of the key with which the ingestion signs results and scoring checks them, see
        :mod:`HiggsML.seal`; a fresh one by default.

    Raises
    ------
    BundleError
        If ``input_data`` is not a directory.
    """
    if input_data is not None and not input_data.is_dir():
        raise BundleError(f"{input_data} is not a directory: name the one with the dataset")
    files = {COMPETITION_FILE: on_disk(source / COMPETITION_FILE)}
    try:
        document = yaml.safe_load((source / COMPETITION_FILE).read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError):
        return Tree(files)  # validation says where
    if not isinstance(document, dict):
        return Tree(files)
    for name in _single_files(document):
        if (path := _inside(source, name)) is not None and path.is_file():
            files[name] = on_disk(path)
    signing = in_memory((key or new_key()).encode())
    for role, name in _directories(document):
        files |= dict(_directory(source, role, name, input_data))
    with contextlib.suppress(SettingsError):  # validation says where
        files |= _settings_files(source, document, files)
    for role, name in _directories(document):
        prefix = f"{name.rstrip('/')}/"
        if role in KEY_PLACES and any(file.startswith(prefix) for file in files):
            files[f"{prefix}{KEY_FILE}"] = signing
    return Tree({name: files[name] for name in sorted(files)})


def _settings_files(
    source: Path, document: dict[str, Any], files: Mapping[str, Entry]
) -> dict[str, Entry]:
    """Return the files that follow from the settings of the runs, and ``competition.yaml``."""
    plan = run_plan(document)
    made: dict[str, str] = {}
    for role, name in _directories(document):
        path = name.rstrip("/")
        settings = plan.of_directory.get(path)
        if settings is None or path in files:  # no settings, or a zip
            continue
        if role == "reference_data":
            made[f"{path}/settings.json"] = settings.reference()
        elif role == "ingestion_program":
            here = source / path / PROGRAM_METADATA
            start = here if here.is_file() else source / role / PROGRAM_METADATA
            made[f"{path}/{PROGRAM_METADATA}"] = _with_words(start, settings)
    if plan.of_pages is not None:
        pages = [name for name in _single_files(document) if name.endswith(".md")]
        kits = [f"{name.rstrip('/')}/README.md" for _, name in _directories(document, "phases")]
        for name in (*pages, *kits):
            if name in files:
                with files[name].open() as file:
                    made[name] = plan.of_pages.fill(file.read().decode("utf-8"))
    text = (source / COMPETITION_FILE).read_text(encoding="utf-8")
    made[COMPETITION_FILE] = without_settings(text)
    return {name: in_memory(text.encode()) for name, text in made.items()}


def _with_words(metadata: Path, settings: RunSettings) -> str:
    """Return a program's metadata with the words of its settings at the end of its command."""
    lines = metadata.read_text(encoding="utf-8").splitlines()
    added = shlex.join(settings.words())
    return "".join(
        f"{line} {added}\n" if line.startswith("command:") else f"{line}\n" for line in lines
    )


def starting_kit(source: Path) -> Tree:
    """Return what participants download: instructions, models, practice data, the library."""
    files: dict[str, Entry] = {}
    for name in (*_KIT_DIRECTORIES, _PRACTICE_DATA):
        files |= dict(_files(source / name, f"{name}/"))
    files |= dict(_files(source / "examples" / "counting", "my_submission/"))
    if (entry := files.pop(_KIT_README.as_posix(), None)) is not None:
        files["README.md"] = entry
    for name in _KIT_PACKAGE:
        if (source / name).is_file():
            files[f"higgsml/{name}"] = on_disk(source / name)
    files |= dict(_files(source / LIBRARY, f"higgsml/{LIBRARY.as_posix()}/"))
    if (source / "Dockerfile").is_file():
        files["Dockerfile"] = on_disk(source / "Dockerfile")
    return Tree({name: files[name] for name in sorted(files)}, "starting_kit/")


def _single_files(document: dict[str, Any]) -> Iterator[str]:
    pages = document.get("pages")
    listed = [page.get("file") for page in _dicts(pages)]
    for name in (document.get("image"), document.get("terms"), *listed):
        if isinstance(name, str):
            yield name


def _directories(document: dict[str, Any], only: str = "") -> Iterator[tuple[str, str]]:
    """Yield role and path of all that the tasks, solutions and phases (or only those) name."""
    roles = {
        "tasks": (*PROGRAM_SCRIPTS, "input_data", "reference_data"),
        "solutions": ("path",),
        "phases": ("public_data", "starting_kit"),
    }
    for section, names in roles.items():
        if only not in ("", section):
            continue
        for entry in _dicts(document.get(section)):
            for role in names:
                if isinstance(entry.get(role), str):
                    yield role, entry[role]


def _directory(
    source: Path, role: str, name: str, input_data: Path | None
) -> Iterator[tuple[str, Entry]]:
    path, prefix = _inside(source, name), f"{name.rstrip('/')}/"
    if path is None:
        return
    if path.is_file():
        yield name, on_disk(path)
    elif role == "input_data":
        yield from _files(input_data or path, prefix)
    elif role == "starting_kit":
        for inner, entry in starting_kit(source).files.items():
            yield prefix + inner, entry
    else:
        if path.is_dir():
            yield from _files(path, prefix)
        elif role in PROGRAM_SCRIPTS:  # one of a task with settings of its own
            yield from _files(source / role, prefix)
        if role in PROGRAM_SCRIPTS:
            script = source / PROGRAM_SCRIPTS[role]
            if script.is_file():
                for inner, entry in program_files(script, source / LIBRARY).items():
                    yield prefix + inner, entry


def _inside(source: Path, name: str) -> Path | None:
    """Return a path below the checkout; None for one that leads elsewhere."""
    path = source / name
    return path if path.resolve().is_relative_to(source.resolve()) else None


def _files(directory: Path, prefix: str) -> Iterator[tuple[str, Entry]]:
    for name, entry in Tree.from_directory(directory).files.items():
        if not is_junk(name) and name != KEY_FILE:  # a key of an earlier bundle
            yield prefix + name, entry


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
