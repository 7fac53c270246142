"""Coverage-guided fuzzing of the parsers of untrusted bytes; see README.md."""

import atexit
import io
import json
import os
import shutil
import socket
import struct
import sys
import tempfile
import zipfile
from pathlib import Path

import atheris

from HiggsML.errors import HiggsMLError
from HiggsML.generator import generate_dataset
from HiggsML.schema import NUISANCES

# The parsers, and nothing that they import for other purposes: guidance costs time.
_GUIDED = ("channel", "messages", "output_log")
with atheris.instrument_imports(
    include=[f"HiggsML.isolation.{name}" for name in _GUIDED]
    + ["HiggsML.results", "HiggsML.submission.archive", "zipfile", "yaml"]
):
    from HiggsML.datasets import Data
    from HiggsML.isolation import sandbox
    from HiggsML.isolation.budget import output_log
    from HiggsML.isolation.wire import channel, messages
    from HiggsML.results import Settings, load_predictions, load_settings
    from HiggsML.score.planted import check_platform_metadata
    from HiggsML.submission.archive import unpacked

SCRATCH = Path(tempfile.mkdtemp(prefix="higgsml-fuzz-"))
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)
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


def fuzz_train_set(data):
    """A request for training events: any numbers that the schema lets through."""
    head, _, indices = data.partition(b"\n")
    try:
        request = channel._parsed(head)
        messages.check_message(request, allowed=KINDS, request=1)
    except HiggsMLError:
        return
    if request["kind"] != "train_set":
        return
    reply, descriptors = sandbox._train_set(_dataset(), request, indices)
    json.dumps(reply)
    for descriptor in descriptors:
        os.close(descriptor)


def fuzz_output(data):
    """What a submission prints: every line marked, nothing that a terminal would obey."""
    reader, writer = os.pipe()
    os.write(writer, data[:60_000])
    os.close(writer)
    text = io.StringIO()
    output_log.OutputLog(text, 4000).copy(reader)
    os.close(reader)
    for line in text.getvalue().splitlines():
        assert line.startswith("[submission] ")
        assert line.replace("\t", "").isprintable()


_data = None


def _dataset():
    global _data
    if _data is None:
        generate_dataset(SCRATCH / "dataset", scenario="mini", events=1700, seed=1)
        _data = Data(SCRATCH / "dataset")
    return _data


def _archive(**files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/"), text)
    return content.getvalue()


ANSWER = {"mu_hat": 1.0, "delta_mu_hat": 0.1, "p16": 0.9, "p84": 1.1}
TRAIN = {"kind": "train_set", "request": 1, "train_size": None, "selected": False, "seed": None}
LISTS = {"mu_hats": [1, 2], "delta_mu_hats": [0.1, 0.2], "p16": [0.9, 1.9], "p84": [1.1, 2.1]}
NAMES = dict.fromkeys(NUISANCES, True)
MADE = {"num_of_sets": 1, "num_pseudo_experiments": 2, "systematics": NAMES}

# Function, and inputs to start from: a right one of every kind, and some that are nearly right.
TARGETS = {
    "channel": (
        fuzz_channel,
        [
            {"kind": "prediction", "request": 1, **ANSWER},
            {"kind": "failed", "request": 1, "error": "e", "type": "E", "ours": True}
            | {"traceback": "x\u202e"},
            {"kind": "ready", "request": 1, "report": {"landlock-files": "on"}},
            {"kind": "no_state", "request": 1, "reason": ""},
            TRAIN,
        ],
    ),
    "results": (
        fuzz_results,
        [
            LISTS,
            LISTS | {"mu_hats": [1e999, None]},
            {**MADE, "ground_truth_mus": {"0": 1.0}},
            {**MADE, "ground_truth_mus": [1.0], "details": {"a": "b"}, "notices": ["n"]},
        ],
    ),
    "metadata": (
        fuzz_metadata,
        [
            b"exitCode: null\nelapsedTime: null\ningestionExitCode: 0\ningestionElapsedTime: 1.5\n",
            b"a: &a [1, *a]\nb: !!binary aGk=\nexitCode: 1e3\n? [x]\n: !!set {y}\n",
            b"2001-12-14t21:59:43.10-05:00: {exitCode: 0o7}\n--- |\n text\n...\n",
        ],
    ),
    "zip": (
        fuzz_zip,
        [
            _archive(**{"model.py": "class Model: pass\n", "weights.npy": "x" * 300}),
            _archive(**{"folder__model.py": "x", "__MACOSX__model.py": "y", "other.zip": "PK"}),
            _archive(**{"..__model.py": "x", "model.py": "y"}),
        ],
    ),
    "train_set": (
        fuzz_train_set,
        [
            TRAIN,
            TRAIN | {"train_size": 0.5, "seed": 7},
            TRAIN | {"train_size": -3, "seed": 2**70},
            json.dumps(TRAIN | {"selected": True}).encode() + b"\n" + struct.pack("<3q", 0, 5, -1),
        ],
    ),
    "output": (
        fuzz_output,
        [b"a line\nnext\r\n\x1b[31mred\x9b\xe2\x80\xae", b"x" * 5000, b"\n" * 20],
    ),
}


def main():
    """Fuzz one target from its seeds; further arguments are libFuzzer's."""
    name = sys.argv.pop(1)
    target, seeds = TARGETS[name]
    corpus = SCRATCH / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        content = seed if isinstance(seed, bytes) else json.dumps(seed).encode()
        (corpus / str(number)).write_bytes(content)
    atheris.Setup([*sys.argv, str(corpus)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
