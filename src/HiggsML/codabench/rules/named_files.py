"""Rules about the files that ``competition.yaml`` names: there, not empty, of the right kind."""

from __future__ import annotations

import difflib
import io
import re
import warnings
from pathlib import PurePosixPath

from PIL import Image, UnidentifiedImageError

from HiggsML.codabench.bundle.tree import Tree
from HiggsML.codabench.rules.document import entries
from HiggsML.codabench.rules.findings import Findings, Place
from HiggsML.codabench.rules.keys import COMPETITION_FILE
from HiggsML.codabench.rules.located_yaml import Item
from HiggsML.errors import BundleError, SubmissionError
from HiggsML.submission.archive import read_zip
from HiggsML.submission.layout import Layout

__all__ = ["DATASET_KEYS", "check_files", "check_solution", "dataset_tree"]

DATASET_KEYS = {
    "tasks": ("ingestion_program", "scoring_program", "input_data", "reference_data"),
    "solutions": ("path",),
    "phases": ("public_data", "starting_kit"),
}
"""Where ``competition.yaml`` names a directory or a zip, by list."""

_IMAGE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_MAX_ASPECT = 4.0
"""The platform's thumbnails fail at extreme shapes; this is well on the safe side."""
_MIN_SIDE, _MAX_IMAGE_BYTES = 64, 5 << 20
_MAX_PAGE_BYTES = 1 << 20
_RELATIVE_LINK = re.compile(
    r"""!?\[[^\]]*\]\((?!https?:|mailto:|data:|\#|/)([^)\s]+)|(?:src|href)=["'](?!https?:|data:|mailto:|\#|/)([^"']+)"""
)


def check_files(document: Item, tree: Tree, report: Findings) -> None:
    """Check every file, directory and zip that the document names."""
    image = document.value.get("image")
    if image is not None and _check_file(image, tree, report):
        _check_image(image, tree, report)
    for item in [document.value.get("terms"), *_page_files(document)]:
        if item is not None and _check_file(item, tree, report):
            _check_page(item, tree, report)
    for section, names in DATASET_KEYS.items():
        for entry in entries(document, section):
            for name in names:
                item = entry.value.get(name)
                if item is not None and isinstance(item.value, str) and item.value.strip():
                    _check_dataset(item, tree, report)
    for solution in entries(document, "solutions"):
        check_solution(solution, tree, report)


def dataset_tree(item: Item | None, tree: Tree) -> Tree | None:
    """Return what a path names, or None if it is not there or can not be read."""
    if item is None or not isinstance(item.value, str) or _wrong_path(item.value):
        return None
    name = item.value.rstrip("/")
    if name not in tree and not tree.is_directory(name):
        return None
    try:
        inside = tree.below(name)
    except BundleError:
        return None
    return None if inside.problems else inside


def _page_files(document: Item) -> list[Item | None]:
    return [page.value.get("file") for page in entries(document, "pages")]


def _wrong_path(path: str) -> str | None:
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:", path):
        return "this path is not relative to the bundle"
    if ".." in PurePosixPath(path).parts:
        return "this path leads out of the bundle"
    return "paths are written with `/`" if "\\" in path else None


def _check_path(item: Item, report: Findings) -> bool:
    if not isinstance(item.value, str) or not item.value.strip():
        return False  # reported by its type
    if wrong := _wrong_path(item.value):
        place = Place.of(COMPETITION_FILE, item)
        report.error("path", place, wrong, "Write a path from the root of the bundle.")
        return False
    return True


def _missing(item: Item, tree: Tree, what: str, report: Findings) -> None:
    folders = {f"{parent}/" for name in tree.files for parent in PurePosixPath(name).parents}
    close = difflib.get_close_matches(item.value, [*tree.files, *folders], n=1, cutoff=0.75)
    remedy = f"Did you mean `{close[0]}`?" if close else f"Add the {what}, or correct the path."
    place = Place.of(COMPETITION_FILE, item)
    report.error("missing-file", place, f"the bundle has no such {what}", remedy)


def _check_file(item: Item, tree: Tree, report: Findings) -> bool:
    """Return whether a named file is there and holds something."""
    if not _check_path(item, report):
        return False
    if item.value not in tree:
        _missing(item, tree, "file", report)
        return False
    if tree.files[item.value].is_link:
        return False  # reported with all links
    if not tree.read(item.value).strip():
        place = Place.of(COMPETITION_FILE, item)
        report.error("empty-file", place, "the file is empty", "Write its content.")
        return False
    return True


def _check_image(item: Item, tree: Tree, report: Findings) -> None:
    place = Place.of(COMPETITION_FILE, item)
    expected = _IMAGE_FORMATS.get(PurePosixPath(item.value).suffix.lower())
    if expected is None:
        message = "the platform takes png and jpg images only"
        report.error("image-type", place, message, "Convert it to png.")
        return
    content = tree.read(item.value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as image:
                found, (width, height) = image.format, image.size
                image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        message = f"the image can not be read: {str(error)[:80]}"
        report.error("image-content", place, message, "Save it again as png.")
        return
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        report.error("image-shape", place, "the image is huge", "Use about 512 x 512 pixels.")
        return
    if found != expected:
        message = f"the file's ending says {expected}, its content is {found}"
        report.error("image-type", place, message, "Give the file the right ending.")
    if max(width, height) > _MAX_ASPECT * min(width, height):
        message = f"{width} x {height} pixels are too elongated: the upload would fail"
        report.error("image-shape", place, message, "Use a square image of about 512 x 512 pixels.")
    elif min(width, height) < _MIN_SIDE:
        message = f"{width} x {height} pixels are few for a logo"
        report.warning("image-shape", place, message, "Use about 512 x 512 pixels.")
    if len(content) > _MAX_IMAGE_BYTES:
        message = f"{len(content) / 1e6:.0f} MB are much for a logo"
        report.warning("size", place, message, "Make it smaller.")


def _check_page(item: Item, tree: Tree, report: Findings) -> None:
    place = Place.of(COMPETITION_FILE, item)
    content = tree.read(item.value)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        report.error(
            "encoding",
            Place(item.value, line, "", content[error.start : error.start + 1].hex()),
            "the file is not UTF-8 text",
            "Save it as UTF-8.",
        )
        return
    if PurePosixPath(item.value).suffix.lower() not in (".md", ".html", ".htm"):
        report.warning("page-type", place, "pages are Markdown or HTML", "Name it with .md.")
    if len(content) > _MAX_PAGE_BYTES:
        message = f"{len(content) / 1e6:.1f} MB are much for a page"
        report.warning("size", place, message, "Move images out of it.")
    for number, written in enumerate(text.splitlines(), start=1):
        for match in _RELATIVE_LINK.finditer(written):
            target = match.group(1) or match.group(2)
            report.error(
                "relative-link",
                Place(item.value, number, "", target),
                "the platform shows this page alone, so a relative link leads nowhere",
                "Link to a full address, or name the page in words.",
            )


def _check_dataset(item: Item, tree: Tree, report: Findings) -> None:
    """Check a directory (with a trailing slash) or a zip."""
    if not _check_path(item, report):
        return
    place, name = Place.of(COMPETITION_FILE, item), item.value.rstrip("/")
    if name in tree:
        if item.value.endswith("/"):
            report.error("path", place, "this is a file", "Remove the slash.")
        elif not name.endswith(".zip"):
            report.error("path", place, "this is neither a directory nor a zip", "Name a zip.")
        else:
            _check_inner_zip(item, tree, report)
    elif not tree.is_directory(name):
        _missing(item, tree, "directory or zip", report)
    elif not item.value.endswith("/"):
        message = "a directory is written with a slash at the end"
        report.error("trailing-slash", place, message, f"Write `{name}/`.")
    elif not any(entry.size for entry in tree.below(name).files.values()):
        report.error("empty-file", place, "all files in it are empty", "Fill the directory.")


def _check_inner_zip(item: Item, tree: Tree, report: Findings) -> None:
    place = Place.of(COMPETITION_FILE, item)
    try:
        inside = tree.below(item.value)
    except BundleError as error:
        report.error("zip", place, str(error), "Pack it again.")
        return
    for name, problem in inside.problems:
        report.error("zip", Place(item.value, None, "", name), f"an entry {problem}", "Repack it.")
    if not inside.files:
        report.error("empty-file", place, "the zip is empty", "Fill it.")
    elif len({name.split("/")[0] for name in inside.files}) == 1 and "/" in next(
        iter(inside.files)
    ):
        message = "the zip holds one folder, and what is in it would stay nested"
        report.error("zip-folder", place, message, "Zip the content of the folder instead.")


def check_solution(solution: Item, tree: Tree, report: Findings) -> None:
    """Check that a solution is a submission that a run accepts."""
    item = solution.value.get("path")
    if item is None or not isinstance(item.value, str):
        return
    try:
        if item.value in tree:
            prefix, layout = f"{item.value}/", read_zip(io.BytesIO(tree.read(item.value)))
        elif (files := dataset_tree(item, tree)) is not None:
            prefix, layout = files.prefix, Layout.of(files.files)
        else:
            return  # reported as missing
    except SubmissionError as error:
        report.error("solution", Place.of(COMPETITION_FILE, item), str(error), "Pack it again.")
        return
    for problem in layout.problems:
        place = Place(f"{prefix}{problem.name}")
        report.error("solution", place, problem.message, problem.remedy)
