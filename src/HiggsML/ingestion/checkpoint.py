"""Finished pseudo-experiments, kept as they come, so that an interrupted run can go on.

The file is text, one record per line: eight hexadecimal digits of CRC-32, a space, a JSON object.
The first record describes the run, each other one holds an answer. Lines are only ever appended,
in one piece each, and forced to disk every second; a process that is killed loses nothing that it
has appended, and a line cut short by a crash of the machine is recognized and dropped.

The first record also holds the seed from which the truth is drawn. The file is therefore its
owner's only, lies outside everything a restricted submission can read, and is removed when the
results have been written. Where a submission could read it, there is none, see
:func:`exposed_to_submission`.
"""

from __future__ import annotations

import io
import json
import logging
import os
import stat
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from HiggsML.errors import CheckpointError
from HiggsML.files import forbidden, locked, remedy
from HiggsML.ingestion.identity import differences
from HiggsML.ingestion.workers import Task
from HiggsML.isolation.cage.system_paths import opening
from HiggsML.results import Answer

__all__ = ["Checkpoint", "RunIdentity", "begin", "checkpoint_path", "exposed_to_submission"]

logger = logging.getLogger(__name__)

_FORMAT = 2
_SYNC_INTERVAL = 1.0  # s
_CRC_DIGITS = 8


@dataclass(frozen=True)
class RunIdentity:
    """What must be the same for answers of two runs to be mixed, see :mod:`.identity`."""

    settings: Mapping[str, Any]
    data: Mapping[str, str]
    submission: Mapping[str, str]
    software: Mapping[str, str]

    def differences(self, before: RunIdentity) -> list[str]:
        """Return a phrase for each entry in which an earlier run differs."""
        names = {
            "settings": "settings",
            "data": "dataset",
            "submission": "files of the submission",
            "software": "software",
        }
        return [
            phrase
            for field, name in names.items()
            for phrase in differences(name, getattr(self, field), getattr(before, field))
        ]


def checkpoint_path(output: Path) -> Path:
    """Return where the checkpoint of a run with this output directory lies: hidden, beside it."""
    directory = output.absolute()
    return directory.with_name(f".{directory.name}.checkpoint.jsonl")


def begin(path: Path, identity: RunIdentity, seed: int, *, resume: bool) -> Checkpoint:
    """Return the state of a run: that of an interrupted one to go on with, or a fresh one.

    Raises
    ------
    CheckpointError
        If there is something to resume, and it can not be used.
    """
    if resume and path.exists():
        checkpoint = Checkpoint.resume(path, identity)
        logger.info(
            "%d finished pseudo-experiments are taken from %s", len(checkpoint.answers), path
        )
        return checkpoint
    if resume:
        logger.warning("there is no checkpoint %s: the run starts from the beginning", path)
    elif path.exists():
        logger.warning(
            "an interrupted run has left its finished pseudo-experiments in %s; this run starts "
            "over and replaces them once the model is fitted: to go on with them instead, stop it "
            "now and add --resume",
            path,
        )
    return Checkpoint(identity, seed, path)


def exposed_to_submission(
    path: Path, submission: Path, protections: Mapping[str, str]
) -> str | None:
    """Return why a submission could read a file, or None if it can not.

    Parameters
    ----------
    path : Path
        The file, whether or not it exists.
    submission : Path
        The submission's folder.
    protections : mapping of str to str
        Those of its sandbox.
    """
    if (state := protections.get("landlock-files", "isolation is off")) != "on":
        return f"the submission's access to files is not restricted ({state})"
    where = opening(path.parent, submission)
    return None if where is None else f"the submission can read {where}"


class Checkpoint:
    """The answers of a run so far, in memory and, if there is a path, on disk.

    As a context manager it says, when an error ends the run, how to go on.

    Parameters
    ----------
    identity : RunIdentity
        What is run.
    seed : int
        Source of the truth.
    path : Path, optional
        The file; :meth:`prepare` and :meth:`start` make it.

    Attributes
    ----------
    answers : dict of Task to Answer
        Finished pseudo-experiments.
    earlier : float
        Seconds that the run had taken before it was interrupted.
    """

    def __init__(self, identity: RunIdentity, seed: int, path: Path | None = None) -> None:
        self.identity = identity
        self.seed = seed
        self.answers: dict[Task, Answer] = {}
        self.path = path
        self._descriptor: int | None = None
        self._prepared = False
        self._size = 0
        self._synced = time.monotonic()
        self.earlier = 0.0

    @classmethod
    def resume(cls, path: Path, identity: RunIdentity) -> Checkpoint:
        """Go on with the run in a file.

        Raises
        ------
        CheckpointError
            If the file can not be read, is damaged, in use, or of another run.
        """
        descriptor = _open(path, os.O_RDWR)
        try:
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read()
            checkpoint, size = cls._parsed(path, content)
            if changed := identity.differences(checkpoint.identity):
                raise CheckpointError(
                    f"{path} is the checkpoint of another run: {'; '.join(changed)}. Resume with "
                    "what it was made with, or start over without --resume"
                )
            os.fchmod(descriptor, 0o600)
            os.ftruncate(descriptor, size)
            os.lseek(descriptor, size, os.SEEK_SET)
        except BaseException:
            os.close(descriptor)
            raise
        checkpoint._descriptor, checkpoint._size = descriptor, size
        return checkpoint

    @classmethod
    def _parsed(cls, path: Path, content: bytes) -> tuple[Checkpoint, int]:
        """Return what the file holds, and how many bytes of it are whole."""
        lines = list(io.BytesIO(content))  # split at line feeds only
        records = []
        size = 0
        for number, line in enumerate(lines, start=1):
            record = _unpacked(line)
            if record is None and number == len(lines) > 1:
                logger.warning("%s: the last line is cut short and is dropped", path)
                break
            if record is None:
                raise CheckpointError(
                    f"{path}, line {number} of {len(lines)}, is damaged: the file can not be "
                    "trusted; start over without --resume"
                )
            records.append(record)
            size += len(line)
        try:
            header, *rest = records
            if header["format"] != _FORMAT:
                raise CheckpointError(
                    f"{path} has the format {header['format']}, not {_FORMAT}: it is of another "
                    "version; start over without --resume"
                )
            checkpoint = cls(RunIdentity(**header["run"]), int(header["seed"]), path)
            for record in rest:
                task = Task(int(record["set"]), int(record["experiment"]))
                checkpoint.answers[task] = Answer(*(float(record[key]) for key in Answer._fields))
                checkpoint.earlier = float(record["seconds"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path} is not a checkpoint ({error!r}): start over without --resume"
            ) from error
        return checkpoint, size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self.answers and self._descriptor is not None:
            logger.warning(
                "%d finished pseudo-experiments are kept in %s: the same command with --resume "
                "goes on from there",
                len(self.answers),
                self.path,
            )
        self._give_up()

    def prepare(self) -> None:
        """Make the file under a temporary name, unless an earlier one is being continued.

        Where this user may write no file, the run goes without.

        Raises
        ------
        CheckpointError
            If there is no room for it, or another process is using it.
        """
        if self.path is None or self._descriptor is not None:
            return
        header = {"format": _FORMAT, "run": asdict(self.identity), "seed": str(self.seed)}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                os.close(_open(self.path, os.O_RDONLY))  # nobody has it
            self._part.unlink(missing_ok=True)
            self._descriptor = _open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            self._prepared = True
            self._write(_packed(header))
            os.fsync(self._descriptor)
        except OSError as error:
            self._give_up()
            if not forbidden(error):
                raise self._failure(error) from error
            logger.warning("no checkpoint: %s can not be written (%s)", self.path, error.strerror)
            self.path = None

    def start(self) -> None:
        """Let the prepared file take the place of one of an earlier run.

        Raises
        ------
        CheckpointError
            If it can not.
        """
        if self.path is None or not self._prepared:
            return
        try:
            self._part.replace(self.path)
        except OSError as error:
            raise self._failure(error) from error
        self._prepared = False

    def append(self, task: Task, answer: Answer, seconds: float) -> None:
        """Keep an answer, and how many seconds the run has taken.

        Raises
        ------
        CheckpointError
            If the file can not be written, say because the disk is full. What had been appended
            before stays.
        """
        if self._descriptor is not None:
            # The submission can see the size of any file: it must not tell one set from another.
            which = {"set": f"{task.set_index:9}", "experiment": f"{task.experiment:9}"}
            record = {**which, **answer._asdict()}
            try:
                self._write(_packed({**record, "seconds": round(seconds, 3)}))
                if time.monotonic() - self._synced >= _SYNC_INTERVAL:
                    os.fdatasync(self._descriptor)
                    self._synced = time.monotonic()
            except OSError as error:
                raise self._failure(error) from error
        self.answers[task] = answer

    def remove(self) -> None:
        """Remove the file: the results are written."""
        if self.path is not None and self._descriptor is not None:
            self.path.unlink(missing_ok=True)
        self._close()

    def _write(self, line: bytes) -> None:
        """Append a line; if that fails, leave no part of it behind."""
        assert self._descriptor is not None  # noqa: S101 (the callers have looked)
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
                os.lseek(self._descriptor, self._size, os.SEEK_SET)
            raise
        self._size += len(line)

    @property
    def _part(self) -> Path:
        assert self.path is not None  # noqa: S101 (the callers have looked)
        return self.path.with_name(f"{self.path.name}.part")

    def _failure(self, error: OSError) -> CheckpointError:
        return CheckpointError(
            f"{self.path} can not be written ({error.strerror}): {remedy(error)}, then go on with "
            f"--resume; {len(self.answers)} finished pseudo-experiments are kept"
        )

    def _give_up(self) -> None:
        """Close the file; what was only prepared is removed."""
        if self._prepared:
            with suppress(OSError):
                self._part.unlink(missing_ok=True)
            self._prepared = False
        self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _packed(record: Mapping[str, Any]) -> bytes:
    body = json.dumps(record, allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _unpacked(line: bytes) -> dict[str, Any] | None:
    """Return the record in a line, or None if it is not whole."""
    digits, body = line[:_CRC_DIGITS], line[_CRC_DIGITS + 1 :]
    if not body.endswith(b"\n") or digits != b"%08x" % zlib.crc32(body[:-1]):
        return None
    record: dict[str, Any] = json.loads(body)
    return record


def _open(path: Path, flags: int) -> int:
    """Open a file of the owner's only, never through a link, and lock it."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if flags & os.O_CREAT:
            raise
        raise CheckpointError(f"{path} can not be opened: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise CheckpointError(f"{path} is not a regular file: remove it")
        if not locked(descriptor):
            raise CheckpointError(f"{path} is in use: another run has this output")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
