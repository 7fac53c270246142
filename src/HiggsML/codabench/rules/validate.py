"""Validation of a bundle: every rule of the platform's contract, before anything is uploaded."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from HiggsML.codabench.bundle.source import assemble, is_checkout
from HiggsML.codabench.bundle.tree import Tree
from HiggsML.codabench.rules.document import check_document, entries, load_document
from HiggsML.codabench.rules.findings import KINDS, Finding, Findings, Location
from HiggsML.codabench.rules.keys import COMPETITION_FILE
from HiggsML.codabench.rules.located_yaml import Item
from HiggsML.codabench.rules.named_files import check_files
from HiggsML.codabench.rules.old_format import in_todays_format
from HiggsML.codabench.rules.programs import check_programs
from HiggsML.codabench.rules.run_settings import check_settings
from HiggsML.codabench.rules.secrets import check_datasets, check_everything, check_keys
from HiggsML.errors import BundleError
from HiggsML.score import SCORE_KEYS

__all__ = ["is_of_this_challenge", "open_bundle", "validate_path", "validate_tree"]

_OUR_FILE = re.compile(r"(^|/)(HiggsML/|run_ingestion\.py$|run_scoring\.py$)")
_OUR_KEYS = frozenset({"quantiles_score"})


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
    path: Path,
    *,
    competition: bool = False,
    general: bool = False,
    now: datetime | None = None,
) -> list[Finding]:
    """Validate a zip, a directory or a checkout; see :func:`validate_tree`."""
    try:
        tree = open_bundle(path)
    except BundleError as error:
        report = Findings([])
        remedy = "Make it with `higgsml bundle build`."
        report.refuse("bundle", Location(path.name), str(error), remedy)
        return report.found
    return validate_tree(
        tree, competition=competition, general=general, now=now or datetime.now(UTC)
    )


def validate_tree(
    tree: Tree,
    *,
    competition: bool = False,
    general: bool = False,
    score_keys: Collection[str] = SCORE_KEYS,
    now: datetime | None = None,
) -> list[Finding]:
    """Apply every rule.

    Parameters
    ----------
    tree : Tree
        The files of the bundle.
    competition : bool
        Whether this is for a real competition: a public dataset is an error then, not advice.
    general : bool
        Leave out what only this challenge needs, as it is done for a bundle of another one.
    score_keys : collection of str
        What scoring writes to ``scores.json``.
    now : datetime, optional
        The time against which the phases' dates are held.

    Returns
    -------
    list of Finding
        What the platform refuses, what this challenge needs, advice; each in the order of files and
        lines.
    """
    report = Findings([], ours=False)
    for name, problem in tree.problems:
        location = Location(f"{tree.prefix}{name}")
        report.refuse("zip", location, f"this entry {problem}", "Pack the bundle again.")
    if tree.problems:
        return report.found  # what is in a damaged zip is not worth reading
    document = _document(tree, report)
    report.ours = not general and is_of_this_challenge(document, tree)
    for name, problem in tree.oddities:
        location = Location(f"{tree.prefix}{name}")
        report.fault("zip", location, f"this entry {problem}", "Pack the bundle again.")
    if document is not None:
        check_document(document, report, score_keys=score_keys, now=now)
        check_files(document, tree, report)
        check_programs(document, tree, report)
        check_everything(document, tree, report)
        if report.ours:
            check_settings(document, report)
            check_datasets(document, tree, report, competition=competition)
            check_keys(document, tree, report)
    unique = dict.fromkeys(report.found)
    order = [*KINDS]
    return sorted(unique, key=lambda f: (order.index(f.kind), f.file, f.line or 0))


def is_of_this_challenge(document: Item | None, tree: Tree) -> bool:
    """Return whether a bundle is of this challenge, by its programs or its scores."""
    if any(_OUR_FILE.search(name) for name in tree.files):
        return True
    if document is None:
        return False
    columns = [
        column
        for board in entries(document, "leaderboards")
        for column in entries(board, "columns")
    ]
    keys = [column.value["key"].value for column in columns if "key" in column.value]
    return bool(_OUR_KEYS & {key for key in keys if isinstance(key, str)})


def _document(tree: Tree, report: Findings) -> Item | None:
    if COMPETITION_FILE not in tree:
        _no_competition_file(tree, report)
        return None
    content = tree.read(COMPETITION_FILE)
    try:
        document = load_document(content.decode("utf-8"), report)
        return None if document is None else in_todays_format(document, report)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        location = Location(COMPETITION_FILE, line)
        report.refuse("encoding", location, "the file is not UTF-8 text", "Save it as UTF-8.")
        return None


def _no_competition_file(tree: Tree, report: Findings) -> None:
    nested = [name for name in tree.files if name.endswith(f"/{COMPETITION_FILE}")]
    others = [name for name in tree.files if name.lower() in ("competition.yml", COMPETITION_FILE)]
    if nested:
        location = Location(nested[0])
        message = f"{COMPETITION_FILE} must lie at the root of the zip, not in a folder"
        report.refuse("root", location, message, "Zip the content of the folder, not the folder.")
    elif others:
        location = Location(others[0])
        report.refuse(
            "root",
            location,
            "the platform does not look for this name",
            f"Rename it to {COMPETITION_FILE}.",
        )
    else:
        location = Location(COMPETITION_FILE)
        report.refuse("root", location, "the bundle has no such file", "Add it at the root.")
