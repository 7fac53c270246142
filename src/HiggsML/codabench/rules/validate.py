"""Validation of a bundle: every rule of the platform's contract, before anything is uploaded."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from HiggsML.codabench.bundle.source import assemble, is_checkout
from HiggsML.codabench.bundle.tree import Tree
from HiggsML.codabench.rules.document import check_document, load_document
from HiggsML.codabench.rules.findings import Finding, Findings, Place
from HiggsML.codabench.rules.keys import COMPETITION_FILE
from HiggsML.codabench.rules.named_files import check_files
from HiggsML.codabench.rules.programs import check_programs
from HiggsML.codabench.rules.secrets import check_datasets, check_everything, check_keys
from HiggsML.errors import BundleError
from HiggsML.score import SCORE_KEYS

__all__ = ["open_bundle", "validate_path", "validate_tree"]


def open_bundle(path: Path, *, input_data: Path | None = None) -> Tree:
    """Return the files of a bundle: of a zip, a directory, or a checkout as it would be built.

    Raises
    ------
    BundleError
        If there is nothing at this path, or it is not a zip.
    """
    if path.is_dir():
        if is_checkout(path):
            return assemble(path, input_data=input_data)
        return Tree.from_directory(path)
    if not path.exists():
        raise BundleError(f"{path} does not exist: name a bundle's zip or directory")
    return Tree.from_zip(path)


def validate_path(
    path: Path, *, competition: bool = False, now: datetime | None = None
) -> list[Finding]:
    """Validate a zip, a directory or a checkout; see :func:`validate_tree`."""
    try:
        tree = open_bundle(path)
    except BundleError as error:
        place = Place(path.name)
        report = Findings([])
        report.error("bundle", place, str(error), "Make it with `higgsml bundle build`.")
        return report.found
    return validate_tree(tree, competition=competition, now=now or datetime.now(UTC))


def validate_tree(
    tree: Tree,
    *,
    competition: bool = False,
    score_keys: Collection[str] = SCORE_KEYS,
    now: datetime | None = None,
) -> list[Finding]:
    """Apply every rule.

    Parameters
    ----------
    tree : Tree
        The files of the bundle.
    competition : bool
        Whether this is for a real competition: a public dataset is an error then, not a warning.
    score_keys : collection of str
        What scoring writes to ``scores.json``.
    now : datetime, optional
        The time against which the phases' dates are held.

    Returns
    -------
    list of Finding
        Errors first; in the order of files and lines.
    """
    report = Findings([])
    document = None
    for name, problem in tree.problems:
        place = Place(f"{tree.prefix}{name}")
        report.error("zip", place, f"this entry {problem}", "Pack the bundle again.")
    if tree.problems:
        return report.found  # what is in a damaged zip is not worth reading
    if COMPETITION_FILE not in tree:
        _no_competition_file(tree, report)
    else:
        content = tree.read(COMPETITION_FILE)
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            place = Place(COMPETITION_FILE, line)
            report.error("encoding", place, "the file is not UTF-8 text", "Save it as UTF-8.")
        else:
            document = load_document(text, report)
    if document is not None:
        check_document(document, report, score_keys=score_keys, now=now)
        check_files(document, tree, report)
        check_programs(document, tree, report)
        check_everything(document, tree, report)
        check_datasets(document, tree, report, competition=competition)
        check_keys(document, tree, report)
    unique = dict.fromkeys(report.found)
    return sorted(unique, key=lambda f: (f.severity, f.file, f.line or 0))


def _no_competition_file(tree: Tree, report: Findings) -> None:
    nested = [name for name in tree.files if name.endswith(f"/{COMPETITION_FILE}")]
    others = [name for name in tree.files if name.lower() in ("competition.yml", COMPETITION_FILE)]
    if nested:
        place = Place(nested[0])
        message = f"{COMPETITION_FILE} must lie at the root of the zip, not in a folder"
        report.error("root", place, message, "Zip the content of the folder, not the folder.")
    elif others:
        place = Place(others[0])
        report.error(
            "root",
            place,
            "the platform does not look for this name",
            f"Rename it to {COMPETITION_FILE}.",
        )
    else:
        place = Place(COMPETITION_FILE)
        report.error("root", place, "the bundle has no such file", "Add it at the root.")
