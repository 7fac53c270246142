"""The trusted side of ``get_train_set``: a dataset's training events, for others to map.

They are converted when they are first asked for: few into memory without a name, many into a file
that is kept. Neither is mapped here, so this process needs no memory for them.
"""

from __future__ import annotations

import os
from typing import IO

from HiggsML.datasets import training_store
from HiggsML.datasets.cached_file import Progress
from HiggsML.datasets.reader import Data
from HiggsML.isolation.wire.shared_memory import sealed_memory

__all__ = ["MAX_EVENTS_IN_MEMORY", "TrainingEvents"]

MAX_EVENTS_IN_MEMORY = 1_000_000
"""Training sets with more events are converted to a file."""


class TrainingEvents:
    """Training events that a submission's process may read, and nothing else.

    Parameters
    ----------
    data : Data
        The dataset.
    progress : callable, optional
        Called with how many of how many steps of a conversion to a file are done.
    """

    def __init__(self, data: Data, progress: Progress | None = None) -> None:
        self._data = data
        self._progress = progress
        self._descriptor = -1

    def descriptor(self) -> int:
        """Return a new descriptor of the events, which can only be read; the caller closes it.

        Raises
        ------
        DataError
            If the dataset can not be read, or there is no room for what is made of it.
        """
        if self._descriptor < 0:
            self._descriptor = self._made()
        own = f"/proc/self/fd/{self._descriptor}"
        if os.path.exists(own):  # noqa: PTH110 (not on macOS)
            # Whoever shares an open file could tell others something by its position.
            return os.open(own, os.O_RDONLY | os.O_CLOEXEC)
        return os.dup(self._descriptor)

    def close(self) -> None:
        """Free what is held here; whoever has a descriptor keeps the events."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _made(self) -> int:
        if self._data.train_size > MAX_EVENTS_IN_MEMORY:
            return training_store.open_cached(self._data, self._progress)

        def write(file: IO[bytes]) -> None:
            training_store.write(self._data, file)

        return sealed_memory(write)
