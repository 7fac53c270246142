"""Every refusal that a submission runs into names the wall and what to write instead."""

import ctypes
import sys

import pytest

from HiggsML.datasets import Data
from HiggsML.errors import SubmissionError
from HiggsML.isolation.inside import refusals
from HiggsML.isolation.sandbox import Sandbox
from tests.pipeline_fixtures import model_text, tiny_dataset, write_submission

__all__ = ["tiny_dataset"]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")

READ = 'open it as Path(__file__).parent / "name"'
WRITE = "can write in its temporary directory only"
NETWORK = "a submission has no network"
CALL = "The system-call filter refused this"
SESSION = "leave out start_new_session and process_group"
CASES = {
    'open("/etc/shadow")': READ,
    'os.listdir("/root")': READ,
    'np.fromfile("/etc/shadow")': READ,
    'open(np.__file__ + "x", "w")': WRITE,
    'os.makedirs("/root/directory")': WRITE,
    'np.save("/root/x.npy", np.ones(3))': WRITE,
    'joblib.dump(1, "/root/x")': WRITE,
    'pd.DataFrame({"a": [1]}).to_parquet("/root/x.parquet")': WRITE,
    'sqlite3.connect("/root/x").execute("create table t(x)")': "writes in its temporary directory",
    'socket.create_connection(("127.0.0.1", 80))': NETWORK,
    'urllib.request.urlopen("http://127.0.0.1/")': NETWORK,
    'socket.getaddrinfo("example.org", 80)': NETWORK,
    'socket.socket(socket.AF_UNIX).bind("x")': NETWORK,
    'multiprocessing.get_context("forkserver").Pool(1)': 'get_context("fork")',
    "os.setsid()": SESSION,
    'subprocess.run(["uname"], start_new_session=True)': SESSION,
    'os.memfd_create("x")': "tempfile.TemporaryFile()",
    "os.kill(os.getppid(), 0)": CALL,
    'os.chown(".", 1, 1)': CALL,
    "os.sched_setaffinity(os.getppid(), {0})": CALL,
    '[open("/dev/null") for _ in range(5000)]': "budget of open files",
    "np.zeros(10**14)": "get_train_set(train_size=...)",
    # Not the error itself, but what caused it; and one that happened in another process.
    "hidden()": READ,
    "in_a_group()": READ,
    "multiprocessing.Pool(1).apply(os.listdir, ['/root'])": READ,
}
TOP = """
import joblib, multiprocessing, socket, sqlite3, subprocess, traceback, urllib.request
import numpy as np, pandas as pd
def hidden():
    try:
        open("/etc/shadow")
    except OSError as error:
        raise RuntimeError("can not load the model") from error
def in_a_group():
    try:
        open("/etc/shadow")
    except OSError as error:
        raise ExceptionGroup("several", [ValueError("x"), error])
def printed():
    try:
        os.setsid()
    except OSError:
        traceback.print_exc()
    return ANSWER
"""


@pytest.fixture
def dumpable():
    yield
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # what protecting this process has taken


@pytest.mark.usefixtures("dumpable")
def test_every_refusal_is_explained(tmp_path, tiny_dataset):
    cases = "\n".join(f"lambda: {case}," for case in CASES)
    top = f"{TOP}\ncalls = iter([\n{cases}\nprinted])"
    text = model_text(top=top, predict="return next(calls)()")
    with (
        (tmp_path / "log").open("w", encoding="utf-8") as log,
        Sandbox(write_submission(tmp_path / "s", text), isolation="prefer", log=log) as sandbox,
    ):
        sandbox.fit(Data(tiny_dataset), timeout=300)
        if sandbox.report["system-call-filter"] != "on" or sandbox.report["landlock-files"] != "on":
            pytest.skip(f"not all of the isolation holds here: {sandbox.report}")
        for case, says in CASES.items():
            sandbox.block(1)[:] = 1.0
            with pytest.raises(SubmissionError) as caught:
                sandbox.predict(1, timeout=120)
            summary, _, quoted = str(caught.value).partition("Traceback")
            assert says in summary, case
            assert says not in quoted or case in ("hidden()", "in_a_group()"), case
        sandbox.predict(1, timeout=120)
    # All that the submission printed is there when its process has ended.
    printed = (tmp_path / "log").read_text(encoding="utf-8")
    assert SESSION in printed, "a traceback that the submission itself prints"


@pytest.mark.usefixtures("dumpable")
def test_nothing_is_explained_where_nothing_is_refused(tmp_path, tiny_dataset):
    text = model_text(predict="raise PermissionError(13, 'Permission denied')")
    with Sandbox(write_submission(tmp_path / "s", text), isolation="off") as sandbox:
        sandbox.fit(Data(tiny_dataset), timeout=300)
        sandbox.block(1)[:] = 1.0
        with pytest.raises(SubmissionError) as caught:
            sandbox.predict(1, timeout=120)
    assert "Landlock" not in str(caught.value)
    assert "filter" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("RuntimeError: can't start new thread", "budget of processes and threads"),
        ("torch_shm_manager at /lib/torch: Permission denied", "leave out set_sharing_strategy"),
        ("XGBoostError: Permission denied: /root/x", "If isolation is the cause"),
        ("it did not converge", None),
    ],
)
def test_errors_that_only_quote_the_kernel(monkeypatch, text, says):
    monkeypatch.setattr(refusals, "_active", True)
    found = refusals.explanation(RuntimeError(text))
    assert found is None if says is None else says in found


class _Hostile(Exception):  # noqa: N818
    def __str__(self):
        raise ZeroDivisionError

    @property
    def __cause__(self):
        raise ZeroDivisionError


def test_an_error_that_can_not_be_looked_at_is_not_explained(monkeypatch):
    monkeypatch.setattr(refusals, "_active", True)
    assert refusals.explanation(_Hostile()) is None
