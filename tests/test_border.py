"""Parsers of what a submission, or who writes results, may send: frames, messages, metadata."""

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from HiggsML.errors import ResultsError
from HiggsML.files import remove_tree
from HiggsML.isolation.budget.budgets import Budgets
from HiggsML.isolation.budget.unseen_memory import proportional
from HiggsML.isolation.budget.watch import exceeded_by_files
from HiggsML.isolation.cage.restrict import ESSENTIAL, MECHANISMS, isolation_level
from HiggsML.isolation.wire.channel import Channel, ChannelError
from HiggsML.isolation.wire.messages import check_message, clean_text

KINDS = ("ready", "fitted", "state", "no_state", "restored", "prediction", "failed", "train_set")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


def received(content, *, timeout=5.0, keep_open=False):
    """Send bytes and return what the trusted end makes of them."""
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    sender = threading.Thread(target=_send, args=(theirs, content, keep_open))
    sender.start()
    try:
        return channel.receive(
            timeout=timeout,
            payload_limit=lambda m: check_message(m, allowed=KINDS, request=1) and 1000,
        )
    finally:
        channel.close()
        sender.join()
        theirs.close()


def _send(connection, content, keep_open):
    try:
        connection.sendall(content)
        if not keep_open:
            connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@given(st.binary(max_size=300))
def test_any_bytes_are_a_frame_or_refused(content):
    with pytest.raises(ChannelError):
        received(content)


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_any_sizes_and_body_are_refused(body, message_size, payload_size):
    with pytest.raises(ChannelError):
        received(struct.pack(">4sIQ", b"HML1", message_size, payload_size) + body)


@given(json_values, st.binary(max_size=20))
def test_any_json_is_refused(value, payload):
    body = json.dumps(value).encode()
    with pytest.raises(ChannelError):
        received(struct.pack(">4sIQ", b"HML1", len(body), len(payload)) + body + payload)


@given(
    st.sampled_from(KINDS),
    st.dictionaries(
        st.sampled_from(
            ["request", "report", "mu_hat", "p16", "error", "seed", "selected", "ours"]
        ),
        json_values,
    ),
)
def test_messages_of_the_right_kind_are_checked_key_by_key(kind, content):
    message = {"kind": kind, "request": 1, **content}
    try:
        assert check_message(message, allowed=KINDS, request=1) == kind
    except ChannelError:
        return
    assert message["request"] == 1
    assert type(message["request"]) is int


def test_a_right_frame_is_read():
    body = json.dumps({"kind": "fitted", "request": 1}).encode()
    message, payload, _ = received(struct.pack(">4sIQ", b"HML1", len(body), 3) + body + b"abc")
    assert (message["kind"], payload) == ("fitted", b"abc")


def test_the_time_limit_covers_the_whole_frame():
    ours, theirs = socket.socketpair()
    stop = threading.Event()

    def drip():
        for byte in struct.pack(">4sIQ", b"HML1", 200, 0) + bytes(200):
            if stop.wait(0.05):
                return
            theirs.send(bytes([byte]))

    thread = threading.Thread(target=drip)
    thread.start()
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        Channel(ours).receive(timeout=0.4)
    assert time.monotonic() - started < 2
    stop.set()
    thread.join()
    ours.close()
    theirs.close()


@given(st.text(max_size=200))
def test_cleaned_text_can_be_printed(text):
    shown = clean_text(text, 150)
    shown.encode()
    assert shown.replace("\n", "").replace("\t", "").isprintable()


@given(st.binary(max_size=200))
def test_any_metadata_is_accepted_or_refused_by_name(tmp_path_factory, content):
    from HiggsML.score.planted import check_platform_metadata

    directory = tmp_path_factory.mktemp("results")
    (directory / "metadata").write_bytes(content)
    with contextlib.suppress(ResultsError):
        check_platform_metadata(directory)


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
)


@pytest.mark.parametrize(
    "text",
    [
        "exitCode: 0\n",
        "ingestionExitCode: 1\n",
        "ingestionExitCode: [1]\n",
        "exitCode: !!int ''\n",
        "exitCode: !!bool maybe\n",
        "exitCode: !!timestamp x\n",
        "!!python/object/apply:os.system ['true']\n",
        BOMB + "exitCode: *u\n",
        "a: " + "[" * 30_000,
        "- 1\n",
        "#" * 100_000,
    ],
)
def test_hostile_metadata_is_refused(tmp_path, text):
    from HiggsML.score.planted import check_platform_metadata

    (tmp_path / "metadata").write_text(text)
    with pytest.raises(ResultsError) as caught:
        check_platform_metadata(tmp_path)
    assert len(str(caught.value)) < 500


def test_deep_and_closed_directories_are_removed(tmp_path):
    top = tmp_path / "private"
    top.mkdir()
    here = Path.cwd()
    os.chdir(top)
    for _ in range(3000):
        Path("d" * 40).mkdir()
        os.chdir("d" * 40)
    os.chdir(here)
    (top / "file").write_text("x")
    (top / "link").symlink_to(tmp_path)
    (top / "closed").mkdir()
    (top / "closed" / "inner").mkdir()
    (top / "closed").chmod(0)
    kept = tmp_path / "kept"
    kept.write_text("x")
    assert "nested" in exceeded_by_files(top, Budgets()) or "hid" in exceeded_by_files(
        top, Budgets()
    )
    remove_tree(top)
    assert not top.exists()
    assert kept.read_text() == "x"


def test_storage_budgets(tmp_path):
    for number in range(5):
        (tmp_path / str(number)).write_bytes(os.urandom(100_000))
    assert exceeded_by_files(tmp_path, Budgets()) is None
    assert "its budget is 3" in exceeded_by_files(tmp_path, Budgets(files=3))
    assert "its budget is 97.7 kB" in exceeded_by_files(tmp_path, Budgets(disk_bytes=100_000))


def test_isolation_as_a_number():
    complete = dict.fromkeys(MECHANISMS, "on")
    assert isolation_level(complete) == 1
    assert isolation_level(complete | {"user-namespace": "refused"}) == 0.5
    assert isolation_level({}) == 0
    for name in ESSENTIAL:
        assert isolation_level(complete | {name: "refused"}) == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
def test_memory_counts_in_a_process_that_can_not_be_looked_into():
    script = """
import ctypes, signal
held = bytearray(b"x" * (50 << 20))
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
print("ready", flush=True)
signal.pause()
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout.readline() == "ready\n"
            assert proportional((child.pid,)) > 50 << 20
        finally:
            child.kill()
