"""A traceback as the participant needs it: their own lines, what they called folded, and a hint."""

from __future__ import annotations

import re
import socket
import sysconfig
import traceback
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any

from HiggsML.schema import DER_COLUMNS, FEATURES, LABEL_COLUMNS, NUISANCES, PRI_COLUMNS

__all__ = ["folded_traceback", "hint"]

_INSTALLED = re.compile(r"(?:site|dist)-packages/([^/.]+)")
_STANDARD = sysconfig.get_paths()["stdlib"]

_TRAINING = (
    "get_train_set() returns one DataFrame: PRI_ columns, weights, labels and detailed_labels. "
    "Only predict's test_set is a dictionary, with data and weights."
)
_TEST = 'predict(test_set) gets test_set["data"] and test_set["weights"]: labels are not known.'
_PRIMARY = 'The features of predict(test_set) are in test_set["data"].'
_DERIVED = (
    "DER_ columns are made by the cuts and shifts: call self.systematics(train_set) first. "
    'test_set["data"] of predict has them.'
)
_CALL_IT = "Is it called? Training events come from get_train_set(), with parentheses."
_OWN_FILES = (
    "A submission sees its own files alone: put the file beside model.py, and open it as "
    "pathlib.Path(__file__).parent / 'name'."
)
_NO_NETWORK = "There is no network during a run: put what is needed beside model.py."
_CLOSE = 0.75  # likeness of a misspelled name
_ABBREVIATIONS = {
    "np": "numpy",
    "pd": "pandas",
    "plt": "matplotlib.pyplot",
    "tf": "tensorflow",
}
_ADVICE: tuple[tuple[type[BaseException], str, str], ...] = (
    (
        TypeError,
        "Model.fit() ",
        "fit(self) gets no arguments: training events come from self.get_train_set().",
    ),
    (
        TypeError,
        "Model.predict() ",
        "Write 'def predict(self, test_set):'; test_set is a dictionary.",
    ),
    (TypeError, "'function' object is not subscriptable", _CALL_IT),
    (ValueError, "not function", _CALL_IT),
    (
        TypeError,
        "systematics() got an unexpected keyword",
        f"Its shifts are {', '.join(NUISANCES)}.",
    ),
    (FileNotFoundError, "", _OWN_FILES),
    (PermissionError, "", _OWN_FILES),
    (
        ImportError,
        "attempted relative import",
        "Files beside model.py are imported by their bare names: 'from helper import x'.",
    ),
    (EOFError, "reading a line", "input() has no terminal here; 'higgsml run --debug' has one."),
    (socket.gaierror, "", _NO_NETWORK),
    (OSError, "name resolution", _NO_NETWORK),
    (ConnectionError, "", _NO_NETWORK),
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
    inside, chain = f"{folder}/", list(_chain(whole))
    if any(frame.filename.startswith(inside) for one in chain for frame in one.stack):
        for one in chain:
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
    if isinstance(error, KeyError) and error.args:
        return _missing_key(error.args[0])
    if isinstance(error, AttributeError):
        return _missing_attribute(error)
    if isinstance(error, NameError) and error.name in _ABBREVIATIONS:
        return (
            f"Write 'import {_ABBREVIATIONS[error.name]} as {error.name}' at the top of the file."
        )
    text = str(error)
    for kind, part, advice in _ADVICE:
        if isinstance(error, kind) and part in text:
            return advice
    return None


def _missing_attribute(error: AttributeError) -> str | None:
    """Name the attribute that a Model has set under a similar name."""
    known = vars(error.obj) if type(error.obj).__name__ == "Model" else {}
    close = get_close_matches(error.name or "", known, 1, _CLOSE)
    return f"Did you mean self.{close[0]}, or is it set in __init__ or fit?" if close else None


def _missing_key(key: Any) -> str | None:
    if key == "data":
        return _TRAINING
    if key in ("labels", "detailed_labels", "settings", "events", "test_set", "features"):
        return _TEST
    if not isinstance(key, str):
        return None
    names = re.findall(r"'(\w+)'", key) or [key]  # of a list: "['PRI_met'] not in index"
    columns = (*FEATURES, *LABEL_COLUMNS)
    for name in names:
        if name not in columns and (close := get_close_matches(name, columns, 1, _CLOSE)):
            return f"Did you mean {close[0]!r}?"
    if any(name in DER_COLUMNS for name in names):
        return _DERIVED
    return _PRIMARY if any(name in PRI_COLUMNS for name in names) else None
