"""Training events in a file that is mapped: the reader's frames, whole or refused, for others."""

import json
import os
import stat
import subprocess
import sys
from contextlib import closing

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from HiggsML.cli.doctor import converted_events
from HiggsML.datasets import Data, cached_file
from HiggsML.datasets import training_store as store
from HiggsML.datasets.training_store import TrainingColumns, cache_path, open_cached, open_file
from HiggsML.errors import DataError
from HiggsML.files import converted_files, size_text
from HiggsML.isolation import training_events
from HiggsML.isolation.sandbox import Sandbox
from HiggsML.isolation.training_events import TrainingEvents
from HiggsML.systematics import systematics
from tests.persons import SRC

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="submissions run on POSIX only")


@pytest.fixture
def data(make_events, write_dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Data(write_dataset(make_events(3000, seed=11), row_group_size=170))


def mapped_frame(data, rows=None):
    with closing(TrainingColumns(open_cached(data))) as columns:
        return columns.frame(rows)


def home_frame(data, **options):
    data.load_train_set(**options)
    return data.get_train_set()


# ----------------------------------------------------------------------------------------------
# The frames
# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("derived", [False, True])
def test_mapped_frames_are_those_of_the_reader(make_events, write_dataset, derived):
    events = make_events(3000, seed=3)
    data = Data(write_dataset(events, derived=derived, row_group_size=1234), test_size=0.25)
    pd.testing.assert_frame_equal(mapped_frame(data), home_frame(data))
    rows = np.array([0, 1, 1, 7, 2249])
    picked = home_frame(data, selected_indices=rows)
    pd.testing.assert_frame_equal(mapped_frame(data, rows), picked)


def test_columns_that_the_challenge_does_not_know_come_along(make_events, write_dataset):
    events = make_events(300)
    events["campaign"] = np.where(np.arange(300) % 3, "run2", None)
    events["event_number"] = np.arange(300, dtype=np.int64)
    events["kind"] = pd.Categorical(np.where(np.arange(300) % 2, "odd", "even"))
    data = Data(write_dataset(events, row_group_size=100))
    pd.testing.assert_frame_equal(mapped_frame(data), home_frame(data))
    rows = np.array([3, 5, 200])
    pd.testing.assert_frame_equal(mapped_frame(data, rows), home_frame(data, selected_indices=rows))


def test_without_training_rows_the_frame_is_empty(make_events, write_dataset):
    data = Data(write_dataset(make_events(200)), test_size=1.0)
    pd.testing.assert_frame_equal(mapped_frame(data), home_frame(data))


def test_what_is_written_to_a_frame_stays_there(data):
    frame = mapped_frame(data)
    content = cache_path(data)[0].read_bytes()
    frame["PRI_met"] *= 2
    frame.loc[:, "weights"] = 0.0
    frame.iloc[3, 0] = -1.0
    shifted = systematics(frame, tes=1.05)
    assert cache_path(data)[0].read_bytes() == content
    pd.testing.assert_frame_equal(mapped_frame(data), home_frame(data))
    frame = home_frame(data)
    frame["PRI_met"] *= 2
    frame.loc[:, "weights"] = 0.0
    frame.iloc[3, 0] = -1.0
    pd.testing.assert_frame_equal(shifted, systematics(frame, tes=1.05))


def test_nothing_of_the_test_set_is_in_the_file(data):
    open_cached(data)
    with cache_path(data)[0].open("rb") as file:
        content, offset = cached_file.read_description(data.path, file, store._MAGIC, None)
        file.seek(offset)
        stored = np.frombuffer(file.read(4 * content["rows"]), np.float32)
    assert set(content) == {"identity", "rows", "sum_weights", "others", "checksums"}
    assert content["rows"] == data.train_size
    whole = pq.read_table(data.path)["PRI_lep_pt"].to_numpy().astype(np.float32)
    np.testing.assert_array_equal(stored, whole[data.test_size :])


# ----------------------------------------------------------------------------------------------
# The file: made once, ours, whole
# ----------------------------------------------------------------------------------------------


def test_the_second_opening_converts_nothing_and_progress_is_told_of_the_first(data, monkeypatch):
    told = []
    os.close(open_cached(data, lambda *step: told.append(step)))
    assert told[0] == (0, 100)
    assert told[-1] == (100, 100)
    assert told == sorted(set(told))
    monkeypatch.setattr(store, "write", None)  # would fail if called
    os.close(open_cached(data))


def test_another_test_size_is_another_file(data):
    assert cache_path(data) != cache_path(Data(data.input_dir, test_size=0.5))


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) - 1000] ^= 4
    path.write_bytes(raw)


def link(path):
    other = path.with_name("elsewhere")
    path.rename(other)
    path.symlink_to(other)


DAMAGES = [
    (flip, "does not fit its checksum"),
    (link, "can not be read as an event store"),
    (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes instead of"),
    (lambda path: path.write_bytes(b""), "can not be read as an event store"),
    (lambda path: path.write_bytes(b"x" * 5000), "is not an event store"),
    (lambda path: path.chmod(0o666), "open to other users"),
]
if hasattr(os, "geteuid") and os.geteuid() == 0:  # only root can give a file away
    DAMAGES.append((lambda path: os.chown(path, 12345, -1), "belongs to another user"))


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_a_file_that_is_not_ours_whole_is_made_anew(data, damage, message, caplog):
    os.close(open_cached(data))
    path = cache_path(data)[0]
    damage(path)
    with pytest.raises(DataError, match=message):
        open_file(path, data=data)
    pd.testing.assert_frame_equal(mapped_frame(data), home_frame(data))
    assert "it is made anew" in caplog.text
    assert not path.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_of_a_dataset_that_has_changed_is_not_used(data):
    first = mapped_frame(data)
    os.utime(data.path, ns=(1, 1))
    pd.testing.assert_frame_equal(mapped_frame(data), first)
    files = converted_files(cache_path(data)[0].parent)
    assert len(files) == 2
    assert f"2 files, {size_text(sum(files.values()))}; " in converted_events(
        data.input_dir / (".higgsml-cache")
    )
    assert converted_events(cache_path(data)[1].parent).endswith(": none")


def test_the_user_cache_serves_where_the_dataset_can_not_be_written(data):
    beside, in_cache = cache_path(data)
    beside.parent.write_text("a file where the directory would be")
    assert len(mapped_frame(data)) == data.train_size
    assert in_cache.exists()


def test_a_full_disk_is_named_and_leaves_nothing(data, monkeypatch):
    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_space)
    with pytest.raises(DataError, match="No space left on device; free some space"):
        open_cached(data)
    assert not any(converted_files(path.parent) for path in cache_path(data))


def test_wrong_values_are_named_and_leave_nothing(make_events, write_dataset):
    events = make_events(300)
    events.loc[250, "PRI_met"] = np.inf
    data = Data(write_dataset(events))
    with pytest.raises(DataError, match="PRI_met has 1 values that are NaN"):
        open_cached(data)
    assert not converted_files(cache_path(data)[0].parent)


def test_parts_that_killed_conversions_left_are_removed(data):
    directory = cache_path(data)[0].parent
    directory.mkdir()
    stale, going_on = (directory / f"x.training.events.{number}.part" for number in (1, 2))
    stale.write_bytes(b"left")
    with going_on.open("wb") as file:
        cached_file._lock(file)
        os.close(open_cached(data))
    assert [path.name for path in directory.glob("*.part")] == [going_on.name]


# ----------------------------------------------------------------------------------------------
# Given to a submission
# ----------------------------------------------------------------------------------------------

MODEL = """
class Model:
    def __init__(self, get_train_set, systematics):
        self.get_train_set = get_train_set
    def fit(self):
        {fit}
    def predict(self, test_set):
        return dict(mu_hat=1.0, delta_mu_hat=0.1, p16=0.9, p84=1.1)
"""


@pytest.mark.parametrize("most", [0, 1_000_000])
def test_descriptors_can_only_be_read_and_share_no_position(data, monkeypatch, most):
    monkeypatch.setattr(training_events, "MAX_EVENTS_IN_MEMORY", most)
    with closing(TrainingEvents(data)) as events:
        one, other = events.descriptor(), events.descriptor()
    os.lseek(one, 100, os.SEEK_SET)
    if sys.platform.startswith("linux"):
        assert os.lseek(other, 0, os.SEEK_CUR) == 0
    for attempt, argument in ((os.write, b"0"), (os.ftruncate, 0)):
        with pytest.raises(OSError, match=r"Bad file descriptor|Invalid argument"):
            attempt(one, argument)
    for descriptor in (one, other):
        with closing(TrainingColumns(descriptor)) as columns:
            pd.testing.assert_frame_equal(columns.frame(), home_frame(data))


def test_events_that_nobody_asks_for_are_not_converted(data, tmp_path, monkeypatch):
    monkeypatch.setattr(training_events, "MAX_EVENTS_IN_MEMORY", 0)
    for fit in ("pass", "self.get_train_set()"):
        (tmp_path / "model.py").write_text(MODEL.format(fit=fit))
        with Sandbox(tmp_path, isolation="off") as sandbox:
            sandbox.fit(data, timeout=300)
        assert cache_path(data)[0].exists() == (fit != "pass")


LARGE_RUN = """
from pathlib import Path
from HiggsML.ingestion import IngestionOptions, run_ingestion

options = IngestionOptions(Path({data!r}), Path({submission!r}), Path({output!r}), seed=1,
    num_of_sets=1, num_pseudo_experiments=2, repeatable="off", workers=1)
run_ingestion(options)
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
def test_the_trusted_process_needs_little_memory_for_many_training_events(make_events, tmp_path):
    """2.5 million rows are 350 MB in a frame, and sending one took another copy."""
    events = pa.Table.from_pandas(make_events(100_000, seed=4), preserve_index=False)
    directory = tmp_path / "data"
    directory.mkdir()
    with pq.ParquetWriter(directory / "large.parquet", events.schema) as writer:
        writer.write_table(pa.concat_tables([events] * 26), row_group_size=1 << 24)
    content = {"total_rows": 26 * len(events), "sum_weights": 50_000.0}
    (directory / "large_metadata.json").write_text(json.dumps(content))
    submission = tmp_path / "submission"
    submission.mkdir()
    check = "assert len(self.get_train_set()) == 2_500_000"
    (submission / "model.py").write_text(MODEL.format(fit=check))
    program = LARGE_RUN.format(
        data=str(directory), submission=str(submission), output=str(tmp_path / "out")
    ).replace("workers=1", "workers=1, test_size=100_000")
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < 650 << 10  # kB
