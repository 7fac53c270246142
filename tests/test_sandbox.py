"""The border around a submission: the channel, the shared memory and the sandbox as a whole.

What the restrictions themselves forbid is the matter of ``test_restrict.py``.
"""

import contextlib
import ctypes
import gc
import io
import json
import mmap
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from HiggsML.datasets import Data
from HiggsML.errors import (
    IsolationError,
    PredictionError,
    SettingsError,
    SubmissionError,
    TimeLimitError,
)
from HiggsML.isolation.budget.budgets import Budgets
from HiggsML.isolation.cage.restrict import missing
from HiggsML.isolation.sandbox import Sandbox
from HiggsML.isolation.wire.channel import Channel, ChannelClosedError, ChannelError
from HiggsML.isolation.wire.shared_memory import SharedBlock, map_block, sealed_memory
from HiggsML.schema import FEATURES
from HiggsML.systematics import DEFAULT_SEED
from tests.pipeline_fixtures import (
    SUBMISSIONS,
    TINY_TRAINING_EVENTS,
    model_text,
    tiny_dataset,
    write_submission,
)

__all__ = ["tiny_dataset"]

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")

# --- channel ------------------------------------------------------------------------------------

HEADER = struct.Struct(">4sIQ")


def frame(message: bytes, payload: bytes = b"", *, magic=b"HML1", sizes=None) -> bytes:
    return HEADER.pack(magic, *(sizes or (len(message), len(payload)))) + message + payload


@pytest.fixture
def wire():
    """A channel, and the bare socket at its other end."""
    ours, theirs = socket.socketpair()
    channel = Channel(ours, max_payload=1000)
    yield channel, theirs
    channel.close()
    theirs.close()


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    both = Channel(ours, max_payload=1 << 24), Channel(theirs, max_payload=1 << 24)
    yield both
    for channel in both:
        channel.close()


def test_messages_and_payloads_arrive_as_they_were_sent(pair):
    first, second = pair
    payload = os.urandom(3_000_000)
    sender = threading.Thread(
        target=lambda: [
            first.send({"kind": "one", "text": "µ̂", "none": None}, payload),
            first.send({"kind": "two"}, memoryview(b"abc")),
        ]
    )
    sender.start()
    assert second.receive() == ({"kind": "one", "text": "µ̂", "none": None}, payload, [])
    assert second.receive(timeout=60) == ({"kind": "two"}, b"abc", [])
    sender.join()


def test_descriptors_travel_with_a_message(pair):
    first, second = pair
    reading, writing = os.pipe()
    first.send({"kind": "pipe"}, b"payload", descriptors=[writing])
    os.close(writing)
    message, payload, descriptors = second.receive(with_descriptors=True)
    assert (message, payload, len(descriptors)) == ({"kind": "pipe"}, b"payload", 1)
    os.write(descriptors[0], b"through")
    assert os.read(reading, 10) == b"through"
    for descriptor in (reading, *descriptors):
        os.close(descriptor)


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (frame(b'{"kind":"x"}', magic=b"HTTP"), "does not start with the magic bytes"),
        (b"\0" * HEADER.size, "does not start with the magic bytes"),
        (frame(b"", sizes=(2**32 - 1, 0)), "a message of 4294967295 bytes is over"),
        (frame(b'{"kind":"x"}', sizes=(12, 2**64 - 1)), "payload of 18446744073709551615 bytes"),
        (
            frame(b'{"kind":"x"}', sizes=(12, 1001)),
            "payload of 1001 bytes is over the limit of 1000",
        ),
        (frame(b""), "not valid JSON"),
        (frame(b"{"), "not valid JSON"),
        (frame(b"\xff\xfe\xfd"), "not valid JSON"),
        (frame(b"[" * 100_000), "not valid JSON"),
        (frame(b'{"kind":' + b"9" * 10_000 + b"}"), "not valid JSON"),
        (frame(b"[1]"), "not an object with a kind"),
        (frame(b"{}"), "not an object with a kind"),
        (frame(b'{"kind": null}'), "not an object with a kind"),
        (frame(b'{"kind": ["x"]}'), "not an object with a kind"),
    ],
    ids=range(14),
)
def test_frames_that_break_the_rules(wire, sent, says):
    channel, other = wire
    sender = threading.Thread(target=other.sendall, args=(sent,))
    sender.start()
    with pytest.raises(ChannelError, match=says):
        channel.receive(timeout=60)
    sender.join()


@pytest.mark.parametrize("with_descriptors", [False, True])
@pytest.mark.parametrize("sent", [0, 1, 15, 16, 20])
def test_a_frame_that_is_cut_off(wire, sent, with_descriptors):
    channel, other = wire
    other.sendall(frame(b'{"kind": "x"}')[:sent])
    other.close()
    with pytest.raises(ChannelClosedError, match="has gone"):
        channel.receive(timeout=60, with_descriptors=with_descriptors)


def test_the_time_limit_is_for_the_whole_frame(wire):
    channel, other = wire
    end = threading.Event()

    def dribble():
        for byte in frame(b'{"kind": "x"}' + b" " * 500):
            other.sendall(bytes([byte]))
            if end.wait(0.02):
                return

    sender = threading.Thread(target=dribble)
    sender.start()
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        channel.receive(timeout=0.3)
    assert time.monotonic() - started < 30
    end.set()
    sender.join()
    with pytest.raises(TimeoutError):
        channel.receive(timeout=-1.0)


def test_sending_to_one_who_does_not_listen_or_has_gone(wire):
    channel, other = wire
    with pytest.raises(TimeoutError):
        channel.send({"kind": "x"}, b"0" * (1 << 24), timeout=0.2)
    other.close()
    with pytest.raises(ChannelClosedError):
        channel.send({"kind": "x"})
    with pytest.raises(ChannelError, match="too long"):
        channel.send({"kind": "x" * (1 << 20)})


@given(st.binary(max_size=200) | st.binary(max_size=60).map(frame))
def test_random_bytes_are_a_message_or_a_named_error(sent):
    ours, theirs = socket.socketpair()
    channel = Channel(ours, max_payload=50)
    theirs.sendall(sent)
    theirs.close()
    with contextlib.suppress(ChannelError):
        message, payload, descriptors = channel.receive(timeout=60)
        assert isinstance(message["kind"], str)
        assert len(payload) <= 50
        assert not descriptors
    channel.close()


# --- shared memory ------------------------------------------------------------------------------


@pytest.fixture
def block():
    shared = SharedBlock(100)
    shared.array(100)[:] = 1.5
    yield shared
    gc.collect()
    shared.close()


def test_the_trusted_side_writes_what_the_other_reads(block):
    assert block.array(7).shape == (len(FEATURES), 7)
    theirs = map_block(block.descriptor, 100)
    assert theirs.dtype == np.float32
    assert (theirs == 1.5).all()
    block.array(100)[3, 4] = 2.5
    assert theirs[3, 4] == 2.5


def test_what_the_other_side_writes_stays_private(block):
    theirs = map_block(block.descriptor, 100)
    theirs[:] = -1
    assert (block.array(100) == 1.5).all()
    assert (map_block(block.descriptor, 100) == 1.5).all()


@linux
def test_a_block_can_not_be_written_resized_or_unsealed_by_its_descriptor(block):
    import fcntl

    descriptor, size = block.descriptor, len(FEATURES) * 100 * 4
    again = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR)
    for one in (descriptor, again):
        for attempt in (
            lambda one=one: os.pwrite(one, b"0", 0),
            lambda one=one: os.ftruncate(one, 0),
            lambda one=one: os.ftruncate(one, 2 * size),
            lambda one=one: mmap.mmap(one, size, mmap.MAP_SHARED, mmap.PROT_WRITE),
            lambda one=one: fcntl.fcntl(one, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE),
        ):
            with pytest.raises(PermissionError):
                attempt()
    os.close(again)
    assert (block.array(100) == 1.5).all()


@linux
def test_sealed_memory_can_only_be_read():
    descriptor = sealed_memory(lambda file: file.write(b"training events"))
    assert os.pread(descriptor, 100, 0) == b"training events"
    for attempt in (
        lambda: os.pwrite(descriptor, b"0", 0),
        lambda: os.ftruncate(descriptor, 0),
        lambda: mmap.mmap(descriptor, 10, mmap.MAP_SHARED, mmap.PROT_WRITE),
    ):
        with pytest.raises(PermissionError):
            attempt()
    os.close(descriptor)


def test_without_sealable_memory_the_receiver_gets_a_descriptor_for_reading(monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    shared = SharedBlock(10)
    shared.array(10)[:] = 2.5
    assert (map_block(shared.descriptor, 10) == 2.5).all()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(shared.descriptor, b"0", 0)
    gc.collect()
    shared.close()
    descriptor = sealed_memory(lambda file: file.write(b"events"))
    assert os.pread(descriptor, 100, 0) == b"events"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(descriptor, b"0", 0)
    os.close(descriptor)


def test_an_experiment_without_events():
    shared = SharedBlock(0)
    assert shared.array(0).shape == (len(FEATURES), 0)
    assert map_block(shared.descriptor, 0).shape == (len(FEATURES), 0)
    gc.collect()
    shared.close()


# --- sandbox ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tiny_dataset):
    return Data(tiny_dataset)


@pytest.fixture
def dumpable():
    """Restore what protecting this process takes from it, for the tests that follow."""
    yield
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)


def measure(sandbox, n_events=10, *, value=1.0, timeout=300.0):
    sandbox.block(n_events)[:] = value
    gc.collect()
    return sandbox.predict(n_events, timeout=timeout)


def has_ended(pid: int, within: float = 30.0) -> bool:
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


ANSWERS = """
import numpy as np
class Strange(float):
    def __float__(self):
        raise RuntimeError("no number for you")
class Noisy(dict):
    def __contains__(self, key):
        raise KeyError("a dict of my own")
def pull_the_plug():
    sys.stdout = None
    return ANSWER
CHANNEL = int(sys.argv[1])
def forge(text):
    import struct
    os.write(CHANNEL, struct.pack(">4sIQ", b"HML1", len(text), 0) + text)
    time.sleep(60)
def deeper(level):
    return deeper(level + 1)
CASES = [
    lambda: ANSWER,
    lambda: {**ANSWER, "mu_hat": np.nan},
    lambda: {**ANSWER, "p16": -np.inf},
    lambda: {**ANSWER, "delta_mu_hat": True},
    lambda: {**ANSWER, "p84": "1.5"},
    lambda: {**ANSWER, "mu_hat": 1j},
    lambda: None,
    lambda: {"mu_hat": 1.0},
    lambda: {**ANSWER, "p16": 2.0},
    lambda: {**ANSWER, "mu_hat": 1e9},
    lambda: {**ANSWER, "mu_hat": Strange(1.0)},
    lambda: Noisy(ANSWER),
    lambda: 1 / 0,
    lambda: sys.exit(3),
    lambda: (_ for _ in ()).throw(KeyboardInterrupt),
    lambda: deeper(0),
    pull_the_plug,
    lambda: ANSWER,
]
calls = iter(CASES)
"""

WHOLE = {"mu_hat": 1.0, "delta_mu_hat": 0.5, "p16": 0.5, "p84": 1.5}
EXPECTED = [
    WHOLE,
    (PredictionError, ["predict returned mu_hat = nan: it must be finite"]),
    (PredictionError, ["predict returned p16 = -inf: it must be finite"]),
    (PredictionError, ["predict returned delta_mu_hat as bool, not a number"]),
    (PredictionError, ["predict returned p84 as str, not a number"]),
    (PredictionError, ["predict returned mu_hat as complex, not a number"]),
    (PredictionError, ["must return a dict with mu_hat, delta_mu_hat, p16, p84, not NoneType"]),
    (PredictionError, ["predict returned no 'delta_mu_hat'"]),
    {**WHOLE, "p16": 2.0},  # swapped: scoring counts it as a miss
    (PredictionError, ["mu_hat = 1e+09; magnitudes up to 10000 are allowed"]),
    (SubmissionError, ["failed in predict: RuntimeError: no number for you", 'File "model.py"']),
    (SubmissionError, ["failed in predict: KeyError", "a dict of my own"]),
    (SubmissionError, ["failed in predict: ZeroDivisionError", 'File "model.py"', "1 / 0"]),
    (SubmissionError, ["failed in predict: SystemExit: 3", 'File "model.py"']),
    (SubmissionError, ["failed in predict: KeyboardInterrupt"]),
    (SubmissionError, ["failed in predict: RecursionError", "Previous line repeated"]),
    WHOLE,
    WHOLE,
]


def test_every_answer_is_taken_or_named(tmp_path, data):
    """One submission gives every kind of answer in turn; none ends its process."""
    text = model_text(top=ANSWERS, predict="return next(calls)()")
    with Sandbox(write_submission(tmp_path / "s", text), isolation="off") as sandbox:
        sandbox.fit(data, timeout=300)
        for number, expected in enumerate(EXPECTED):
            if isinstance(expected, dict):
                assert measure(sandbox)._asdict() == expected, number
                continue
            kind, parts = expected
            with pytest.raises(SubmissionError) as caught:
                measure(sandbox)
            assert type(caught.value) is kind, number
            for part in parts:
                assert part in str(caught.value), number
            assert str(tmp_path) not in str(caught.value), "a participant knows no such path"
            assert "runner.py" not in str(caught.value), "our own frames say nothing to them"


STAGES = {
    "import": (
        model_text(top="\nimport no_such_library"),
        ["model.py, line 4: there is no module 'no_such_library'"],
    ),
    "helper": (
        model_text(top="import broken"),
        [
            "failed in import: ZeroDivisionError",
            'File "model.py", line 3',
            'File "broken.py", line 1',
        ],
    ),
    "syntax": ("x = 1\ndef f(:\n", ["model.py, line 2: SyntaxError"]),
    "__init__": (
        model_text(init="raise ValueError('bad start')"),
        ["failed in fit: ValueError: bad start", 'File "model.py"', "in __init__"],
    ),
    "fit": (
        model_text(fit="fitting = 1\nraise ValueError('no convergence')"),
        ["failed in fit: ValueError: no convergence", 'File "model.py"', "in fit"],
    ),
    "exit": (
        model_text(fit="sys.exit('I give up')"),
        ["failed in fit: SystemExit: I give up", 'File "model.py"', "in fit"],
    ),
    "arguments": (
        "class Model:\n    def __init__(self, data): pass\n    def fit(self): pass\n"
        "    def predict(self, test_set): pass\n",
        ["Model can not be built (missing a required argument: 'data')"],
    ),
    "no-model": ("class Modell: pass", ["model.py defines no class named Model"]),
    "no-method": (
        "class Model:\n    def fit(self): pass",
        ["the class Model lacks the method predict"],
    ),
}


def test_every_stage_that_fails_is_named_with_the_participants_own_lines(tmp_path, data):
    """The same process loads one broken submission after the other, and then a good one."""
    directory = write_submission(tmp_path / "s", "", broken="1 / 0")
    with Sandbox(directory, isolation="off") as sandbox:
        for stage, (text, parts) in STAGES.items():
            write_submission(directory, text)
            with pytest.raises(SubmissionError) as caught:
                sandbox.fit(data, timeout=300)
            for part in parts:
                assert part in str(caught.value), f"{stage}: {caught.value}"
            for unwanted in (str(tmp_path), "runner.py", "<frozen"):
                assert unwanted not in str(caught.value), f"{stage}: {caught.value}"
        write_submission(directory, model_text())
        sandbox.fit(data, timeout=300)
        assert measure(sandbox).mu_hat == 1.0


TRAINING = """
import hashlib, json
import numpy as np
import pandas as pd
def facts(frame):
    return {
        "rows": len(frame),
        "columns": list(frame.columns),
        "types": [str(kind) for kind in frame.dtypes],
        "sum": float(frame["weights"].to_numpy("f8").sum()),
        "index": [int(frame.index[0]), int(frame.index[-1])],
        "hash": [int(x) for x in pd.util.hash_pandas_object(frame, index=False).to_numpy()[:50]],
    }
def refused(call):
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "it was accepted"
def say(**values):
    print("FACT " + json.dumps(values))
"""

TRAINING_FIT = """
get = self.get_train_set
say(all=facts(get()), count=facts(get(train_size=100)), share=facts(get(train_size=0.5)))
say(numpy=facts(get(train_size=np.int64(100))), other=facts(get(train_size=100, seed=7)))
say(picked=facts(get(selected_indices=[5, 3, 999])), many=len(get(train_size=50_000)))
say(array=facts(get(selected_indices=np.array([5, 3, 999], dtype=np.uint16))))
say(refused=[refused(lambda: get(train_size=-1)), refused(lambda: get(train_size=1.5)),
    refused(lambda: get(train_size="half")), refused(lambda: get(train_size=True)),
    refused(lambda: get(selected_indices=[0, 10**6])), refused(lambda: get(selected_indices=[-1])),
    refused(lambda: get(selected_indices=[0.5])), refused(lambda: get(selected_indices=[[1]])),
    refused(lambda: get(selected_indices=[True, False]))])
frame = get(train_size=10)
frame.loc[:, "PRI_met"] = 0.0
frame["weights"] *= 2.0
frame.pop("labels")
say(changed=[float(frame["PRI_met"].max()), "labels" in frame])
say(pid=os.getpid(), child=__import__("subprocess").Popen(["sleep", "1000"]).pid)
say(environment=dict(os.environ), cwd=os.getcwd(), writes=open("mine.txt", "w").write("x"))
say(file=__file__, trained=open(os.path.join(os.path.dirname(__file__), "trained.txt")).read())
say(secret=refused(lambda: open(SECRET).read()))
self.fitted = os.getpid()
"""

TRAINING_PREDICT = """
data = test_set["data"]
say(predict=refused(self.get_train_set), frame=[len(data), *map(str, set(data.dtypes))])
say(test=[list(data.columns), str(test_set["weights"].dtype), float(test_set["weights"].sum())])
mean = float(data["PRI_met"].mean())
data["PRI_met"] = 0.0
data.iloc[:, 1] = -1.0
test_set["weights"] *= 0
data.to_numpy()[:] = 7
return {**ANSWER, "mu_hat": mean, "delta_mu_hat": 0.0}
"""


class Session(dict):
    """What a submission said about itself, and what was seen from outside."""


@pytest.fixture(scope="module")
def session(tmp_path_factory, data, tiny_dataset):
    """One restricted submission that looks at everything it is given."""
    directory = tmp_path_factory.mktemp("looks-around")
    top = TRAINING + f"SECRET = {str(data.path)!r}\n"
    write_submission(directory, model_text(top=top, fit=TRAINING_FIT, predict=TRAINING_PREDICT))
    (directory / "trained.txt").write_text("trained")
    log, seen = io.StringIO(), Session()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIGGSML_SECRET", "42")
        patch.setenv("PYTHONPATH", "/nowhere")
        patch.setenv("OMP_WAIT_POLICY", "PASSIVE")
        sandbox = Sandbox(directory, threads=1, log=log)
    with sandbox:
        seen["report"] = dict(sandbox.report)
        sandbox.fit(data, timeout=300)
        seen["answers"] = [measure(sandbox, 10, value=3.0), sandbox.predict(10, timeout=300)]
        seen["block"] = np.unique(sandbox.block(10)).tolist()
        seen["larger"] = measure(sandbox, 20_000, value=5.0)
    sandbox.close()  # once more does no harm
    seen["log"] = log.getvalue()
    for line in seen["log"].splitlines():
        if line.startswith("[submission] FACT "):
            seen |= json.loads(line.removeprefix("[submission] FACT "))
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
    return seen


def facts_at_home(data, **keywords):
    # Without a seed the reader follows NumPy's global state; a judged run passes the default one.
    data.load_train_set(**{"seed": DEFAULT_SEED, **keywords})
    frame = data.get_train_set()
    return {
        "rows": len(frame),
        "columns": list(frame.columns),
        "types": [str(kind) for kind in frame.dtypes],
        "sum": float(frame["weights"].to_numpy("f8").sum()),
        "index": [int(frame.index[0]), int(frame.index[-1])],
        "hash": [int(x) for x in pd.util.hash_pandas_object(frame, index=False).to_numpy()[:50]],
    }


def test_training_events_are_those_that_the_reader_gives_at_home(session, data):
    assert session["all"] == facts_at_home(data)
    assert session["count"] == session["numpy"] == facts_at_home(data, train_size=100)
    assert session["share"] == facts_at_home(data, train_size=0.5)
    assert session["other"] == facts_at_home(data, train_size=100, seed=7)
    assert session["picked"] == facts_at_home(data, selected_indices=[3, 5, 999])
    assert session["array"] == session["picked"]
    assert session["all"]["rows"] == session["many"] == TINY_TRAINING_EVENTS
    assert session["all"]["columns"][:16] == list(FEATURES[:16])
    assert session["other"]["hash"] != session["count"]["hash"]


def test_requests_for_training_events_that_make_no_sense(session):
    says = [
        "train_size as a count must not be negative, got -1",
        "train_size as a share must lie in 0.0 .. 1.0, got 1.5",
        "train_size must be a share or a count, not 'half'",
        "train_size must be a share or a count, not True",
        "selected_indices must lie in 0 .. 2799",
        "selected_indices must lie in 0 .. 2799",
        "selected_indices must be a list or one-dimensional array of integers",
        "selected_indices must be a list or one-dimensional array of integers",
        "selected_indices must be a list or one-dimensional array of integers",
    ]
    for refused, part in zip(session["refused"], says, strict=True):
        assert refused.startswith("SettingsError: ")
        assert part in refused
    assert session["predict"] == (
        "SettingsError: get_train_set can be called in __init__ and fit, not in predict"
    )


def test_training_events_can_be_changed_in_place(session):
    assert session["changed"] == [0.0, False]


def test_a_model_sees_28_float32_columns_and_weights_of_one(session):
    assert session["test"] == [list(FEATURES), "float64", 20_000.0]
    assert session["frame"] == [20_000, "float32"]


def test_what_a_model_does_to_its_events_stays_its_own(session):
    first, second = session["answers"]
    assert first.mu_hat == second.mu_hat == 3.0
    assert session["block"] == [3.0]
    assert session["larger"].mu_hat == 5.0


def test_a_submission_starts_in_a_clean_place_of_its_own(session):
    environment = session["environment"]
    assert "HIGGSML_SECRET" not in environment
    assert not any(name.startswith("PYTHON") for name in environment)
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    private = Path(session["cwd"])
    assert environment["HOME"] == environment["TMPDIR"] == str(private)
    assert session["writes"] == 1
    assert not private.exists(), "its directory goes with it"
    assert session["trained"] == "trained", "files beside model.py are there"


@linux
def test_nothing_of_a_submission_is_left_running(session):
    assert has_ended(session["pid"])
    assert has_ended(session["child"])


def test_a_submission_can_not_open_the_dataset(session):
    if session["report"].get("landlock-files") != "on":
        pytest.skip("no Landlock here: the report says so")
    assert session["secret"].startswith("PermissionError")


def test_the_report_names_every_protection(session):
    assert session["report"]
    assert all(isinstance(state, str) and state for state in session["report"].values())
    if sys.platform.startswith("linux"):
        assert session["report"]["parent-memory"] == "on"
        assert session["report"]["no-new-privileges"] == "on"


@pytest.mark.usefixtures("dumpable")
def test_required_protections_are_there_or_the_run_is_refused(session):
    states = session["report"]
    try:
        Sandbox(SUBMISSIONS / "honest", isolation="require").close()
    except IsolationError as caught:
        error = str(caught)
    else:
        error = ""
    if all(state == "on" for state in states.values()):
        assert error == ""
    elif lost := missing(states):
        assert all(name in error for name in lost)
        assert "--isolation prefer" in error


def test_a_fitted_model_moves_to_another_process(data):
    with Sandbox(SUBMISSIONS / "honest", isolation="off") as first:
        first.fit(data, timeout=300)
        expected = measure(first, 2000, value=80.0)
        state = first.state(timeout=300)
    assert isinstance(state, bytes)
    with Sandbox(SUBMISSIONS / "honest", isolation="off") as second:
        second.restore(state, timeout=300)
        assert measure(second, 2000, value=80.0) == expected
        with pytest.raises(SubmissionError, match="failed in unpickling the model: "):
            second.restore(b"this is no pickle", timeout=300)


FLOOD = """
print("first line")
print("x" * 3_000_000)
sys.stdout.buffer.write(bytes(range(256)) + b"\\n")
for number in range(50_000):
    print("flood", number, file=sys.stderr)
self.lock = __import__("threading").Lock()
"""


def test_floods_are_cut_and_a_model_that_can_not_be_pickled_says_why(tmp_path, data):
    log = io.StringIO()
    directory = write_submission(tmp_path / "s", model_text(fit=FLOOD), json="", helper="")
    with Sandbox(directory, isolation="off", log=log) as sandbox:
        sandbox.fit(data, timeout=300)
        assert "cannot pickle '_thread.lock' object" in sandbox.state(timeout=300)
        with pytest.raises(SettingsError, match="before predict"):
            sandbox.predict(10)
        assert measure(sandbox).mu_hat == 1.0
    text = log.getvalue()
    assert "[submission] json.py can not be imported: an installed module has that name" in text
    assert "[submission] first line\n" in text
    assert text.count("the rest is dropped") == 1
    assert len(text) < 1_100_000
    assert "flood 49999" not in text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (model_text(fit="os._exit(7)"), "process exited with code 7 during fit"),
        (
            model_text(fit="os.kill(os.getpid(), signal.SIGKILL)"),
            r"process was ended by SIGKILL \(out of memory\?\) during fit",
        ),
        (
            model_text(fit="import ctypes; ctypes.string_at(0)"),
            "process was ended by SIGSEGV during fit",
        ),
        (
            model_text(fit="os.write(int(sys.argv[1]), b'no frame of ours' * 9); time.sleep(60)"),
            "broke the protocol: the frame does not start with the magic bytes",
        ),
        (
            model_text(
                top=ANSWERS, fit="""forge(b'{"kind": "prediction", "mu_hat": 1, "p16": 1}')"""
            ),
            "broke the protocol: a message of kind 'prediction' is not expected now",
        ),
        (
            model_text(top=ANSWERS, fit="""forge(b'{"kind": "failed", "ours": true}')"""),
            "broke the protocol: a message of kind 'failed' has other keys",
        ),
    ],
    ids=["exit", "kill", "crash", "garbage", "forged", "forged-failure"],
)
def test_a_process_that_ends_or_lies(tmp_path, data, text, says):
    directory = write_submission(tmp_path / "s", text)
    with (
        Sandbox(directory, isolation="off") as sandbox,
        pytest.raises(SubmissionError, match=says),
    ):
        sandbox.fit(data, timeout=300)


def test_a_forged_prediction_is_checked_like_any_other(tmp_path, data):
    forged = """b'{"kind": "prediction", "mu_hat": NaN, "delta_mu_hat": 1, "p16": 0, "p84": 1}'"""
    text = model_text(top=ANSWERS, predict=f"forge({forged})")
    with Sandbox(write_submission(tmp_path / "s", text), isolation="off") as sandbox:
        sandbox.fit(data, timeout=300)
        with pytest.raises(SubmissionError, match="broke the protocol: the message is not valid"):
            measure(sandbox)


def test_time_limits(tmp_path, data):
    text = model_text(predict="signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass")
    with Sandbox(write_submission(tmp_path / "s", text), isolation="off") as sandbox:
        sandbox.fit(data, timeout=300)
        started = time.monotonic()
        with pytest.raises(TimeLimitError, match="came during predict"):
            measure(sandbox, timeout=1.0)
        pid = sandbox._process._process.pid
    assert time.monotonic() - started < 30
    assert has_ended(pid)


def test_what_an_ended_process_leaves_is_killed_at_the_time_limit(tmp_path, data):
    """Its child holds the connection, so that nothing but time tells that it has gone."""
    text = model_text(
        predict="child = os.fork()\n"
        "if child:\n    print('child', child, flush=True)\n    os._exit(0)\n"
        "time.sleep(300)"
    )
    with (tmp_path / "log").open("w", encoding="utf-8") as log:
        with Sandbox(write_submission(tmp_path / "s", text), isolation="off", log=log) as sandbox:
            sandbox.fit(data, timeout=300)
            with pytest.raises(TimeLimitError, match="came during predict"):
                measure(sandbox, timeout=1.0)
        printed = (tmp_path / "log").read_text(encoding="utf-8")
    assert has_ended(int(re.search(r"child (\d+)", printed)[1]))


def test_a_submission_without_model_starts_no_process(tmp_path):
    with pytest.raises(SubmissionError, match=r"no model.py"):
        Sandbox(tmp_path)


def test_an_interrupted_start_leaves_nothing(monkeypatch, tmp_path):
    made = []
    original = subprocess.Popen

    def remember(*arguments, **keywords):
        made.append(original(*arguments, **keywords))
        made.append(Path(keywords["cwd"]))
        return made[0]

    def interrupted(self, isolation, limits):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", remember)
    monkeypatch.setattr(Sandbox, "_restrict", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Sandbox(SUBMISSIONS / "honest", isolation="off")
    process, private = made
    assert process.poll() == -signal.SIGKILL
    assert not private.exists()


def test_training_events_that_can_not_fit_are_refused_with_what_fits(data, tmp_path):
    fit = """
import HiggsML.datasets.training_store as store
self.get_train_set()
store._unshared_memory = lambda: (1 << 30) - 40 * 2800
for keywords in ({}, {"train_size": 1000}, {"selected_indices": range(500)}):
    try:
        print("ROWS", len(self.get_train_set(**keywords)))
    except Exception as error:
        print("REFUSED", error)
"""
    directory = write_submission(tmp_path, model_text(fit=fit))
    log = io.StringIO()
    with Sandbox(directory, isolation="off", log=log, budgets=Budgets(memory_bytes=1 << 30)) as one:
        one.fit(data, timeout=300)
    said = [line for line in log.getvalue().splitlines() if "R" in line]
    assert said[0].endswith("ROWS 2800"), "mapping all takes less than copying some"
    assert said[1].endswith(
        "REFUSED 1,000 training events take 156.2 kB, and of the submission's memory, 1.0 GB, "
        "109.4 kB is left: get_train_set(train_size=187) fits, with room for a copy "
        "(get_train_set() maps all events and copies none; what is made of them takes memory)"
    )
    assert said[2].endswith("ROWS 500")
