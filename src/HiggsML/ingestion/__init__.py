"""Ingestion: fit a submission once, have it measure every pseudo-experiment, write its answers.

:func:`run_ingestion` is the judged form: the submission runs in a process of its own. The class
:class:`Ingestion` keeps the interface of the reference implementation for work at home; there the
Model runs in the caller's process.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import HiggsML.installation  # noqa: F401 (first: it refuses a mixture of two packages)

# isort: split
from HiggsML.ingestion.options import IngestionOptions

if TYPE_CHECKING:
    from HiggsML.ingestion.drop_in import DEFAULT_INGESTION_SEED, Ingestion
    from HiggsML.ingestion.run import run_ingestion

__all__ = ["DEFAULT_INGESTION_SEED", "Ingestion", "IngestionOptions", "run_ingestion"]

_MODULES = {
    "DEFAULT_INGESTION_SEED": "drop_in",
    "Ingestion": "drop_in",
    "run_ingestion": "run",
}


def __getattr__(name: str) -> Any:
    """Import what runs something when it is asked for: the options alone take no time."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
