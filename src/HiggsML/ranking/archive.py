"""The folder of a ranking: everything that it takes to make any row again, and to find damage.

======================  ==========================================================================
``ranking.json``        what all submissions measured: numbers, systematics, dataset, software
``entropy.json``        the source of the truth; only its owner can read it
``runs/NAME/``          ``submission/``, ``predictions/``, ``log.txt``, and ``run.json``: how it
                        ended, from what it was made, and how long it took
``index.html``, ...     the board, made from all this
``SHA256SUMS``          a digest of every other file but ``entropy.json``, as ``sha256sum`` writes
``ro-crate-metadata...``  the same folder described as an RO-Crate
======================  ==========================================================================
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from HiggsML.crate import CRATE_FILE, crate
from HiggsML.errors import ResultsError, SettingsError, SubmissionError
from HiggsML.files import locked, remedy, whole_file
from HiggsML.results import read_object, write_json
from HiggsML.submission.value import Submission

__all__ = ["Archive", "RankingSettings", "RunRecord"]

ENTROPY_FILE = "entropy.json"
SETTINGS_FILE = "ranking.json"
SUMS_FILE = "SHA256SUMS"
_RECORD = "run.json"


@dataclass(frozen=True)
class RankingSettings:
    """What every submission of a ranking measured.

    Attributes
    ----------
    num_of_sets, num_pseudo_experiments : int
        Sets, and pseudo-experiments in each.
    systematics : mapping of str to bool
        Which nuisance parameters vary.
    data : mapping of str to str
        Identity of the dataset.
    repeats : float
        Simulated test events per expected event, see
        :meth:`HiggsML.pseudo_experiments.EventStore.effective_repeats`.
    software : mapping of str to str
        Versions with which the ranking began.
    """

    num_of_sets: int
    num_pseudo_experiments: int
    systematics: Mapping[str, bool]
    data: Mapping[str, str]
    repeats: float
    software: Mapping[str, str]


@dataclass(frozen=True)
class RunRecord:
    """How one submission's run ended.

    Attributes
    ----------
    status : {"finished", "failed"}
        Whether it has a place in the ranking.
    reason : str
        Of a failure, as the participant may read it.
    files : mapping of str to str
        Digests of the submission's files.
    software : mapping of str to str
        Versions that it ran with.
    """

    status: str
    reason: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=dict)


class Archive:
    """A ranking's folder.

    Parameters
    ----------
    folder : Path
        It need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def exists(self) -> bool:
        """Whether a ranking was begun here."""
        return (self.folder / SETTINGS_FILE).is_file()

    def settings(self) -> RankingSettings:
        """Return what its submissions measured.

        Raises
        ------
        ResultsError
            If this is no ranking's folder.
        """
        if not self.exists:
            raise ResultsError(
                f"{self.folder} holds no ranking ({SETTINGS_FILE} is missing): name the folder "
                "that 'higgsml rank --output' named"
            )
        settings: RankingSettings = _read(RankingSettings, self.folder / SETTINGS_FILE)
        return settings

    def begin(self, settings: RankingSettings, entropy: int) -> None:
        """Make the folder of a new ranking."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with os.fdopen(
            os.open(self.folder / ENTROPY_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w"
        ) as file:
            json.dump({"entropy": entropy}, file)
        write_json(self.folder / SETTINGS_FILE, asdict(settings))

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from ranking into this folder meanwhile.

        Raises
        ------
        SettingsError
            If one does, or the folder can not be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder, os.O_RDONLY)
        except OSError as error:
            raise SettingsError(
                f"{self.folder} can not be a ranking's folder ({error.strerror}): {remedy(error)}"
            ) from error
        try:
            if not locked(descriptor):
                raise SettingsError(f"{self.folder} is in use: another process ranks into it")
            yield
        finally:
            os.close(descriptor)

    def entropy(self) -> int:
        """Return the source of the truth.

        Raises
        ------
        ResultsError
            If the file is gone, as it is in a published copy.
        """
        path = self.folder / ENTROPY_FILE
        if not path.is_file():
            raise ResultsError(
                f"{path} is missing: whoever has the ranking's own folder can let others join and "
                "make rows again; a published copy can only be scored again"
            )
        value = read_object(path).get("entropy")
        if not isinstance(value, int) or value < 0:
            raise ResultsError(f"{path} is damaged: entropy must be a whole number, not {value!r}")
        return value

    def run_folder(self, name: str) -> Path:
        """Return where a submission's run is kept."""
        return self.folder / "runs" / name

    def log(self, name: str) -> Path:
        """Return the file with what a submission printed, and how it ended."""
        return self.run_folder(name) / "log.txt"

    def refit_folder(self, name: str, number: int) -> Path:
        """Return where the answers of a submission are kept that was fitted once more."""
        return self.run_folder(name) / "refits" / str(number)

    def names(self) -> list[str]:
        """Return the submissions whose runs have ended, by name."""
        return sorted(path.parent.name for path in self.folder.glob(f"runs/*/{_RECORD}"))

    def record(self, name: str) -> RunRecord:
        """Return how a submission's run ended.

        Raises
        ------
        ResultsError
            If there is none of this name.
        """
        path = self.run_folder(name) / _RECORD
        if not path.is_file():
            known = ", ".join(self.names()) or "none"
            raise ResultsError(f"the ranking has no run {name!r}; it has {known}")
        record: RunRecord = _read(RunRecord, path)
        return record

    def begin_run(self, name: str, submission: Submission) -> Mapping[str, str]:
        """Copy a submission into the archive, where it is run, and return its files' digests.

        What an interrupted run of the same files has left stays, of others it is removed.
        """
        folder = self.run_folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / "submission"
        with contextlib.suppress(SubmissionError):
            if Submission.of(kept).identity == submission.identity:
                return submission.identity
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        submission.copied_to(kept)
        return submission.identity

    def keep(self, name: str, record: RunRecord) -> None:
        """Keep how a submission's run ended; this comes last."""
        write_json(self.run_folder(name) / _RECORD, asdict(record))

    def seal(self) -> None:
        """Write a digest of every file, and describe them as an RO-Crate."""
        digests = {name: _digest(self.folder / name) for name in self._files(CRATE_FILE)}
        with whole_file(self.folder / CRATE_FILE) as file:
            file.write(json.dumps(self._crate(digests), indent=1).encode())
        digests[CRATE_FILE] = _digest(self.folder / CRATE_FILE)
        with whole_file(self.folder / SUMS_FILE) as file:
            file.writelines(f"{digests[name]}  {name}\n".encode() for name in sorted(digests))

    def _crate(self, digests: Mapping[str, str]) -> dict[str, Any]:
        settings = self.settings()
        parts = {
            SETTINGS_FILE: "What all submissions measured.",
            "index.html": "The board.",
            "board.csv": "The board as a table.",
            "board.json": "The board and every pair of rows compared.",
            "board.md": "The board as Markdown.",
        }
        parts |= {
            f"runs/{name}/": f"Submission, answers, log and provenance of {name}."
            for name in self.names()
        }
        return crate(
            digests,
            name="A ranking of the HiggsML Uncertainty Challenge",
            description=(
                f"{len(self.names())} submissions measured the same {settings.num_of_sets} sets of "
                f"{settings.num_pseudo_experiments} pseudo-experiments."
            ),
            published=datetime.now(UTC).date().isoformat(),
            parts={
                name: text for name, text in parts.items() if name in digests or name[-1] == "/"
            },
            about=[
                {
                    "@id": f"#{name}",
                    "@type": "SoftwareApplication",
                    "name": name,
                    "softwareVersion": version,
                }
                for name, version in settings.software.items()
            ],
        )

    def damage(self) -> list[str]:
        """Return a sentence for each file that is not as it was sealed."""
        path = self.folder / SUMS_FILE
        if not path.is_file():
            return [f"{SUMS_FILE} is missing: nothing tells what the files were"]
        sealed: dict[str, str] = {}
        for number, line in enumerate(
            path.read_bytes().decode(errors="replace").split("\n")[:-1], 1
        ):
            digest, _, name = line.partition("  ")
            if len(digest) != 64 or not name:
                return [f"{SUMS_FILE}, line {number}, is damaged"]
            sealed[name] = digest
        here = set(self._files())
        damages = [f"{name} is missing" for name in sorted(set(sealed) - here)]
        damages += [f"{name} was added" for name in sorted(here - set(sealed))]
        damages += [
            f"{name} was changed"
            for name in sorted(here & set(sealed))
            if _digest(self.folder / name) != sealed[name]
        ]
        return damages

    def _files(self, *without: str) -> Iterator[str]:
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            apart = name in (ENTROPY_FILE, SUMS_FILE, *without) or path.name.startswith(".")
            if path.is_file() and not apart:
                yield name


def _read(kind: type[Any], path: Path) -> Any:
    content = read_object(path)
    try:
        return kind(**content)
    except TypeError as error:
        raise ResultsError(f"{path} is damaged or of another version: {error}") from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
