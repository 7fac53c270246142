"""The memory-mapped store: the same rows as in memory, whole or refused."""

import json

import numpy as np
import pytest

from HiggsML.datasets import Data
from HiggsML.errors import DataError
from HiggsML.pseudo_experiments import EventStore, store
from HiggsML.pseudo_experiments import stored_events as event_store
from HiggsML.pseudo_experiments.stored_events import cache_path, convert, open_cached, open_file


@pytest.fixture
def data(make_events, write_dataset, tmp_path, monkeypatch):
    """A dataset whose test set is converted in many small buckets."""
    monkeypatch.setattr(event_store, "_BUCKET_ROWS", 40)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Data(write_dataset(make_events(3000, seed=11), row_group_size=170))


@pytest.fixture
def store_file(data, tmp_path):
    path = tmp_path / "test.events"
    convert(data, path)
    return path


@pytest.mark.parametrize("max_strata", [0, 64])
def test_converted_events_are_those_in_memory(data, tmp_path, monkeypatch, max_strata):
    """Both kinds of strata: equal weights, and cumulative ones where there are too many."""
    monkeypatch.setattr(event_store, "MAX_STRATA", max_strata)
    in_memory = EventStore.from_data(data)
    monkeypatch.setattr(store, "MAX_EVENTS_IN_MEMORY", 10)
    mapped = EventStore.from_data(data)
    assert isinstance(mapped._rows, np.memmap)
    assert not isinstance(in_memory._rows, np.memmap)
    np.testing.assert_array_equal(mapped._rows, in_memory._rows)
    for seed in range(3):
        one = in_memory.pseudo_experiment(mu=2.0, nuisances={"tes": 0.98}, seed=seed)["data"]
        other = mapped.pseudo_experiment(mu=2.0, nuisances={"tes": 0.98}, seed=seed)["data"]
        assert one.equals(other)


def test_strata_are_sorted_by_falling_tau_pt(store_file):
    events = open_file(store_file)
    assert sum(stratum.count for stratum in events.strata) == len(events.rows)
    for stratum in events.strata:
        pt = events.rows[stratum.start : stratum.start + stratum.count, event_store.HAD_PT]
        assert (np.diff(pt) <= 0).all()


def test_the_second_opening_converts_nothing(data, monkeypatch):
    first = open_cached(data)
    monkeypatch.setattr(event_store, "convert", None)  # would fail if called
    np.testing.assert_array_equal(open_cached(data).rows, first.rows)


def test_another_test_size_is_another_store(data):
    other = Data(data.input_dir, test_size=0.5)
    assert cache_path(data) != cache_path(other)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:-1], "bytes instead of"),
        (lambda raw: raw[:10], "can not be read as an event store"),
        (lambda raw: b"x" + raw[1:], "is not an event store"),
        (lambda raw: raw[:40] + bytes([raw[40] ^ 1]) + raw[41:], "its head is damaged"),
        (lambda raw: raw + b"\0", "bytes instead of"),
    ],
)
def test_a_damaged_store_is_refused_and_made_anew(data, damage, message, caplog):
    rows = np.array(open_cached(data).rows)
    path = cache_path(data)[0]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=message):
        open_file(path)
    np.testing.assert_array_equal(open_cached(data).rows, rows)
    assert "it is made anew" in caplog.text


def test_a_store_of_other_data_is_refused(data, store_file):
    with pytest.raises(DataError, match="was made from other data"):
        open_file(store_file, {"size": 1})


def test_a_failed_conversion_leaves_nothing(data, tmp_path, monkeypatch):
    monkeypatch.setattr(event_store, "_distribute", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        convert(data, tmp_path / "test.events")
    assert list(tmp_path.glob("test.events*")) == []


def test_a_full_disk_is_named(data, monkeypatch):
    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(event_store.os, "posix_fallocate", no_space)
    with pytest.raises(DataError, match=r"No space left on device.*free some space"):
        open_cached(data)
    assert not any(path.exists() for path in cache_path(data))


def test_the_user_cache_serves_where_the_dataset_can_not_be_written(data, monkeypatch):
    beside, in_cache = cache_path(data)
    beside.parent.write_text("a file where the directory would be")
    assert len(open_cached(data).rows)
    assert in_cache.exists()


def test_the_head_is_readable_text(store_file):
    raw = store_file.read_bytes()
    _, length, _ = event_store._HEAD.unpack(raw[: event_store._HEAD.size])
    content = json.loads(raw[event_store._HEAD.size :][:length])
    assert {stratum["process"] for stratum in content["strata"]} <= set(event_store.PROCESSES)
