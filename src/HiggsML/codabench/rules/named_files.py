"""Rules about the files that ``competition.yaml`` names: there, not empty, of the right kind."""

from __future__ import annotations

import difflib
import io
import re
import warnings
from pathlib import PurePosixPath

from PIL import Image, UnidentifiedImageError

from HiggsML.codabench.bundle.settings import PAGE_MARK
from HiggsML.codabench.bundle.tree import Tree
from HiggsML.codabench.rules.document import entries
from HiggsML.codabench.rules.findings import Findings, Location
from HiggsML.codabench.rules.keys import COMPETITION_FILE, is_key
from HiggsML.codabench.rules.located_yaml import Item
from HiggsML.codabench.rules.old_format import is_old
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

_IMAGE_FORMATS = {"PNG": "png", "JPEG": "jpg", "MPO": "jpg", "GIF": "gif", "WEBP": "webp"}
_IMAGE_ENDINGS = (".png", ".jpg", ".jpeg")
_ICON_WIDTH = 100
"""Pixels of the small image that the platform makes of the logo, keeping its proportions."""
_GOOD_LOGO = "Use a square image of about 512 x 512 pixels."
_MAX_ASPECT = 4.0
_MAX_ICON_PIXELS = 100_000_000
_MIN_SIDE, _MAX_IMAGE_BYTES = 64, 5 << 20
_MAX_PAGE_BYTES = 1 << 20
_RELATIVE_LINK = re.compile(
    r"""!?\[[^\]]*\]\((?!https?:|mailto:|data:|\#|/)([^)\s]+)|(?:src|href)=["'](?!https?:|data:|mailto:|\#|/)([^"']+)"""
)


def check_files(document: Item, tree: Tree, report: Findings) -> None:
    """Check every file, directory and zip that the document names."""
    image = document.value.get("image")
    content = None if image is None else _content(image, tree, report)
    if image is not None and content is not None:
        _check_image(image, content, report)
    may_be_empty = is_old(document)
    for item in [document.value.get("terms"), *_page_files(document)]:
        content = None if item is None else _content(item, tree, report, empty=may_be_empty)
        if item is not None and content is not None:
            _check_page(item, content, report)
    for section, names in DATASET_KEYS.items():
        for entry in entries(document, section):
            if "key" in entry.value:
                continue  # on the platform already
            for name in names:
                item = entry.value.get(name)
                if item is not None and isinstance(item.value, str):
                    _check_dataset(item, tree, report)
    for solution in entries(document, "solutions"):
        if "key" not in solution.value:
            check_solution(solution, tree, report)


def dataset_tree(item: Item | None, tree: Tree) -> Tree | None:
    """Return what a path names, or None if it is not there or can not be read."""
    if item is None or not isinstance(item.value, str):
        return None
    name = _place_in_bundle(item.value, tree)
    if not name or (name not in tree and not tree.is_directory(name)):
        return None
    try:
        inside = tree.below(name)
    except BundleError:
        return None
    return None if inside.problems else inside


def _place_in_bundle(path: str, tree: Tree) -> str | None:
    """Return a path as it is in the tree; empty for its root, None if it leads nowhere."""
    if path.startswith("/") or "\x00" in path:
        return None
    location: list[str] = []
    for part in path.split("/"):
        if location and not tree.is_directory("/".join(location)) and part:
            return None  # "file/.." does not lead back
        if part == "..":
            if not location:
                return None
            location.pop()
        elif part not in ("", "."):
            location.append(part)
    return "/".join(location)


def _page_files(document: Item) -> list[Item | None]:
    return [page.value.get("file") for page in entries(document, "pages")]


def _missing(item: Item, tree: Tree, what: str, report: Findings) -> None:
    if item.value.startswith(("/", "~", "..")) or re.match(r"[A-Za-z]:", item.value):
        message, remedy = "this path is not in the bundle", "Write a path from its root."
    elif "\\" in item.value:
        message, remedy = "paths are written with `/`", "Write it so."
    else:
        folders = {f"{parent}/" for name in tree.files for parent in PurePosixPath(name).parents}
        names = [*tree.files, *folders]
        close = difflib.get_close_matches(item.value, names, n=1, cutoff=0.75)
        message = f"the bundle has no such {what}"
        remedy = f"Did you mean `{close[0]}`?" if close else f"Add the {what}, or correct the path."
    report.refuse("missing-file", Location.of(COMPETITION_FILE, item), message, remedy)


def _content(item: Item, tree: Tree, report: Findings, *, empty: bool = False) -> bytes | None:
    """Return what a named file holds, or None if it is not there, which is reported."""
    if not isinstance(item.value, str):
        return None  # reported by its type
    location, name = Location.of(COMPETITION_FILE, item), _place_in_bundle(item.value, tree)
    if name is not None and (not name or tree.is_directory(name)):
        report.refuse("path", location, "this is a directory, not a file", "Name the file.")
        return None
    if name is None or name not in tree or item.value.endswith("/"):
        _missing(item, tree, "file", report)
        return None
    try:
        content = tree.read(name)
    except OSError as error:
        report.refuse(
            "path", location, f"the file can not be read: {error.strerror}", "Replace it."
        )
        return None
    if not content and not empty:
        report.refuse("empty-file", location, "the file is empty", "Write its content.")
        return None
    return content


def _check_image(item: Item, content: bytes, report: Findings) -> None:
    location = Location.of(COMPETITION_FILE, item)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as image:
                image_type, (width, height) = str(image.format), image.size
                if image_type in _IMAGE_FORMATS and b"acTL" not in content[:100]:
                    _check_icon(image, location, report)
                else:
                    message = "the platform takes png, jpg, gif and webp images only"
                    report.refuse("image-type", location, message, "Convert it to png.")
                    return
    except Image.DecompressionBombError:
        report.refuse("image-shape", location, "the image is huge", _GOOD_LOGO)
        return
    except UnidentifiedImageError:
        message = "the platform takes png and jpg images only, and this is none"
        report.refuse("image-type", location, message, "Convert it to png.")
        return
    except (OSError, SyntaxError, ValueError) as error:
        message = f"the image can not be read: {str(error)[:80]}"
        report.refuse("image-content", location, message, "Save it again as png.")
        return
    _advise_on_image(item, location, image_type, (width, height), len(content), report)


def _check_icon(image: Image.Image, location: Location, report: Findings) -> None:
    """Make the small image that the platform makes, which fails with some shapes and modes."""
    height = int(_ICON_WIDTH / image.width * image.height)
    if not 0 < _ICON_WIDTH * height <= _MAX_ICON_PIXELS:
        message = f"{image.width} x {image.height} pixels are too elongated: the upload would fail"
        report.refuse("image-shape", location, message, _GOOD_LOGO)
        return
    image.resize((_ICON_WIDTH, height)).save(io.BytesIO(), format="PNG")


def _advise_on_image(
    item: Item,
    location: Location,
    image_type: str,
    size: tuple[int, int],
    bytes_: int,
    report: Findings,
) -> None:
    width, height = size
    suffix = PurePosixPath(item.value).suffix.lower()
    wanted = ".jpg" if suffix == ".jpeg" else suffix
    if suffix not in _IMAGE_ENDINGS or wanted != f".{_IMAGE_FORMATS[image_type]}":
        message = f"the file's content is {image_type}, its ending says something else"
        report.advise("image-type", location, message, "Give the file the right ending.")
    if max(width, height) > _MAX_ASPECT * min(width, height):
        message = f"{width} x {height} pixels are elongated: little of it will be seen"
        report.advise("image-shape", location, message, _GOOD_LOGO)
    elif min(width, height) < _MIN_SIDE:
        message = f"{width} x {height} pixels are few for a logo"
        report.advise("image-shape", location, message, _GOOD_LOGO)
    if bytes_ > _MAX_IMAGE_BYTES:
        message = f"{bytes_ / 1e6:.0f} MB are much for a logo"
        report.advise("size", location, message, "Make it smaller.")


def _check_page(item: Item, content: bytes, report: Findings) -> None:
    location = Location.of(COMPETITION_FILE, item)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        report.refuse(
            "encoding",
            Location(item.value, line, "", content[error.start : error.start + 1].hex()),
            "the file is not UTF-8 text",
            "Save it as UTF-8.",
        )
        return
    if "\x00" in text:
        message = "there is a NUL character in it, which can not be stored"
        report.refuse("text", Location(item.value), message, "Save it as plain text.")
    elif not text.strip():
        report.advise("empty-file", location, "the file holds blanks only", "Write its content.")
    if PurePosixPath(item.value).suffix.lower() not in (".md", ".html", ".htm"):
        report.advise("page-type", location, "pages are Markdown or HTML", "Name it with .md.")
    if len(content) > _MAX_PAGE_BYTES:
        message = f"{len(content) / 1e6:.1f} MB are much for a page"
        report.advise("size", location, message, "Move images out of it.")
    if mark := PAGE_MARK.search(text):
        where = Location(item.value, text[: mark.start()].count("\n") + 1, "", mark[0])
        message = "there is no setting of this name in competition.yaml"
        report.need("page-mark", where, message, "Correct the name, or write the value alone.")
    for number, written in enumerate(text.splitlines(), start=1):
        for match in _RELATIVE_LINK.finditer(written):
            target = match.group(1) or match.group(2)
            report.advise(
                "relative-link",
                Location(item.value, number, "", target),
                "the platform shows this page alone, so a relative link leads nowhere",
                "Link to a full address, or name the page in words.",
            )


def _check_dataset(item: Item, tree: Tree, report: Findings) -> None:
    """Check a directory (with a trailing slash) or a zip."""
    location, name = Location.of(COMPETITION_FILE, item), _place_in_bundle(item.value, tree)
    if name == "":
        message = "this is the bundle itself, which would be stored whole"
        report.fault("path", location, message, "Name a directory or a zip in it.")
    elif name is not None and name in tree and not item.value.endswith("/"):
        if not name.endswith(".zip"):
            message = "this is neither a directory nor a zip: the worker can not unpack it"
            report.fault("path", location, message, "Name a zip.")
        else:
            _check_inner_zip(item, name, tree, report)
    elif name is not None and tree.is_directory(name):
        if not item.value.endswith("/"):
            message = "a directory is written with a slash at the end"
            report.advise("trailing-slash", location, message, f"Write `{name}/`.")
        if not any(entry.size for entry in tree.below(name).files.values()):
            report.fault("empty-file", location, "all files in it are empty", "Fill the directory.")
    elif is_key(item.value):
        message = "the data of this key has to be on the platform"
        report.advise("stored-key", location, message, "Look there.")
    elif name is not None and name in tree:
        report.refuse("path", location, "this is a file", "Remove the slash.")
    else:
        _missing(item, tree, "directory or zip", report)


def _check_inner_zip(item: Item, name: str, tree: Tree, report: Findings) -> None:
    location = Location.of(COMPETITION_FILE, item)
    try:
        inside = tree.below(name)
    except BundleError as error:
        report.fault("zip", location, str(error), "Pack it again.")
        return
    for entry, problem in inside.problems:
        report.fault(
            "zip", Location(item.value, None, "", entry), f"an entry {problem}", "Repack it."
        )
    if not inside.files:
        report.fault("empty-file", location, "the zip is empty", "Fill it.")
    elif len({name.split("/")[0] for name in inside.files}) == 1 and "/" in next(
        iter(inside.files)
    ):
        message = "the zip holds one folder, and what is in it would stay nested"
        report.fault("zip-folder", location, message, "Zip the content of the folder instead.")


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
        report.need("solution", Location.of(COMPETITION_FILE, item), str(error), "Pack it again.")
        return
    for problem in layout.problems:
        location = Location(f"{prefix}{problem.name}")
        report.need("solution", location, problem.message, problem.remedy)
