"""Let joblib's own workers ("loky") do without psutil, whose questions the restrictions refuse.

Where psutil is installed, each of them asks it how much memory it uses, to restart itself if that
grows without end. psutil looks in ``/proc/<its number>``; of all of ``/proc``, only the entries of
the submission's first process are open (those of others hold command lines, a seed's included), and
the worker would end. joblib has another way for where psutil is absent, which this chooses. Memory
is watched from outside.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

__all__ = ["do_without_psutil"]

_LOKY = "joblib.externals.loky"


def do_without_psutil() -> None:
    """Prepare joblib in this process, for it and for the workers that it will start."""
    if all(importlib.util.find_spec(name) for name in ("joblib", "psutil")):
        utils: Any = importlib.import_module(f"{_LOKY}.backend.utils")
        executor: Any = importlib.import_module(f"{_LOKY}.process_executor")
        utils.psutil = None
        executor._process_worker = _work


def _work(*arguments: Any) -> None:
    """Do what a worker of joblib does."""
    executor: Any = importlib.import_module(f"{_LOKY}.process_executor")
    executor._USE_PSUTIL = False
    executor._process_worker(*arguments)


# So joblib sends the function itself to its workers, which need not find this package.
_work.__module__ = "__main__"
