"""The packages of the competition's images, as ``Dockerfile`` pins them, and their modules."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from HiggsML.errors import BundleError
from HiggsML.files import PACKAGE

__all__ = ["COMPETITION_TARGET", "image_modules", "image_packages", "modules_of", "read_packages"]

COMPETITION_TARGET = "frameworks"
"""The stage of ``Dockerfile`` that makes the competition's image."""

_PLACES = (PACKAGE / "codabench" / "Dockerfile", PACKAGE.parents[1] / "Dockerfile")
_STAGE = re.compile(r"FROM\s+(\S+)\s+AS\s+(\S+)", re.IGNORECASE)
_PIN = re.compile(r"(?<![\w.-])([A-Za-z0-9][\w.-]*)==[\w.+!-]+")
_LISTED = re.compile(
    r"\s*([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*(?:==|@|\s+[\w.+!-]+\s*(?:/.*)?$|$)"
)

_MODULES: Mapping[str, tuple[str, ...]] = {
    "absl-py": ("absl",),
    "attrs": ("attr", "attrs"),
    "beautifulsoup4": ("bs4",),
    "faiss-cpu": ("faiss",),
    "fonttools": ("fontTools",),
    "google-pasta": ("pasta",),
    "imbalanced-learn": ("imblearn",),
    "libclang": ("clang",),
    "markdown-it-py": ("markdown_it",),
    "matplotlib": ("matplotlib", "mpl_toolkits", "pylab"),
    "onnxruntime-gpu": ("onnxruntime",),
    "opencv-python": ("cv2",),
    "opencv-python-headless": ("cv2",),
    "pillow": ("PIL",),
    "protobuf": ("google",),
    "python-dateutil": ("dateutil",),
    "pyyaml": ("yaml",),
    "scikit-image": ("skimage",),
    "scikit-learn": ("sklearn",),
    "scikit-optimize": ("skopt",),
    "setuptools": ("setuptools", "pkg_resources"),
    "tensorflow-cpu": ("tensorflow",),
    "tensorflow-gpu": ("tensorflow",),
    "torch": ("torch", "torchgen", "functorch"),
    "umap-learn": ("umap",),
    "xgboost-cpu": ("xgboost",),
}
"""Modules of packages whose name is another one; one that is installed here says it itself."""


@cache
def image_packages(target: str = COMPETITION_TARGET) -> tuple[str, ...]:
    """Return the names of the packages that a stage of ``Dockerfile`` installs.

    Raises
    ------
    BundleError
        If there is no Dockerfile, or no such stage in it.
    """
    path = next((candidate for candidate in _PLACES if candidate.is_file()), None)
    if path is None:
        raise BundleError("there is no Dockerfile that says what the image has: give a list of it")
    stages: dict[str, list[str]] = {}
    stage = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if (start := _STAGE.match(line)) is not None:
            stage = start[2]
            stages[stage] = [*stages.get(start[1], ())]
        elif stage and not line.lstrip().startswith("#"):
            stages[stage] += [name.lower() for name in _PIN.findall(line)]
    if target not in stages:
        raise BundleError(f"{path} has no stage {target}: it has {', '.join(stages)}")
    return tuple(sorted(set(stages[target])))


def image_modules(target: str = COMPETITION_TARGET) -> frozenset[str]:
    """Return what code can import in an image besides the standard library and this library."""
    return modules_of(image_packages(target))


def modules_of(packages: Iterable[str]) -> frozenset[str]:
    """Return the modules of packages, by the names under which they are imported.

    Examples
    --------
    >>> sorted(modules_of(["PyYAML", "scikit_learn", "mplhep-data"]))
    ['mplhep_data', 'sklearn', 'yaml']
    """
    names: set[str] = set()
    for package in packages:
        name = re.sub(r"[-_.]+", "-", package).lower()
        names.update(_MODULES.get(name) or _modules_here(name) or (name.replace("-", "_"),))
    return frozenset(names)


def read_packages(path: Path) -> tuple[str, ...]:
    """Return the packages in a file that ``pip freeze`` or ``pip list`` wrote in an image.

    Raises
    ------
    BundleError
        If it can not be read, or lists nothing.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} can not be read: {error}") from error
    named = (_LISTED.match(line) for line in lines if not line.startswith(("#", "-", "Package ")))
    packages = tuple(match[1] for match in named if match is not None)
    if not packages:
        raise BundleError(f"{path} lists no packages: write it with `pip freeze` in the image")
    return packages


@cache
def _here() -> Mapping[str, tuple[str, ...]]:
    by_distribution: dict[str, list[str]] = {}
    for module, packages in importlib.metadata.packages_distributions().items():
        for package in packages:
            by_distribution.setdefault(re.sub(r"[-_.]+", "-", package).lower(), []).append(module)
    return {package: tuple(modules) for package, modules in by_distribution.items()}


def _modules_here(package: str) -> tuple[str, ...]:
    return _here().get(package, ())
