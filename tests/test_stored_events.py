"""The memory-mapped store: the same rows as in memory, whole or refused."""

import json
import os
import stat
import zlib

import numpy as np
import pytest

from HiggsML.datasets import Data, cached_file
from HiggsML.errors import DataError
from HiggsML.files import converted_files
from HiggsML.pseudo_experiments import EventStore, store
from HiggsML.pseudo_experiments import store_file as events_file
from HiggsML.pseudo_experiments import stored_events as event_store
from HiggsML.pseudo_experiments.store_file import cache_path, convert, open_cached, open_file


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


def test_a_cache_that_nobody_can_look_into_is_none(data, monkeypatch):
    """As the home of another user: the system does not say whether a file is there."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/" + 300 * "x")
    with pytest.raises(OSError, match="too long"):
        cache_path(data)[1].exists()
    assert converted_files(cache_path(data)[1].parent) == {}
    assert len(open_cached(data).rows) == len(open_cached(data).rows) > 0


def test_a_user_without_a_home_has_the_cache_beside_the_data(data, monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("HiggsML.files.Path.home", home)
    assert len(open_cached(data).rows) > 0
    (path,) = cache_path(data)
    assert path.is_relative_to(data.input_dir)


def test_the_second_opening_converts_nothing(data, monkeypatch):
    first = open_cached(data)
    monkeypatch.setattr(events_file, "convert", None)  # would fail if called
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
    monkeypatch.setattr(events_file, "_distribute", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        convert(data, tmp_path / "test.events")
    assert list(tmp_path.glob("test.events*")) == []


def test_a_full_disk_is_named(data, monkeypatch):
    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_space)
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
    _, length, _ = cached_file._HEAD.unpack(raw[: cached_file._HEAD.size])
    content = json.loads(raw[cached_file._HEAD.size :][:length])
    assert {stratum["process"] for stratum in content["strata"]} <= set(event_store.PROCESSES)


# ----------------------------------------------------------------------------------------------
# Whose the file is, and whether it is whole
# ----------------------------------------------------------------------------------------------


def described(path, change):
    """Change the description of a store file as a planted one would, with a right checksum."""
    raw = path.read_bytes()
    magic, length, _ = cached_file._HEAD.unpack(raw[: cached_file._HEAD.size])
    content = json.loads(raw[cached_file._HEAD.size :][:length])
    rows = raw[cached_file.aligned(cached_file._HEAD.size + length) :]
    change(content)
    text = json.dumps(content).encode()
    head = cached_file._HEAD.pack(magic, len(text), zlib.crc32(text)) + text
    path.write_bytes(head.ljust(cached_file.aligned(len(head)), b"\0") + rows)


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) - 1000] ^= 4
    path.write_bytes(raw)


def zero_half(path):
    raw = path.read_bytes()
    half = cached_file._ALIGNMENT + (len(raw) - cached_file._ALIGNMENT) // 2
    path.write_bytes(raw[:half] + bytes(len(raw) - half))


def link(path):
    other = path.with_name("elsewhere")
    path.rename(other)
    path.symlink_to(other)


def first_stratum(**changes):
    return lambda path: described(path, lambda content: content["strata"][-1].update(changes))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip, "block 0 does not fit its checksum"),
        (zero_half, "block 0 does not fit its checksum"),
        (link, "can not be read as an event store"),
        (lambda path: path.chmod(0o644), "open to other users .mode 0644"),
        (lambda path: (path.unlink(), os.mkfifo(path, 0o600)), "not a regular file"),
        (first_stratum(weight=0.0), "impossible stratum"),
        (first_stratum(weight=float("nan")), "impossible stratum"),
        (first_stratum(weight=1e9), "expected events, of 1234.5 at most"),
        (first_stratum(start=-5), "impossible stratum"),
        (first_stratum(count=-5), "impossible stratum"),
        (first_stratum(process="wjets"), "impossible stratum"),
        (first_stratum(other=1), "does not describe its strata"),
        (lambda path: described(path, lambda c: c.pop("checksums")), "has no checksums"),
        (lambda path: described(path, lambda c: c["checksums"].append(0)), "has no checksums"),
    ],
)
def test_a_file_that_is_not_ours_whole_is_refused_and_made_anew(data, damage, message, caplog):
    rows = np.array(open_cached(data).rows)
    path = cache_path(data)[0]
    damage(path)
    with pytest.raises(DataError, match=message):
        open_file(path)
    np.testing.assert_array_equal(open_cached(data).rows, rows)
    assert "it is made anew" in caplog.text
    assert not path.is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_another_users_file_is_refused(store_file):
    os.chown(store_file, 12345, -1)
    with pytest.raises(DataError, match="belongs to another user"):
        open_file(store_file)


def test_the_file_is_readable_by_its_owner_only(store_file):
    assert stat.S_IMODE(store_file.stat().st_mode) == 0o600


def test_a_damaged_block_of_a_large_file_is_found_by_and_by(data, monkeypatch):
    monkeypatch.setattr(cached_file, "CHECKED_BYTES", 1 << 12)
    monkeypatch.setattr(cached_file, "CHECKED_BLOCKS", 4)
    open_cached(data)
    path = cache_path(data)[0]
    zero_half(path)
    refused = 0
    for _ in range(100):
        try:
            open_file(path)
        except DataError:
            refused += 1
    assert refused > 80  # half of the blocks are wrong: 1 in 16 choices misses them


def test_parts_that_killed_conversions_left_are_removed(data, tmp_path):
    stale, planted = tmp_path / "test.events.1.part", tmp_path / "test.events.2.part"
    going_on = tmp_path / "test.events.3.part"
    stale.write_bytes(b"left")
    planted.symlink_to(tmp_path / "data")
    with going_on.open("wb") as file:
        cached_file._lock(file)
        convert(data, tmp_path / "test.events")
    assert sorted(path.name for path in tmp_path.glob("*.part")) == [going_on.name]
    assert (tmp_path / "data").exists()
