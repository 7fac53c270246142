"""Whether another package of the same name has been installed over this one.

Importing this module finds out. Every package that a program may import first does so before
anything else, since the other distribution has a file of the same name for most modules.
"""

from __future__ import annotations

from pathlib import Path

from HiggsML.errors import InstallationError

__all__ = ["check_installation"]

# Files of the PyPI package HiggsML where this package has folders, or nothing.
_OF_THE_REFERENCE = (
    *("__version__.py", "datasets.py", "ingestion.py", "systematics.py", "visualization.py"),
)


def check_installation(package: Path = Path(__file__).parent) -> None:
    """Refuse an installation in which two packages have overwritten each other's files.

    Raises
    ------
    InstallationError
        If files of the PyPI package HiggsML lie in this package's folder.
    """
    if any((package / name).is_file() for name in _OF_THE_REFERENCE):
        raise InstallationError(
            f"{package} holds files of two packages, HiggsML (PyPI) and higgsml-uncertainty, which "
            "have overwritten each other: remove both (python -m pip uninstall -y HiggsML "
            "higgsml-uncertainty), delete the folder if it is still there, and install one of them"
        )


check_installation()
