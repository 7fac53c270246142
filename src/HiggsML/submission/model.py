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
from pathlib import Path
from typing import Any

import numpy as np

from HiggsML.errors import PredictionError, SubmissionError
from HiggsML.results import ANSWER_LIMIT, Answer
from HiggsML.submission.layout import BUNDLE_NAMES

__all__ = [
    "check_prediction",
    "load_model_class",
    "make_model",
]

_PLATFORM = Path("/app/program")
"""Where the platform's container has the program."""


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
        hint = f" (it defines {', '.join(classes[:5])}: name it Model)" if classes else ""
        raise SubmissionError(f"{model_file.name} defines no class named Model{hint}")
    absent = [name for name in ("fit", "predict") if not callable(getattr(model, name, None))]
    if absent:
        raise SubmissionError(f"the class Model lacks the method {' and '.join(absent)}")
    return model


def _missing_package(error: ModuleNotFoundError) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else "model.py"
    for frame in reversed(frames):
        if not frame.filename.startswith("<frozen"):
            where = f"{Path(frame.filename).name}, line {frame.lineno}"
            break
    text = f"{where}: there is no module {error.name!r}"
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
        raise SubmissionError(
            f"Model can not be built ({error}): write "
            "'def __init__(self, get_train_set, systematics):'; ingestion passes both by name"
        ) from error
    return model_class(**arguments)


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
            f"{type(answer).__name__}{'; does it end without return?' if answer is None else ''}"
        )
    for key in Answer._fields:
        if key not in answer:
            raise PredictionError(f"predict returned no {key!r}")
    return Answer(*(_finite(answer[key], key) for key in Answer._fields))


def _finite(value: Any, key: str) -> float:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(())[()]
    is_bool = isinstance(value, (bool, np.bool_))
    if is_bool or not isinstance(value, (numbers.Real, np.floating, np.integer)):
        raise PredictionError(f"predict returned {key} as {type(value).__name__}, not a number")
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
