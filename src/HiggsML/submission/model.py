"""A submission's ``Model``: load it, build it, check what it answers.

This module runs in the submission's own process; the trusted side uses only
:func:`check_prediction`.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import inspect
import math
import numbers
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from HiggsML.errors import PredictionError, SubmissionError
from HiggsML.results import ANSWER_LIMIT, Answer
from HiggsML.submission.layout import BUNDLE_NAMES, shown

__all__ = [
    "answer_of",
    "check_calls",
    "check_prediction",
    "load_model_class",
    "make_model",
]

_PLATFORM = Path("/app/program")
"""Where the platform's container has the program."""

_METHODS = {"fit": "def fit(self):", "predict": "def predict(self, test_set):"}
_WRITE = "return {" + ", ".join(f'"{key}": ...' for key in Answer._fields) + "}"


class _BundleNames(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules that lay beside the bundle's program, by their bare names.

    ``from systematics import postprocess`` in a submission means :mod:`HiggsML.systematics`.
    """

    def find_spec(
        self, fullname: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in BUNDLE_NAMES:
            return None
        return importlib.machinery.ModuleSpec(fullname, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        # A module of its own, which looks everything up: the one of the package stays as it is.
        alias, name = types.ModuleType(spec.name), f"HiggsML.{spec.name}"
        alias.__dict__.update(vars(importlib.import_module(name)) | {"__name__": spec.name})
        return alias

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing: the module is complete."""


def load_model_class(model_file: Path) -> type:
    """Import ``model.py`` and return its class ``Model``; errors of its own code pass through.

    The submission's folder, and the folders in it, go to the *end* of the import path, as in the
    reference implementation: helper modules are imported by bare name, and can not replace
    installed ones by accident.
    """
    folder = model_file.parent
    below = sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))
    )
    sys.path.extend(str(path) for path in (folder, *below))
    if not any(isinstance(finder, _BundleNames) for finder in sys.meta_path):
        sys.meta_path.append(_BundleNames())  # the last: a submission's own modules come first
    importlib.invalidate_caches()
    specification = importlib.util.spec_from_file_location("model", model_file)
    assert specification is not None  # noqa: S101 (for the type checker: it ends in .py)
    assert specification.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(specification)
    sys.modules["model"] = module
    try:
        specification.loader.exec_module(module)
    except SyntaxError as error:
        at_fault = f"{Path(error.filename or '?').name}, line {error.lineno}"
        raise SubmissionError(f"{at_fault}: {type(error).__name__}: {error.msg}") from error
    except ModuleNotFoundError as error:
        raise SubmissionError(_missing_package(error)) from error
    model = getattr(module, "Model", None)
    if not isinstance(model, type):
        classes = sorted(
            name
            for name, value in vars(module).items()
            if isinstance(value, type) and value.__module__ == "model"
        )
        hint = (
            f"it defines {', '.join(classes[:5])}: name it Model"
            if classes
            else "write 'class Model:' with the methods __init__, fit and predict"
        )
        raise SubmissionError(f"{model_file.name} defines no class named Model ({hint})")
    _check_methods(model)
    return model


def _check_methods(model: type) -> None:
    absent = [name for name in _METHODS if not callable(getattr(model, name, None))]
    if not absent:
        return
    message = f"model.py: the class Model lacks the method {' and '.join(absent)}: write " + (
        " and ".join(f"'{_METHODS[name]}'" for name in absent)
    )
    own = [name for name, value in vars(model).items() if callable(value) and name[:1] != "_"]
    other = [name for name in own if name not in _METHODS]
    if other:
        message += f" (it has {', '.join(shown(name) for name in other[:5])})"
    raise SubmissionError(message)


def _missing_package(error: ModuleNotFoundError) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else "model.py"
    for frame in reversed(frames):
        if not frame.filename.startswith("<frozen"):
            where = f"{Path(frame.filename).name}, line {frame.lineno}"
            break
    text = f"{where}: there is no module {error.name!r}"
    name = (error.name or "").split(".")[0]
    if close := get_close_matches(name, _importable(), 1, 0.75):
        text += f" (did you mean {close[0]!r}?)"
    if not _PLATFORM.is_dir():
        return (
            f"{text} here: pip install it for trials at home; `higgsml submission check` says "
            "whether the platform's image has it"
        )
    installed = sorted({distribution.name for distribution in importlib.metadata.distributions()})
    return (
        f"{text}, and nothing can be installed during a run: put the module's files beside "
        f"model.py, or use what the image has: {', '.join(installed)}"
    )


def _importable() -> list[str]:
    """Return the names under which modules that are installed here are imported."""
    return sorted({*importlib.metadata.packages_distributions(), *sys.stdlib_module_names})


def make_model(
    model_class: type,
    get_train_set: Callable[..., Any],
    systematics: Callable[..., Any],
    *,
    model_type: str | None = None,
) -> Any:
    """Build a ``Model``.

    One that asks for ``train_set``, as the first submissions did, gets the training set itself.

    ``model_type``, which one form of the reference implementation passes, is handed over if it is
    given and accepted; a ``Model`` that requires it gets "sample_model".
    """
    if not callable(model_class):
        raise SubmissionError(
            "a Model is built from its class: pass Model itself, not an object of "
            f"{type(model_class).__name__}"
        )
    arguments: dict[str, Any] = {"get_train_set": get_train_set, "systematics": systematics}
    parameters = inspect.signature(model_class).parameters
    if "train_set" in parameters and "get_train_set" not in parameters:
        arguments = {"train_set": get_train_set(), "systematics": systematics}  # before 2024
    accepts_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    if "model_type" in parameters:
        required = parameters["model_type"].default is inspect.Parameter.empty
        if model_type is not None or required:
            arguments["model_type"] = model_type or "sample_model"
    elif accepts_any and model_type is not None:
        arguments["model_type"] = model_type
    try:
        inspect.signature(model_class).bind(**arguments)
    except TypeError as error:
        place = _place(vars(model_class).get("__init__"), "model.py")
        raise SubmissionError(
            f"{place}: Model can not be built ({error}): write "
            "'def __init__(self, get_train_set, systematics):'; ingestion passes both by name"
        ) from error
    return model_class(**arguments)


def check_calls(model: Any) -> None:
    """Check that ``fit`` and ``predict`` of a ``Model`` can be called as a run calls them.

    Raises
    ------
    SubmissionError
        If one takes other arguments; the message names its line and what to write.
    """
    for (name, write), arguments in zip(_METHODS.items(), ((), (None,)), strict=True):
        method = getattr(model, name)
        try:
            inspect.signature(method, follow_wrapped=False).bind(*arguments)
        except ValueError:
            continue  # some that are not written in Python do not tell
        except TypeError as error:
            source = (
                " The training events come from self.get_train_set()."
                if name == "fit"
                else (' test_set is a dictionary: test_set["data"] holds the events.')
            )
            raise SubmissionError(
                f"{_place(method, f'Model.{name}')}: {name} can not be called ({error}): "
                f"write '{write}'.{source}"
            ) from error


def _place(method: Any, otherwise: str) -> str:
    """Return the file and line where a method begins, if it tells them."""
    code = getattr(method, "__code__", None)
    if not isinstance(code, types.CodeType):
        return otherwise
    return f"{Path(code.co_filename).name}, line {code.co_firstlineno}"


def answer_of(model: Any, test_set: Mapping[str, Any]) -> Answer:
    """Have a ``Model`` measure a pseudo-experiment; an answer of no use is told with its place.

    Raises
    ------
    PredictionError
        As :func:`check_prediction`, with the line on which ``predict`` begins.
    """
    answer = model.predict(test_set)
    try:
        return check_prediction(answer)
    except PredictionError as error:
        place = _place(model.predict, "the submission's")
        raise PredictionError(f"{error} (predict: {place})") from None


def check_prediction(answer: Any) -> Answer:
    """Return the four numbers of an answer as floats.

    Parameters
    ----------
    answer : mapping
        What ``Model.predict`` returned. NumPy scalars and arrays of one element are fine; further
        keys are ignored.

    Raises
    ------
    PredictionError
        If a number is missing, is not finite or absurdly large. An interval with p16 > p84 is no
        error: scoring counts its width |p84 - p16|, and that it misses the truth.
    """
    if not isinstance(answer, Mapping):
        raise PredictionError(
            f"predict must return a dict with {', '.join(Answer._fields)}, not "
            f"{type(answer).__name__}{'; does it end without return?' if answer is None else ''}: "
            f"write '{_WRITE}'"
        )
    for key in Answer._fields:
        if key not in answer:
            raise PredictionError(f"predict returned no {key!r}{_instead(answer)}")
    return Answer(*(_finite(answer[key], key) for key in Answer._fields))


def _instead(answer: Mapping[Any, Any]) -> str:
    """Name the keys of an answer that mean nothing, one of which may be a misspelled one."""
    unknown = [key for key in answer if isinstance(key, str) and key not in Answer._fields]
    if not unknown:
        return ""
    return f": its dict has {', '.join(shown(key)[:40] for key in unknown[:6])}; the keys are " + (
        ", ".join(Answer._fields)
    )


def _as_a_number(value: Any, key: str) -> str:
    """Say how one number is made of a value that is none."""
    if value is None:
        return f"{key} was not set"
    if isinstance(value, (list, tuple)) or getattr(value, "shape", None):
        return f"give one number, such as float({key}[0])"
    return f"give {key}.real" if isinstance(value, numbers.Complex) else f"write float({key})"


def _finite(value: Any, key: str) -> float:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(())[()]
    is_bool = isinstance(value, (bool, np.bool_))
    if is_bool or not isinstance(value, (numbers.Real, np.floating, np.integer)):
        raise PredictionError(
            f"predict returned {key} as {type(value).__name__}, not a number: "
            f"{_as_a_number(value, key)}"
        )
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise PredictionError(f"predict returned {key} = {number}: it must be finite")
    if abs(number) > ANSWER_LIMIT:
        raise PredictionError(
            f"predict returned {key} = {number:g}; magnitudes up to {ANSWER_LIMIT:g} are allowed"
        )
    return number
