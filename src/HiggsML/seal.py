"""How an ingestion ended, said among its results in a way that nobody else can say it.

An ingestion leaves one *record*, ``ingestion_record*.json``, beside its results:

=============  ====================================================================================
``state``      "running", "finished" or "failed"
``reason``     of a failure: what the participant needs to know, short and free of the truth
``files``      of a finished run: the SHA-256 of every result file, settings and duration
``signature``  a keyed hash of all this and of the record's own name; null where there is no key
=============  ====================================================================================

``bundle build`` makes the key and puts it into ``input_data`` and ``reference_data``, so that both
programs of a competition have it and no submission does. On the platform's newer worker the files
of a submission are copied over the results: what replaces a result does not fit the record, and
what replaces the record has no signature. An older record that was genuine once does not help
either: on the platform a record's name has a random part, so the one that says how this very run
ended stays beside it. Without a key the hashes detect damage only.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from HiggsML.errors import HiggsMLError, IngestionFailedError, ResultsError, printable
from HiggsML.results import DURATION_FILE, RECORD_NAME, SETTINGS_FILE, read_object, write_json

__all__ = [
    "KEY_FILE",
    "Record",
    "Recorder",
    "check_record",
    "load_key",
    "new_key",
    "read_key",
    "recorded",
]

KEY_FILE = "seal.key"

REASON_LIMIT = 2000
"""Letters of a reason: enough for a short traceback."""

_KEY = re.compile(rb"[0-9a-f]{64}\s*")


@dataclass(frozen=True)
class Record:
    """How an ingestion ended; see the text of this module."""

    state: str
    reason: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    def signature(self, name: str, key: bytes) -> str:
        """Return the keyed hash of this record under a file name."""
        content = json.dumps({"name": name, **asdict(self)}, sort_keys=True)
        return hmac.new(key, content.encode(), "sha256").hexdigest()


def new_key() -> str:
    """Return the text of a fresh key file."""
    return secrets.token_hex(32) + "\n"


def load_key(directory: Path | None) -> bytes | None:
    """Return the key in a directory of input or reference data; None if it has none.

    Raises
    ------
    ResultsError
        If there is something else under its name.
    """
    if directory is None or not (directory / KEY_FILE).exists():
        return None
    return read_key(directory / KEY_FILE)


def read_key(path: Path) -> bytes:
    """Return the key in a file.

    Raises
    ------
    ResultsError
        If there is something else in it.
    """
    text = path.read_bytes() if path.is_file() else b""
    if not _KEY.fullmatch(text):
        raise ResultsError(f"{path} is not a key of 64 hexadecimal digits: build the bundle again")
    return bytes.fromhex(text.decode())


class Recorder:
    """Writes the record of one ingestion.

    Parameters
    ----------
    output : Path
        The directory of the results.
    key : bytes, optional
        Signs the record.
    tell : bool
        Whether others read how the run ended, as on the platform: a record is then there from the
        beginning, under a name that nobody can foresee.
    """

    def __init__(self, output: Path, key: bytes | None, *, tell: bool) -> None:
        self._output, self._key, self._tell = output, key, tell
        part = f"_{secrets.token_hex(16)}" if tell else ""
        self._name = f"ingestion_record{part}.json"

    def begin(self) -> None:
        """Say that the run has begun; so an ingestion that is killed leaves a record, too."""
        if self._tell:
            self._write(Record("running"), self._output)

    def seal(self, directory: Path) -> None:
        """Say that the run is finished, in the directory in which its results are now."""
        names = [SETTINGS_FILE, DURATION_FILE]
        names += [path.name for path in directory.glob("result_*.json")]
        digests = {name: _digest(directory / name) for name in sorted(names)}
        self._write(Record("finished", files=digests), directory)

    def fail(self, error: BaseException) -> None:
        """Say why the run has failed."""
        if not self._tell:
            return
        internal = f"an error in the ingestion program itself ({type(error).__name__})"
        reason = str(error) if isinstance(error, HiggsMLError) else internal
        with suppress(OSError):  # the error itself is what matters
            self._write(Record("failed", _shortened(reason)), self._output)

    def _write(self, record: Record, directory: Path) -> None:
        signature = record.signature(self._name, self._key) if self._key else None
        write_json(directory / self._name, {**asdict(record), "signature": signature})


@contextmanager
def recorded(output: Path, input_data: Path, *, tell: bool) -> Iterator[Recorder]:
    """Give the recorder of a run; what is raised meanwhile is the reason of its failure.

    Parameters
    ----------
    output, input_data : Path
        Where the results go, and the directory in which the key lies, if there is one.
    tell : bool
        See :class:`Recorder`.
    """
    recorder = Recorder(output, load_key(input_data), tell=tell)
    try:
        yield recorder
    except BaseException as error:
        recorder.fail(error)
        raise


def check_record(directory: Path, key: bytes | None) -> bool:
    """Check that the files of a directory are what one finished ingestion has written.

    Parameters
    ----------
    directory : Path
        The results.
    key : bytes, optional
        The competition's key. Without it a directory without a record passes, as drop-in code and
        earlier versions leave none.

    Returns
    -------
    bool
        Whether the results are signed with the key.

    Raises
    ------
    IngestionFailedError
        If the ingestion says itself that it did not finish.
    ResultsError
        If the files are not those of one finished ingestion.
    """
    records, unsigned = _load_records(directory, key)
    if not records and key is None:
        return False
    for record in records.values():
        if record.state != "finished":
            raise _failure(record)
    if unsigned or not records:
        where = f"{directory / unsigned[0]} is" if unsigned else f"{directory} has"
        raise ResultsError(
            f"{where} no record of an ingestion with this competition's key: its files are not "
            "what the ingestion wrote; submit model.py without files that are called like results"
        )
    if len(records) > 1:
        raise ResultsError(
            f"{directory} has the records of {len(records)} ingestions ({', '.join(records)}), and "
            "a run leaves one: the results are refused"
        )
    _check_digests(directory, *records.values())
    return key is not None


def _failure(record: Record) -> IngestionFailedError:
    killed = "it was ended before it could say why: was it out of time, or of memory?"
    reason = _shortened(record.reason) or killed
    # One line: the last one of a log is what the platform shows best.
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    return IngestionFailedError(f"the ingestion failed: {' | '.join(lines)}", reason)


def _shortened(reason: str) -> str:
    """Return beginning and end of a reason: the end of a traceback says what it is about."""
    if len(reason) > REASON_LIMIT:
        reason = f"{reason[: REASON_LIMIT // 3]}\n[...]\n{reason[-REASON_LIMIT // 2 :]}"
    return printable(reason)


def _load_records(directory: Path, key: bytes | None) -> tuple[dict[str, Record], list[str]]:
    """Return the records by their file name, and the names of those that the key did not sign."""
    records, unsigned = {}, []
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    for name in sorted(name for name in names if RECORD_NAME.fullmatch(name)):
        content = read_object(directory / name)
        signature = content.pop("signature", None)
        record = _record(content)
        if record is None:
            raise ResultsError(f"{directory / name} is not a record of an ingestion")
        expected = record.signature(name, key or b"").encode()
        if key is None or hmac.compare_digest(expected, str(signature).encode("utf-8", "replace")):
            records[name] = record
        else:
            unsigned.append(name)
    return records, unsigned


def _record(content: dict[str, Any]) -> Record | None:
    state, reason, files = (content.get(name) for name in ("state", "reason", "files"))
    if not (isinstance(state, str) and isinstance(reason, str) and isinstance(files, dict)):
        return None
    return Record(state, reason, files)


def _check_digests(directory: Path, record: Record) -> None:
    present = {path.name for path in directory.glob("result_*.json")}
    if absent := sorted(present - set(record.files)):
        raise ResultsError(
            f"{directory / absent[0]} is not among the results that the ingestion wrote"
        )
    for name, digest in record.files.items():
        path = directory / Path(name).name
        read_object(path)  # refuses what is missing, no regular file, or huge
        if _digest(path) != digest:
            raise ResultsError(
                f"{path} is not as the ingestion wrote it: it was replaced or damaged; run the "
                "ingestion again"
            )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
