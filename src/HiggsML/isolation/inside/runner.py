"""The restricted half of the submission's process: it loads the Model and answers requests.

Nothing here is trusted: the submission's code shares this process.
"""

from __future__ import annotations

import contextlib
import faulthandler
import math
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from HiggsML.datasets.reader import split_size, training_rows, whole_numbers
from HiggsML.datasets.training_store import OF_LIBRARIES, TrainingColumns, advice
from HiggsML.errors import SettingsError, SubmissionError
from HiggsML.files import PACKAGE
from HiggsML.isolation.inside.generators import held_generators, seed_generators
from HiggsML.isolation.inside.participant_traceback import folded_traceback, hint
from HiggsML.isolation.inside.refusals import advise, explanation
from HiggsML.isolation.wire.channel import Channel, ChannelClosedError
from HiggsML.isolation.wire.shared_memory import map_block
from HiggsML.pseudo_experiments.store import features_frame, unit_weights
from HiggsML.submission.model import answer_of, check_calls, load_model_class, make_model
from HiggsML.systematics import DEFAULT_SEED, systematics
from HiggsML.systematics.arguments import random_generator

__all__ = ["get_train_set", "serve"]

_Answer = tuple[dict[str, Any], bytes]
_channel: Channel | None = None
_request = 0  # number of the request that is being answered
_memory: int | None = None  # budget [bytes]
_one_at_a_time = threading.Lock()
_MAX_SUMMARY = 6000  # characters
_MAX_TRACEBACK = 15_000  # characters; one may take twelve bytes in a frame


def get_train_set(
    train_size: Any = None, selected_indices: Any = None, *, seed: int | None = None
) -> pd.DataFrame:
    """Return training events; see :meth:`HiggsML.datasets.reader.Data.load_train_set`.

    The trusted process opens the events for this one, which has no access to the file otherwise.
    All of them are mapped, not read: only what is written to, or copied, takes memory.
    """
    plain = train_size is None or type(train_size) in (int, float)
    if isinstance(train_size, (np.floating, np.integer)):
        train_size, plain = train_size.item(), True
    if not plain or (isinstance(train_size, float) and not math.isfinite(train_size)):
        raise SettingsError(f"train_size must be a share or a count, not {train_size!r}")
    with closing(_training_columns()) as columns:
        # Without a seed of its own a submission gets the same rows in every run.
        generator = random_generator(DEFAULT_SEED if seed is None or seed < 0 else int(seed))
        count = None
        if train_size is not None:
            count = split_size(train_size, columns.n_rows, "train_size")
            if count == columns.n_rows:
                if train_size > count:  # nothing is logged in this process
                    told = f"train_size of {train_size} rows asked for; all {count} are used\n"
                    sys.stderr.write(told)
                count = train_size = selected_indices = None
        elif selected_indices is not None:
            selected_indices = whole_numbers(selected_indices)
            count = selected_indices.size
            if count > columns.n_rows:
                raise SettingsError(
                    f"selected_indices: at most {columns.n_rows} rows can be asked for"
                )
        if _memory is not None:
            columns.check_room(count, _memory)
            advise(advice(columns.n_rows, _memory - OF_LIBRARIES))
        rows = training_rows(columns.n_rows, train_size, selected_indices, generator)
        return columns.frame(rows)


def _training_columns() -> TrainingColumns:
    """Ask the trusted process for the training events."""
    assert _channel is not None  # noqa: S101 (set before any submission code runs)
    with _one_at_a_time:
        _channel.send({"kind": "train_set", "request": _request})
        reply, _, descriptors = _channel.receive(with_descriptors=True)
    if reply["kind"] == "refused":
        raise SettingsError(reply["reason"])
    return TrainingColumns(descriptors[0])


class _Runner:
    """Handles requests; one method per kind."""

    def __init__(self, model_file: Path) -> None:
        self._model_file = model_file
        self._model: Any = None
        self._generators: list[Any] = []
        self._loaded: type | None = None
        self._files_at_start = _stamps(model_file.parent)

    def _load(self) -> type:
        """Return the class Model: what was loaded in advance, once; else load it afresh."""
        loaded, self._loaded = self._loaded, None
        return load_model_class(self._model_file) if loaded is None else loaded

    def fit(self, message: dict[str, Any], payload: bytes, descriptors: list[int]) -> _Answer:
        global _memory
        _memory = message["memory"]
        self._model = make_model(self._load(), get_train_set, systematics)
        check_calls(self._model)
        self._model.fit()
        self._generators = held_generators(self._model, self._model_file.parent)
        return {"kind": "fitted"}, b""

    def state(self, message: dict[str, Any], payload: bytes, descriptors: list[int]) -> _Answer:
        try:
            state = pickle.dumps((pickle.dumps(self._model, protocol=5), self._saved()), protocol=5)
        except Exception as error:  # whatever a participant's __reduce__ raises
            reason = "".join(traceback.format_exception_only(error)).strip()
            return {"kind": "no_state", "reason": reason[:500]}, b""
        if len(state) > message["limit"]:
            reason = f"it has {len(state)} bytes pickled, more than the {message['limit']} allowed"
            return {"kind": "no_state", "reason": reason}, b""
        return {"kind": "state"}, state

    def preload(self, message: dict[str, Any], payload: bytes, descriptors: list[int]) -> _Answer:
        seed_generators(message["seed"], ())
        self._loaded = self._load()
        return {"kind": "preloaded"}, b""

    def restore(self, message: dict[str, Any], payload: bytes, descriptors: list[int]) -> _Answer:
        model, files = pickle.loads(payload)  # noqa: S301 (the submission's own, inside its cage)
        folder = self._model_file.parent
        for name, content in files.items():
            path = folder / name
            if not path.is_file() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        self._load()
        self._model = pickle.loads(model)  # noqa: S301
        self._generators = held_generators(self._model, self._model_file.parent)
        return {"kind": "restored"}, b""

    def predict(self, message: dict[str, Any], payload: bytes, descriptors: list[int]) -> _Answer:
        n_events = message["n_events"]
        block = map_block(descriptors[0], n_events)
        os.close(descriptors[0])
        seed_generators(message["seed"], self._generators)
        test_set = {
            "data": features_frame(block),
            "weights": unit_weights(n_events),
        }
        answer = answer_of(self._model, test_set)
        return {"kind": "prediction", **answer._asdict()}, b""

    def _saved(self) -> dict[str, bytes]:
        """Return the files that the submission has written beside its model.py."""
        folder = self._model_file.parent
        return {
            name: (folder / name).read_bytes()
            for name, stamp in _stamps(folder).items()
            if self._files_at_start.get(name) != stamp
        }


def _stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of every file in a folder, by name."""
    return {
        path.relative_to(folder).as_posix(): (status.st_size, status.st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
        for status in (path.stat(),)
    }


def _describe(error: BaseException, model_file: Path) -> dict[str, Any]:
    """Say what went wrong in the participant's terms: their frames, without ours above them."""
    frames = error.__traceback__
    above = (str(PACKAGE), "<frozen importlib")
    while frames is not None and frames.tb_next is not None:
        if not frames.tb_frame.f_code.co_filename.startswith(above):
            break
        frames = frames.tb_next
    if frames is not None and frames.tb_frame.f_code.co_filename.startswith("<frozen"):
        frames = None  # a syntax error: the file that it names was never entered
    text = folded_traceback(error, frames, model_file.parent)
    text = text.replace(str(model_file.parent) + os.sep, "")
    summary_lines = traceback.format_exception_only(error)
    if isinstance(error, SyntaxError):  # the lines before the last one quote the file
        summary_lines = summary_lines[-1:]
    summary = "".join(summary_lines).strip()
    if note := explanation(error):
        text = text.replace(f"{note}\n", "")  # once is enough
        summary = summary if note in summary else f"{summary}\n{note}"
    if advice := hint(error):
        summary = f"{summary.rstrip('.')}. {advice}"
    return {
        "kind": "failed",
        "error": summary[:_MAX_SUMMARY],
        "type": type(error).__name__[:200],
        "ours": isinstance(error, SubmissionError),
        "traceback": text[-_MAX_TRACEBACK:],
    }


def _described(error: BaseException, model_file: Path) -> dict[str, Any]:
    try:
        return _describe(error, model_file)
    except BaseException as second:  # an error that can not be shown, on purpose or not
        text = f"{type(error).__name__}, whose text can not be shown ({type(second).__name__})"
        return {
            "kind": "failed",
            "error": text,
            "type": type(error).__name__[:200],
            "ours": False,
            "traceback": "",
        }


def _no_debugger(*_: object, **__: object) -> None:
    raise RuntimeError(
        "breakpoint() needs a terminal, which this process does not have: use "
        "'higgsml run SUBMISSION --debug', which runs the model in the command's own process"
    )


def serve(channel: Channel, model_file: Path) -> NoReturn:
    """Answer the trusted process until it hangs up."""
    global _channel, _request
    _channel = channel
    runner = _Runner(model_file)
    sys.breakpointhook = _no_debugger
    # Whom the trusted process is about to end for taking too long writes where it is.
    faulthandler.register(signal.SIGUSR1, all_threads=False)
    handlers: dict[str, Callable[..., _Answer]] = {
        "fit": runner.fit,
        "preload": runner.preload,
        "state": runner.state,
        "restore": runner.restore,
        "predict": runner.predict,
    }
    while True:
        try:
            message, payload, descriptors = channel.receive(with_descriptors=True)
        except ChannelClosedError:
            os._exit(0)
        _request = message["request"]
        try:
            answer, data = handlers[message["kind"]](message, payload, descriptors)
        except BaseException as error:  # SystemExit and KeyboardInterrupt of a submission too
            answer, data = _described(error, model_file), b""
        with contextlib.suppress(Exception):  # the submission may have replaced or closed it
            sys.stdout.flush()
        channel.send({**answer, "request": _request}, data)
