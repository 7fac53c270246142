"""Rules about what must not be in a bundle: the truth, seeds, public events, keys, leftovers."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from HiggsML.codabench.bundle.source import KEY_PLACES
from HiggsML.codabench.bundle.tree import Tree
from HiggsML.codabench.rules.document import entries
from HiggsML.codabench.rules.findings import Findings, Location
from HiggsML.codabench.rules.keys import COMPETITION_FILE
from HiggsML.codabench.rules.located_yaml import Item
from HiggsML.codabench.rules.named_files import dataset_tree
from HiggsML.files import is_junk
from HiggsML.seal import KEY_FILE

__all__ = ["PRIVATE_DATASET", "check_datasets", "check_everything", "check_keys"]

PRIVATE_DATASET = (
    "Make a private one with `higgsml generate --scenario mini --events 500000 --output DIR` (no "
    "--seed), keep it to yourself, and build with `--input DIR`."
)

_KEY_FILES = re.compile(
    r"(\.env(\..*)?|\.netrc|\.pypirc|\.git-credentials|\.npmrc|credentials(\.json)?"
    r"|id_(rsa|dsa|ecdsa|ed25519)|.*\.(pem|p12|pfx|kdbx))"
)
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_TRUTH_KEYS = ("ground_truth_mus", "ground_truth_mu")
_TEXT_SUFFIXES = (
    ".json",
    ".yaml",
    ".yml",
    ".md",
    ".txt",
    ".py",
    ".toml",
    ".cfg",
    ".ini",
    ".sh",
    "",
)
_MAX_TEXT = 4 << 20
_MAX_BUNDLE, _MAX_PROGRAM = 2 << 30, 50 << 20


def check_everything(document: Item, tree: Tree, report: Findings) -> None:
    """Check every file of the bundle, those in zips too."""
    if tree.size() > _MAX_BUNDLE:
        message = f"the bundle has {tree.size() / 1e9:.1f} GB: uploads of this size often fail"
        report.advise("size", Location(COMPETITION_FILE), message, "Use a smaller dataset.")
    for task in entries(document, "tasks"):
        for name in ("ingestion_program", "scoring_program"):
            program = dataset_tree(task.value.get(name), tree)
            if program is not None and program.size() > _MAX_PROGRAM:
                location = Location.of(COMPETITION_FILE, task.value[name])
                message = f"{program.size() / 1e6:.0f} MB are much for a program"
                report.advise("size", location, message, "Is there data in it?")
    for part in _with_inner_zips(tree):
        for name in part.files:
            if ".git" not in name.split("/"):
                _check_file(name, part, report)
        _check_git(part, report)


def check_datasets(document: Item, tree: Tree, report: Findings, *, competition: bool) -> None:
    """Check that each task's events are there, and that nobody can look up their labels."""
    public = dict(_public_files(document, tree))
    practice = report.need if competition else report.advise
    offered = document.value.get("make_input_data_available")
    for task in entries(document, "tasks"):
        item = task.value.get("input_data")
        data = dataset_tree(item, tree)
        if item is None or data is None:
            continue
        tables = [name for name in data.files if name.endswith(".parquet")]
        if not tables:
            location = Location.of(COMPETITION_FILE, item)
            report.need("dataset", location, "there is no .parquet file in it", "Add the events.")
            continue
        known = False
        for name in tables:
            location = Location(f"{data.prefix}{name}")
            if data.read(name, 4) != b"PAR1":
                report.need("dataset", location, "this is not a parquet file", "Generate it again.")
            elif twin := public.get(_digest(data, name)):
                known = True
                message = f"the same file is offered to participants as {twin}"
                practice("public-dataset", location, message, PRIVATE_DATASET)
        for location in _recorded_seeds(data):
            known = True
            message = "whoever knows the seed can make the test events again and look up labels"
            practice("dataset-seed", location, message, PRIVATE_DATASET)
        if offered is not None and offered.value is True and not known:
            location = Location.of(COMPETITION_FILE, offered)
            message = "participants could download the private dataset"
            report.need("input-data-offered", location, message, "Write false.")


def check_keys(document: Item, tree: Tree, report: Findings) -> None:
    """Check that the key that signs results lies with both programs' data, and nowhere else."""
    belongs = set()
    for task in entries(document, "tasks"):
        keys = {}
        for role in KEY_PLACES:
            data = dataset_tree(task.value.get(role), tree)
            if data is not None and KEY_FILE in data:
                keys[role] = data.read(KEY_FILE)
                belongs.add(f"{data.prefix}{KEY_FILE}")
        offered = document.value.get("make_input_data_available")
        if len(set(keys.values())) > 1 or len(keys) == 1:
            message = "ingestion and scoring have not the same key: every result would be refused"
            location = Location.of(COMPETITION_FILE, task.value[next(iter(keys))])
            report.need(
                "seal-key", location, message, "Build the bundle with `higgsml bundle build`."
            )
        elif keys and offered is not None and offered.value is True:
            message = "participants could download the key that signs results"
            report.need("seal-key", Location.of(COMPETITION_FILE, offered), message, "Write false.")
    for part in _with_inner_zips(tree):
        for name in part.files:
            where = f"{part.prefix}{name}"
            if PurePosixPath(name).name == KEY_FILE and where not in belongs:
                message = "the key that signs results belongs to input and reference data alone"
                report.need("seal-key", Location(where), message, "Remove it, and build again.")


def _public_files(document: Item, tree: Tree) -> Iterator[tuple[str, str]]:
    """Yield digest and name of every table that participants can download."""
    for phase in entries(document, "phases"):
        for key in ("public_data", "starting_kit"):
            offered = dataset_tree(phase.value.get(key), tree)
            for name in offered.files if offered is not None else ():
                if offered is not None and name.endswith(".parquet"):
                    yield _digest(offered, name), f"{offered.prefix}{name}"


def _recorded_seeds(data: Tree) -> Iterator[Location]:
    for name in data.files:
        if name.endswith(".json"):
            text, content = _json(data, name)
            if isinstance(content, dict) and content.get("seed") is not None:
                line = _line_of(text, "seed")
                yield Location(f"{data.prefix}{name}", line, "seed", str(content["seed"]))


def _check_git(tree: Tree, report: Findings) -> None:
    """Report each folder of version control once, however many files it has."""
    folders = {
        name[: name.index(".git/") + 4] for name in tree.files if ".git" in name.split("/")[:-1]
    }
    folders |= {name for name in tree.files if name.split("/")[-1] == ".git"}
    for name in sorted(folders):
        message = "the history may hold keys and earlier data, and whoever joins can download it"
        report.fault("secret-file", Location(f"{tree.prefix}{name}"), message, "Leave it out.")


def _check_file(name: str, tree: Tree, report: Findings) -> None:
    location, path, entry = Location(f"{tree.prefix}{name}"), PurePosixPath(name), tree.files[name]
    if entry.is_link:
        message = "this is a symbolic link, which becomes a broken file or leaks another one"
        report.fault("link", location, message, "Put the file itself there.")
        return
    if _KEY_FILES.fullmatch(path.name):
        message = "files like this hold keys or passwords, and whoever joins can download it"
        report.fault("secret-file", location, message, "Remove it, and replace what was in it.")
        return
    if is_junk(name):
        report.advise(
            "leftover", location, "this is a leftover of a system or an editor", "Remove it."
        )
        return
    if path.suffix not in _TEXT_SUFFIXES or entry.size > _MAX_TEXT:
        return
    content = tree.read(name)
    if _PRIVATE_KEY.search(content):
        line = content[: _PRIVATE_KEY.search(content).start()].count(b"\n") + 1  # type: ignore[union-attr]
        where = Location(location.file, line)
        report.fault("secret-file", where, "there is a private key in it", "Remove and replace it.")
    if path.suffix == ".json":
        _check_json(name, tree, report)


def _check_json(name: str, tree: Tree, report: Findings) -> None:
    text, content = _json(tree, name)
    if not isinstance(content, dict):
        return
    for key in _TRUTH_KEYS:
        if key in content:
            location = Location(f"{tree.prefix}{name}", _line_of(text, key), key, str(content[key]))
            message = "this is the truth of pseudo-experiments, which is drawn afresh for each run"
            report.need(
                "truth", location, message, "Remove it; scoring needs no truth from a bundle."
            )
    in_settings = "num_of_sets" in content
    for key in ("seed", "random_seed", "entropy"):
        if in_settings and content.get(key) is not None:
            location = Location(f"{tree.prefix}{name}", _line_of(text, key), key, str(content[key]))
            message = "with a known seed anyone can compute the truth in advance"
            report.need("seed", location, message, "Remove it.")


def _with_inner_zips(tree: Tree) -> Iterator[Tree]:
    yield tree
    for name in tree.files:
        if name.endswith(".zip"):
            inside = dataset_tree(Item(name, 1, ""), tree)
            if inside is not None:
                yield inside


def _json(tree: Tree, name: str) -> tuple[str, Any]:
    text = tree.read(name).decode("utf-8", "replace")
    try:
        return text, json.loads(text)
    except (ValueError, RecursionError):
        return text, None


def _digest(tree: Tree, name: str) -> str:
    with tree.files[name].open() as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _line_of(text: str, key: str) -> int | None:
    for number, line in enumerate(text.splitlines(), start=1):
        if f'"{key}"' in line:
            return number
    return None
