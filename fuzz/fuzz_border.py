"""Coverage-guided fuzzing of the parsers of untrusted bytes; see README.md."""

import json
import socket
import struct
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["HiggsML", "zipfile", "yaml", "json"]):
    from HiggsML.errors import HiggsMLError
    from HiggsML.isolation import channel, messages
    from HiggsML.results import Settings, load_predictions, load_settings
    from HiggsML.schema import NUISANCES
    from HiggsML.score import check_platform_metadata
    from HiggsML.submission_zip import unpacked

SCRATCH = Path(tempfile.mkdtemp(prefix="higgsml-fuzz-"))
KINDS = tuple(messages._KINDS)
SETTINGS = Settings(1, 2, dict.fromkeys(NUISANCES, True), {0: 1.0})


def fuzz_channel(data):
    """Frames: raw bytes, and well-framed bodies."""
    for content in (data, struct.pack(">4sIQ", b"HML1", len(data), 0) + data):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(content[:100_000])
            theirs.shutdown(socket.SHUT_WR)
            try:
                message, _, _ = channel.Channel(ours).receive(
                    timeout=5,
                    payload_limit=lambda m: (
                        100 * bool(messages.check_message(m, allowed=KINDS, request=1))
                    ),
                )
                messages.clean_text(str(message), 1000).encode()
            except HiggsMLError as error:
                messages.clean_text(str(error), 500).encode()


def fuzz_results(data):
    """A result file and the settings."""
    (SCRATCH / "result_0.json").write_bytes(data)
    for read in (
        lambda: load_predictions(SCRATCH, SETTINGS),
        lambda: load_settings(SCRATCH / "result_0.json", with_truth=True),
    ):
        try:
            read()
        except HiggsMLError:
            pass


def fuzz_metadata(data):
    """The platform's YAML file."""
    (SCRATCH / "metadata").write_bytes(data)
    try:
        check_platform_metadata(SCRATCH)
    except HiggsMLError as error:
        json.dumps(str(error))


def fuzz_zip(data):
    """A submission's zip."""
    path = SCRATCH / "s.zip"
    path.write_bytes(data)
    try:
        with unpacked(path) as folder:
            for found in folder.rglob("*"):
                assert not found.is_symlink()
                assert found.resolve().is_relative_to(folder.resolve())
    except HiggsMLError:
        pass


TARGETS = {
    "channel": fuzz_channel,
    "results": fuzz_results,
    "metadata": fuzz_metadata,
    "zip": fuzz_zip,
}

if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
