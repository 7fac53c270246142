"""A traceback as the participant needs it: their own lines, what they called folded, and a hint."""

from __future__ import annotations

import re
import sysconfig
import traceback
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["folded_traceback", "hint"]

_INSTALLED = re.compile(r"(?:site|dist)-packages/([^/.]+)")
_STANDARD = sysconfig.get_paths()["stdlib"]

_TRAINING = (
    "get_train_set() returns one DataFrame: PRI_ columns, weights, labels and detailed_labels. "
    "Only predict's test_set is a dictionary, with data and weights."
)
_TEST = 'predict(test_set) gets test_set["data"] and test_set["weights"]: labels are not known.'
_DERIVED = (
    "DER_ columns are made by the cuts and shifts: call self.systematics(train_set) first. "
    'test_set["data"] of predict has them.'
)


class _Folded(traceback.StackSummary):
    """Frames outside a folder are formatted as one line for all that follow each other."""

    folder = ""

    def format(self, **keywords: Any) -> list[str]:
        lines: list[str] = []
        for own, group in groupby(self, lambda frame: frame.filename.startswith(self.folder)):
            frames = list(group)
            if own:
                lines += traceback.StackSummary.from_list(frames).format(**keywords)
            else:
                count = "1 frame" if len(frames) == 1 else f"{len(frames)} frames"
                lines.append(f"  ... {count} of {', '.join(_owners(frames))}\n")
        return lines


def _owners(frames: list[traceback.FrameSummary]) -> list[str]:
    """Name the packages that frames belong to, each once."""
    names = []
    for frame in frames:
        installed = _INSTALLED.search(frame.filename)
        if installed:
            names.append(installed[1])
        elif frame.filename.startswith((_STANDARD, "<frozen")):
            names.append("Python")
        else:
            names.append(Path(frame.filename).parent.name or frame.filename)
    return list(dict.fromkeys(names))


def folded_traceback(error: BaseException, frames: TracebackType | None, folder: Path) -> str:
    """Format a traceback that ends on a line in a folder, if it goes through one.

    Parameters
    ----------
    error : BaseException
        Its causes are formatted, too.
    frames : traceback or None
        From where on.
    folder : Path
        Files below it are shown; of others, one line says how many frames there are.
    """
    whole = traceback.TracebackException(type(error), error, frames)
    for one in _chain(whole):
        inside = f"{folder}/"
        if any(frame.filename.startswith(inside) for frame in one.stack):
            stack = _Folded(one.stack)
            stack.folder = inside
            one.stack = stack
    return "".join(whole.format())


def _chain(first: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    todo = [first]
    while todo:
        one = todo.pop()
        yield one
        todo += [other for other in (one.__cause__, one.__context__) if other is not None]


def hint(error: BaseException) -> str | None:
    """Return what to write instead, for the mistakes that are made most; None for others."""
    text = str(error)
    if isinstance(error, KeyError) and error.args:
        key = error.args[0]
        if key == "data":
            return _TRAINING
        if key in ("labels", "detailed_labels", "settings", "events", "test_set", "features"):
            return _TEST
        if isinstance(key, str) and (key.startswith("DER_") or "'DER_" in key):
            return _DERIVED
    if isinstance(error, TypeError):
        if "Model.fit() " in text:
            return "fit(self) gets no arguments: training events come from self.get_train_set()."
        if "Model.predict() " in text:
            return "Write 'def predict(self, test_set):'; test_set is a dictionary."
    return None
