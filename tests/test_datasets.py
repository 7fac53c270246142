import hashlib
import io
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from HiggsML.datasets import AVAILABLE_DATASETS, Data, download_dataset, reader, split_size
from HiggsML.datasets.identity import data_identity
from HiggsML.derived_quantities import DER_data
from HiggsML.errors import DataError, HiggsMLError, SettingsError
from HiggsML.schema import DER_COLUMNS, FEATURES, LABEL_COLUMNS, PRI_COLUMNS, PROCESSES, SIGNAL
from HiggsML.systematics import systematics

COLUMNS = [*PRI_COLUMNS, *LABEL_COLUMNS, *DER_COLUMNS]


def load_all(data, **options):
    data.load_train_set(**options)
    data.load_test_set()
    return data.get_train_set(), data.get_test_set()


def assert_same(first, second):
    pd.testing.assert_frame_equal(first[0], second[0])
    assert list(first[1]) == list(second[1])
    for process in first[1]:
        pd.testing.assert_frame_equal(first[1][process], second[1][process])


# ----------------------------------------------------------------------------------------------
# What is read
# ----------------------------------------------------------------------------------------------


def test_split_and_columns(events, write_dataset):
    data = Data(write_dataset(events), test_size=0.3)
    assert (data.total_rows, data.test_size, data.train_size) == (200, 60, 140)
    assert data.get_train_set() is None
    assert data.get_test_set() is None
    train, test = load_all(data)
    assert list(train.columns) == COLUMNS
    assert list(train.index) == list(range(140))
    np.testing.assert_array_equal(train[list(PRI_COLUMNS)], events[list(PRI_COLUMNS)].iloc[60:])
    assert list(train["detailed_labels"]) == list(events["detailed_labels"].iloc[60:])
    assert (train.dtypes.drop("detailed_labels") == np.float32).all()
    assert list(test) == list(PROCESSES)
    head = events.iloc[:60]
    for process, frame in test.items():
        assert set(frame.columns) == {*FEATURES, "weights"}
        np.testing.assert_array_equal(
            frame["PRI_met"], head.loc[head["detailed_labels"] == process, "PRI_met"]
        )
    data.delete_train_set()
    assert data.get_train_set() is None


def test_weights_sum_to_the_metadata(events, write_dataset):
    data = Data(write_dataset(events, metadata={"sum_weights": 987.5}))
    train, test = load_all(data)
    assert train["weights"].astype(float).sum() == pytest.approx(987.5, rel=1e-6)
    total = sum(frame["weights"].astype(float).sum() for frame in test.values())
    assert total == pytest.approx(987.5, rel=1e-6)
    ratio = train["weights"] / events["weights"].iloc[60:].to_numpy()
    np.testing.assert_allclose(ratio, ratio.iloc[0], rtol=1e-6)
    data.load_train_set(train_size=10)
    assert data.get_train_set()["weights"].astype(float).sum() == pytest.approx(987.5, rel=1e-6)


def test_without_metadata_weights_sum_to_those_of_the_file(events, write_dataset, caplog):
    with caplog.at_level(logging.WARNING):
        data = Data(write_dataset(events, metadata=None))
    assert "no *_metadata.json beside" in caplog.text
    assert data.metadata == {}
    expected = events["weights"].astype(float).sum()
    train, _ = load_all(data)
    assert train["weights"].astype(float).sum() == pytest.approx(expected, rel=1e-6)
    assert data.sum_weights() == pytest.approx(expected)


def test_metadata_without_the_sum(events, write_dataset):
    directory = write_dataset(events)
    path = next(directory.glob("*.json"))
    path.write_text(json.dumps({"total_rows": 200}))
    assert Data(directory).sum_weights() == pytest.approx(events["weights"].astype(float).sum())


@pytest.mark.parametrize("row_group_size", [1, 7, 60, 61, 200])
@pytest.mark.parametrize(
    "options", [{}, {"train_size": 0.4, "seed": 1}, {"selected_indices": [0, 5, 6, 139]}]
)
def test_any_row_group_size_gives_the_same_frames(events, write_dataset, row_group_size, options):
    whole = load_all(Data(write_dataset(events, name="whole")), **options)
    parts = Data(write_dataset(events, row_group_size=row_group_size, name="parts"))
    assert_same(load_all(parts, **options), whole)


def test_row_groups_of_every_size_in_one_file(events, write_dataset):
    whole = load_all(Data(write_dataset(events, name="whole")))
    directory = write_dataset(events, name="parts")
    table = pa.Table.from_pandas(events, preserve_index=False)
    with pq.ParquetWriter(next(directory.glob("*.parquet")), table.schema) as writer:
        for start, stop in ((0, 3), (3, 60), (60, 60), (60, 199), (199, 200)):
            writer.write_table(table.slice(start, stop - start))
    assert_same(load_all(Data(directory)), whole)


def test_only_the_row_groups_of_the_wanted_rows_are_read(events, write_dataset, monkeypatch):
    data = Data(write_dataset(events, row_group_size=10))
    read = []
    original = data.parquet_file.iter_batches

    class Spy:
        def __getattr__(self, name):
            return getattr(file, name)

        def iter_batches(self, batch_size, *, row_groups, **options):
            read.extend(row_groups)
            return original(batch_size, row_groups=row_groups, **options)

    file = data.parquet_file
    monkeypatch.setattr(data, "parquet_file", Spy())
    data.load_train_set(selected_indices=[0, 9, 45])
    assert read == [6, 10]


def test_with_or_without_derived_quantities(events, write_dataset):
    computed = load_all(Data(write_dataset(events, name="primaries")))
    stored = load_all(Data(write_dataset(events, derived=True, name="derived")))
    assert_same(computed, stored)


def test_a_part_of_the_derived_quantities_is_completed(events, write_dataset):
    partly = events.assign(DER_mass_vis=DER_data(events.copy())["DER_mass_vis"])
    expected = load_all(Data(write_dataset(events, name="primaries")))
    assert_same(load_all(Data(write_dataset(partly, name="partly"))), expected)


def test_column_order_and_number_types_do_not_matter(events, write_dataset):
    expected = load_all(Data(write_dataset(events, name="plain")))
    odd = events[events.columns[::-1]].astype({"PRI_met": np.float64, "PRI_n_jets": np.int32})
    odd["labels"] = odd["labels"].astype(np.int64)
    odd["detailed_labels"] = odd["detailed_labels"].astype("category")
    assert_same(load_all(Data(write_dataset(odd, name="odd", row_group_size=9))), expected)


@pytest.mark.parametrize(
    ("test_size", "expected"),
    [
        (0.3, 60),
        (0.0, 0),
        (1.0, 200),
        (30, 30),
        (0, 0),
        (200, 200),
        (np.int64(7), 7),
        (np.float32(0.5), 100),
    ],
)
def test_test_size_as_share_or_count(events, write_dataset, test_size, expected):
    data = Data(write_dataset(events), test_size=test_size)
    assert (data.test_size, data.train_size) == (expected, 200 - expected)
    train, test = load_all(data)
    assert len(train) == 200 - expected
    assert sum(map(len, test.values())) == expected


def test_more_rows_than_there_are_means_all(events, write_dataset, caplog):
    with caplog.at_level(logging.INFO):
        data = Data(write_dataset(events), test_size=500)
    assert data.test_size == 200
    assert "test_size of 500 rows asked for; all 200 are used" in caplog.text


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (-1, "train_size as a count must not be negative, got -1"),
        (-0.1, r"train_size as a share must lie in 0.0 .. 1.0, got -0.1"),
        (1.5, r"train_size as a share must lie in 0.0 .. 1.0, got 1.5"),
        (float("nan"), r"train_size as a share must lie in 0.0 .. 1.0, got nan"),
        (True, "train_size must be a share .float. or a count .int., not True"),
        (np.bool_(False), "train_size must be a share .float. or a count .int., not"),
        ("100", "train_size must be a share .float. or a count .int., not '100'"),
        (None, "train_size must be a share .float. or a count .int., not None"),
    ],
)
def test_impossible_sizes(size, message, events, write_dataset):
    with pytest.raises(SettingsError, match=message):
        split_size(size, 100, "train_size")
    with pytest.raises(SettingsError, match="test_size"):
        Data(write_dataset(events), test_size=size)


def test_train_size_takes_a_random_part_in_file_order(events, write_dataset):
    data = Data(write_dataset(events))
    data.load_train_set(train_size=0.25)
    part = data.get_train_set()
    assert len(part) == 35
    tail = list(events["PRI_lep_eta"].iloc[60:])
    positions = [tail.index(eta) for eta in part["PRI_lep_eta"]]
    assert positions == sorted(set(positions))
    assert max(positions) > 70  # not just the first rows
    data.load_train_set(train_size=10_000)
    assert len(data.get_train_set()) == 140
    data.load_train_set(train_size=0)
    assert data.get_train_set().shape == (0, 31)


def test_defect_13_the_choice_of_training_events_has_a_seed_of_its_own(events, write_dataset):
    data = Data(write_dataset(events))

    def chosen(**seed):
        data.load_train_set(train_size=40, **seed)
        return list(data.get_train_set()["PRI_lep_eta"])

    before = np.random.get_state()[1].copy()
    assert chosen(seed=5) == chosen(seed=5) != chosen(seed=6)
    assert chosen(seed=np.random.default_rng(5)) == chosen(seed=5)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    with pytest.raises(SettingsError, match="seed must be an integer"):
        chosen(seed="x")


def test_without_a_seed_the_global_state_chooses_as_in_the_reference(events, write_dataset):
    data = Data(write_dataset(events))
    chosen = []
    for seed in (1, 1, 2):
        np.random.seed(seed)
        data.load_train_set(train_size=40)
        chosen.append(list(data.get_train_set()["PRI_lep_eta"]))
    assert chosen[0] == chosen[1] != chosen[2]
    np.random.seed(2)
    rows = np.sort(np.random.choice(140, size=40, replace=False))
    assert chosen[2] == list(events["PRI_lep_eta"].iloc[60 + rows])


def test_selected_indices_count_within_the_training_set_and_come_in_file_order(
    events, write_dataset
):
    data = Data(write_dataset(events, row_group_size=50))
    for indices in ([139, 0, 17], np.array([17, 139, 0], np.uint8), (0, 17, 139), [0.0, 17, 139]):
        data.load_train_set(selected_indices=indices)
        np.testing.assert_array_equal(
            data.get_train_set()["PRI_lep_eta"], events["PRI_lep_eta"].iloc[[60, 77, 199]]
        )
    data.load_train_set(selected_indices=[])
    assert len(data.get_train_set()) == 0


@pytest.mark.parametrize("indices", [[0, 0, 1], [0, 0, 2], [3, 3, 3], [1, 1, 5, 9]])
@pytest.mark.parametrize("row_group_size", [1, 3, 200])
def test_an_index_selected_twice_comes_twice(events, write_dataset, indices, row_group_size):
    data = Data(write_dataset(events, row_group_size=row_group_size))
    data.load_train_set(selected_indices=indices)
    expected = events["PRI_lep_eta"].iloc[60:].iloc[indices]
    np.testing.assert_array_equal(data.get_train_set()["PRI_lep_eta"], expected)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([0, 140], r"must lie in 0 .. 139 \(positions within the training set\), got 0 .. 140"),
        ([-1], r"must lie in 0 .. 139 .*, got -1 .. -1"),
        ([0.5], "one-dimensional array of integers"),
        ([True, False], "one-dimensional array of integers"),
        (["1"], "one-dimensional array of integers"),
        ([[1, 2]], "one-dimensional array of integers"),
        (3, "one-dimensional array of integers"),
    ],
)
def test_bad_indices(events, write_dataset, indices, message):
    with pytest.raises(SettingsError, match=f"selected_indices must.*{message}|{message}"):
        Data(write_dataset(events)).load_train_set(selected_indices=indices)


def test_train_size_has_precedence_over_selected_indices(events, write_dataset):
    data = Data(write_dataset(events))
    data.load_train_set(train_size=3, selected_indices=[1, 2])
    assert len(data.get_train_set()) == 3


def test_iter_test_groups_yields_raw_weights_in_file_order(events, write_dataset):
    data = Data(write_dataset(events, row_group_size=25, derived=True))
    together = pd.concat(data.iter_test_groups(), ignore_index=True)
    assert len(together) == 60
    assert set(together.columns) == {*PRI_COLUMNS, *LABEL_COLUMNS}
    np.testing.assert_array_equal(together["weights"], events["weights"].iloc[:60])


# ----------------------------------------------------------------------------------------------
# get_syst_train_set
# ----------------------------------------------------------------------------------------------


def test_defect_2_get_syst_train_set_passes_every_argument_where_it_belongs(events, write_dataset):
    data = Data(write_dataset(events))
    options = {
        "tes": 0.98,
        "jes": 1.03,
        "soft_met": 1.5,
        "ttbar_scale": 0.5,
        "diboson_scale": 3.0,
        "bkg_scale": 1.25,
    }
    shifted = data.get_syst_train_set(*options.values(), True, seed=8)
    expected = systematics(data.get_train_set(), **options, seed=8)
    pd.testing.assert_frame_equal(shifted, expected)
    # ttbar_scale must change weights, and must not act as the seed of the noise.
    one, two = (data.get_syst_train_set(soft_met=1.0, ttbar_scale=scale) for scale in (1.0, 2.0))
    pd.testing.assert_frame_equal(one.drop(columns="weights"), two.drop(columns="weights"))
    ratio = two["weights"] / one["weights"]
    np.testing.assert_allclose(ratio, np.where(one["detailed_labels"] == "ttbar", 2.0, 1.0))


def test_get_syst_train_set_passes_arguments_by_keyword(events, write_dataset, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        reader, "systematics", lambda *frames, **options: seen.update(options, n=len(frames))
    )
    Data(write_dataset(events)).get_syst_train_set(1.1, 0.9, 2.0, 1.2, 0.5, 1.01, True, seed=3)
    assert seen == {
        "n": 1,
        "tes": 1.1,
        "jes": 0.9,
        "soft_met": 2.0,
        "seed": 3,
        "ttbar_scale": 1.2,
        "diboson_scale": 0.5,
        "bkg_scale": 1.01,
        "dopostprocess": True,
    }


def test_get_syst_train_set_loads_the_training_set_and_leaves_it(events, write_dataset):
    data = Data(write_dataset(events))
    shifted = data.get_syst_train_set(tes=1.1, jes=1.1, bkg_scale=1.1)
    assert len(shifted) == 140  # no cuts by default
    before, _ = load_all(Data(data.input_dir))
    pd.testing.assert_frame_equal(data.get_train_set(), before)


# ----------------------------------------------------------------------------------------------
# Named errors
# ----------------------------------------------------------------------------------------------


def test_no_directory(tmp_path):
    with pytest.raises(DataError, match="nowhere is not a directory: name the one that holds"):
        Data(tmp_path / "nowhere")


def test_no_parquet(tmp_path):
    with pytest.raises(DataError, match=r"no parquet file in .*higgsml generate"):
        Data(tmp_path)


def test_two_parquets(events, write_dataset):
    directory = write_dataset(events)
    (directory / "another.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"2 parquet files .*FAIR.*another\.parquet.*: leave one"):
        Data(directory)


def test_missing_columns(events, write_dataset):
    directory = write_dataset(events.drop(columns=["PRI_met", "weights"]))
    with pytest.raises(DataError, match=r"data\.parquet lacks the columns PRI_met, weights"):
        Data(directory)


def test_extra_columns(events, write_dataset):
    extra = events.assign(number=np.arange(200), note="a").set_index("weights", drop=False)
    extra.index.name = None
    data = Data(write_dataset(extra, row_group_size=30))
    data.load_train_set(selected_indices=[2, 100])
    train = data.get_train_set()
    assert list(train.columns) == [*PRI_COLUMNS, *LABEL_COLUMNS, *DER_COLUMNS, "number", "note"]
    assert list(train["number"]) == [62, 160]
    assert set(train["note"]) == {"a"}
    data.load_test_set()
    assert "number" in data.get_test_set()["ttbar"]
    assert len(systematics(train, dopostprocess=False)["number"]) == 2


def test_a_column_twice(events, write_dataset):
    directory = write_dataset(events)
    table = pa.Table.from_pandas(events, preserve_index=False)
    table = table.append_column("PRI_met", table["PRI_met"])
    pq.write_table(table, next(directory.glob("*.parquet")))
    with pytest.raises(DataError, match="names a column twice"):
        Data(directory)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("PRI_met", "much", "column PRI_met must be numeric, not (large_)?string"),
        ("PRI_n_jets", True, "column PRI_n_jets must be numeric, not bool"),
        ("labels", "s", "column labels must be numeric, not (large_)?string"),
        ("detailed_labels", 1, "column detailed_labels must hold text, not int64"),
    ],
)
def test_wrong_types(events, write_dataset, column, values, message):
    with pytest.raises(DataError, match=rf"data\.parquet: {message}"):
        Data(write_dataset(events.assign(**{column: values})))


def break_row(events, row, column, value):
    broken = events.copy()
    if column != "detailed_labels":
        broken[column] = broken[column].astype(np.float64)
    broken.loc[row, column] = value
    return broken


BAD_VALUES = [
    ("PRI_met", np.inf, "column PRI_met has 1 values that are NaN or infinite, the first in row"),
    ("PRI_had_pt", -np.inf, "column PRI_had_pt has 1 values that are NaN or infinite"),
    ("weights", np.inf, "column weights has 1 values that are NaN or infinite"),
    ("weights", -0.5, "1 weights are negative"),
    ("detailed_labels", "wjets", r"unknown process \['wjets'\] in detailed_labels; known are zta"),
    ("labels", 0.5, "labels must be 1 for htautau and 0 else; 1 rows differ"),
]


@pytest.mark.parametrize(("column", "value", "message"), BAD_VALUES)
@pytest.mark.parametrize("row", [3, 150], ids=["test", "train"])
def test_bad_values(events, write_dataset, row, column, value, message):
    data = Data(write_dataset(break_row(events, row, column, value), row_group_size=32))
    load = data.load_test_set if row < 60 else data.load_train_set
    with pytest.raises(DataError, match=rf"data\.parquet: {message}"):
        load()
    if row < 60:
        with pytest.raises(DataError, match=message):
            list(data.iter_test_groups())


def write_column(directory, events, name, array):
    """Replace a column by an arrow array, which can tell NaN from null."""
    table = pa.Table.from_pandas(events, preserve_index=False)
    table = table.set_column(table.schema.get_field_index(name), name, array)
    pq.write_table(table, next(directory.glob("*.parquet")))


def test_nan(events, write_dataset):
    directory = write_dataset(events)
    values = events["PRI_met"].to_numpy().copy()
    values[[2, 5]] = np.nan
    write_column(directory, events, "PRI_met", pa.array(values))
    with pytest.raises(
        DataError, match=r"column PRI_met has 2 values that are NaN .*row 2 of those"
    ):
        Data(directory).load_test_set()


@pytest.mark.parametrize("name", ["PRI_met", "detailed_labels", "weights"])
def test_null(events, write_dataset, name):
    directory = write_dataset(events)
    values = events[name].tolist()
    values[4] = None
    kind = pa.string() if name == "detailed_labels" else pa.float32()
    write_column(directory, events, name, pa.array(values, kind))
    with pytest.raises(DataError, match=f"column {name} has 1 empty values"):
        Data(directory).load_test_set()


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e6])
def test_bad_weights_in_rows_that_are_not_read_do_not_spoil_the_scale(events, write_dataset, value):
    """Without metadata the scale comes from all rows, the other part's included."""
    data = Data(write_dataset(break_row(events, 150, "weights", value), metadata=None))
    with pytest.raises(DataError, match="weights"):
        data.load_test_set()


def test_labels_that_disagree(events, write_dataset):
    flipped = events.assign(labels=1 - events["labels"])
    with pytest.raises(DataError, match="labels must be 1 for htautau and 0 else; 60 rows differ"):
        Data(write_dataset(flipped)).load_test_set()


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"total_rows": 199}, r"metadata\.json says total_rows = 199, but .* has 200"),
        ({"total_rows": "200"}, r"says total_rows = '200', but"),
        ({"columns": ["PRI_met"]}, r"metadata\.json lists other columns than .*data\.parquet"),
        ({"columns": "PRI_met"}, "lists other columns"),
        ({"detailed_labels": ["ttbar", "wjets"]}, "unknown process in detailed_labels; known are"),
        ({"detailed_labels": "ttbar"}, "unknown process in detailed_labels"),
        ({"sum_weights": 0}, "sum_weights must be a positive number, got 0"),
        ({"sum_weights": -5.0}, "sum_weights must be a positive number, got -5.0"),
        ({"sum_weights": "12"}, "sum_weights must be a positive number, got '12'"),
        ({"sum_weights": True}, "sum_weights must be a positive number, got True"),
        ({"sum_weights": None}, "sum_weights must be a positive number, got None"),
        ({"sum_weights": float("nan")}, "sum_weights must be a positive number, got nan"),
        ({"sum_weights": float("inf")}, "sum_weights must be a positive number, got inf"),
        ({"sum_weights": 10**400}, "sum_weights must be a positive number"),
    ],
)
def test_metadata_that_disagrees(events, write_dataset, metadata, message):
    with pytest.raises(DataError, match=message):
        Data(write_dataset(events, metadata=metadata))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("", "is not valid JSON"),
        ("\ufeff{}x", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[1]", "must hold a JSON object"),
        ("null", "must hold a JSON object"),
    ],
)
def test_broken_metadata(events, write_dataset, text, message):
    directory = write_dataset(events)
    path = next(directory.glob("*.json"))
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=rf"metadata\.json {message}"):
        Data(directory)


def test_metadata_that_is_not_text(events, write_dataset):
    directory = write_dataset(events)
    next(directory.glob("*.json")).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not valid JSON"):
        Data(directory)


def test_two_metadata_files(events, write_dataset):
    directory = write_dataset(events)
    (directory / "other_metadata.json").write_text("{}")
    with pytest.raises(DataError, match=r"several metadata files \(.*other_metadata\.json.*leave"):
        Data(directory)


def test_truncated_parquet(events, write_dataset):
    directory = write_dataset(events)
    path = next(directory.glob("*.parquet"))
    content = path.read_bytes()
    for size in (0, 4, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match=r"data\.parquet is not a readable parquet file"):
            Data(directory)


@pytest.mark.parametrize("metadata", [(), None], ids=["metadata", "none"])
def test_damaged_pages(events, write_dataset, metadata):
    """The footer is whole, the data are not."""
    directory = write_dataset(events, metadata=metadata)
    path = next(directory.glob("*.parquet"))
    content = path.read_bytes()
    footer = int.from_bytes(content[-8:-4], "little") + 8
    path.write_bytes(b"PAR1" + b"\xff" * (len(content) - footer - 4) + content[-footer:])
    data = Data(directory)
    with pytest.raises(DataError, match=r"data\.parquet"):
        data.load_test_set()
    with pytest.raises(DataError, match=r"data\.parquet"):
        data.sum_weights() if metadata is None else list(data.iter_test_groups())


def test_errors_have_one_base_and_are_value_errors():
    assert issubclass(DataError, HiggsMLError)
    assert issubclass(DataError, ValueError)
    assert issubclass(SettingsError, ValueError)


# ----------------------------------------------------------------------------------------------
# Real and shipped data
# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mini_dataset", "real_sample"])
def test_datasets_at_hand(name, request):
    data = Data(request.getfixturevalue(name))
    assert set(data.metadata["detailed_labels"]) == set(PROCESSES)
    data.load_train_set(train_size=500)
    train = data.get_train_set()
    assert len(train) == 500
    assert list(train.columns) == COLUMNS
    total = train["weights"].astype(float).sum()
    assert total == pytest.approx(data.metadata["sum_weights"], rel=1e-5)


def test_derived_quantities_of_the_real_sample_are_the_stored_ones(real_sample):
    """Computed by the organizers before the primaries were rounded to three decimals."""
    frame = pd.read_parquet(Data(real_sample).path)
    derived = DER_data(frame[list(PRI_COLUMNS)].copy())
    for name in ("DER_mass_vis", "DER_pt_h", "DER_sum_pt", "DER_deltar_had_lep", "DER_pt_tot"):
        np.testing.assert_allclose(derived[name], frame[name], rtol=2e-3, atol=0.05, err_msg=name)


# ----------------------------------------------------------------------------------------------
# Download: from a server in this process, never from the network
# ----------------------------------------------------------------------------------------------


@pytest.fixture
def archive(events, write_dataset):
    directory = write_dataset(events, name="source")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for path in directory.iterdir():
            file.write(path, f"inner/{path.name}")
    return content.getvalue()


@pytest.fixture
def serve():
    """A function that serves bytes over http and returns the address and the list of requests."""
    servers = []

    def start(content, *, length=None, status=200):
        requests = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                requests.append(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(length or len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/data.zip", requests

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_download_once(archive, serve, tmp_path):
    url, requests = serve(archive)
    steps = []
    for _ in range(2):
        data = download_dataset(url, directory=tmp_path, progress=lambda *done: steps.append(done))
        assert data.total_rows == 200
        assert data.input_dir == tmp_path / "data" / "inner"
    assert requests == ["/data.zip"]
    assert steps[-1] == (len(archive), len(archive))


def test_download_by_name(archive, serve, tmp_path, monkeypatch):
    url, _ = serve(archive)
    assert set(AVAILABLE_DATASETS) == {
        "neurips2024_data",
        "blackSwan_data",
        "sample_data",
    }
    monkeypatch.setitem(AVAILABLE_DATASETS, "sample_data", url)
    monkeypatch.chdir(tmp_path)
    assert download_dataset("sample_data").total_rows == 200
    assert (tmp_path / "sample_data").is_dir()


def test_unknown_name(tmp_path):
    with pytest.raises(SettingsError, match="unknown dataset 'higgs': use one of neurips2024_data"):
        download_dataset("higgs", directory=tmp_path)


@pytest.fixture
def ranged(archive):
    """An Invenio-like server: ranges, a record with a checksum; the first answer breaks off.

    Yields the address of the file, what was asked for, and a dict whose ``checksum`` may be set.
    """
    asked, record = [], {"checksum": f"md5:{hashlib.md5(archive).hexdigest()}", "cut": 100}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers.get("Range")))
            if self.path == "/api/records/7":
                body = {"files": [{"key": "the data.zip", "checksum": record["checksum"]}]}
                content, status = json.dumps(body).encode(), 200
            else:
                start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
                content, status = archive[start:], 206 if start else 200
                if start >= len(archive):
                    content, status = b"", 416
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            cut, record["cut"] = record["cut"], None
            self.wfile.write(content[:cut])

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/records/7/files/the%20data.zip?download=1"
    yield url, asked, record
    server.shutdown()
    server.server_close()


def test_a_download_that_broke_off_goes_on_and_is_checked(ranged, tmp_path):
    url, asked, _ = ranged
    with pytest.raises(DataError, match=r"broke off after 100 of|IncompleteRead.*it goes on from"):
        download_dataset(url, directory=tmp_path)
    assert [path.name for path in tmp_path.glob("data*")] == ["data.zip.part"]
    assert download_dataset(url, directory=tmp_path).total_rows == 200
    assert [part for _, part in asked] == [None, "bytes=100-", None]
    assert asked[-1][0] == "/api/records/7"


def test_a_wrong_checksum_is_refused(ranged, tmp_path):
    url, _, record = ranged
    record.update(checksum="md5:" + "0" * 32, cut=None)
    with pytest.raises(DataError, match=r"another checksum .* than its record states"):
        download_dataset(url, directory=tmp_path)
    assert list(tmp_path.glob("data*")) == []


def test_a_part_that_is_too_long_is_fetched_anew(ranged, archive, tmp_path):
    url, _, record = ranged
    record["cut"] = None
    (tmp_path / "data.zip.part").write_bytes(archive + b"more")
    assert download_dataset(url, directory=tmp_path).total_rows == 200


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/data.zip", "http://[bad/data.zip", "http://127.0.0.1:x/a.zip"]
)
def test_every_failure_of_a_connection_is_a_named_error(url, tmp_path):
    with pytest.raises(DataError, match="can not be fetched: "):
        download_dataset(url, directory=tmp_path)


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_a_server_that_talks_nonsense(answer, tmp_path):
    listener = socket.create_server(("127.0.0.1", 0))

    def talk():
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    threading.Thread(target=talk, daemon=True).start()
    with listener, pytest.raises(DataError, match=r"can not be fetched: |can not be unpacked: "):
        download_dataset(f"http://127.0.0.1:{listener.getsockname()[1]}/a", directory=tmp_path)


def test_a_server_that_refuses(serve, tmp_path):
    url, _ = serve(b"no", status=404)
    with pytest.raises(DataError, match="can not be fetched: HTTP Error 404"):
        download_dataset(url, directory=tmp_path)
    assert list(tmp_path.glob("data*")) == []


def test_something_that_is_no_zip_file(serve, tmp_path):
    url, _ = serve(b"<html>please log in</html>")
    with pytest.raises(DataError, match=r"data\.zip can not be unpacked: .*; delete it to retry"):
        download_dataset(url, directory=tmp_path)
    assert not (tmp_path / "data").exists()


# ----------------------------------------------------------------------------------------------
# Data as users have them
# ----------------------------------------------------------------------------------------------


def test_hidden_files_are_ignored(events, write_dataset, tmp_path):
    directory = write_dataset(events)
    identity = data_identity(Data(directory))
    for path in list(directory.iterdir()):
        (directory / f"._{path.name}").write_bytes(b"Mac OS X")
    (directory / ".hidden_metadata.json").write_text("{")
    assert Data(directory).total_rows == 200
    assert data_identity(Data(directory)) == identity
    (tmp_path / "sample_data" / "__MACOSX").mkdir(parents=True)
    shutil.copytree(directory, tmp_path / "sample_data" / "set")
    (tmp_path / "sample_data" / "__MACOSX" / "a.parquet").write_bytes(b"Mac OS X")
    assert download_dataset("sample_data", directory=tmp_path).total_rows == 200


def test_a_pointer_of_git_lfs_is_called_that(events, write_dataset):
    directory = write_dataset(events)
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"
    for pattern in ("*.json", "*.parquet"):
        next(directory.glob(pattern)).write_text(pointer)
        with pytest.raises(DataError, match=r"is a Git LFS pointer, not the data: .*git lfs pull"):
            Data(directory)


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"LC_ALL": "C.UTF-8"}, {"LC_ALL": "POSIX"}])
def test_paths_that_are_not_ascii_in_every_locale(events, write_dataset, locale):
    directory = write_dataset(events, name="d\u00e9j\u00e0 \u65e5\u672c \u03bc")
    code = (
        "import sys; from HiggsML.datasets import Data; data = Data(sys.argv[1]); "
        "data.load_test_set(); data.load_train_set(); print(len(data.get_train_set()))"
    )
    plain = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PATH": os.environ["PATH"], **locale}
    command = [sys.executable, "-c", code, str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, env=plain)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["140"]


@pytest.mark.parametrize("name", ["PRI_lep_pt", "PRI_met", "PRI_jet_all_pt", "PRI_jet_leading_pt"])
@pytest.mark.parametrize("value", [-999.0, -1.0])
def test_negative_momenta_are_refused(events, write_dataset, name, value):
    events.loc[100, name] = value
    data = Data(write_dataset(events))
    with pytest.raises(DataError, match=rf"column {name} has 1 negative values.* is {value:g} in"):
        data.load_train_set()


def with_signal(events, rows):
    process = np.where(np.isin(np.arange(len(events)), rows), SIGNAL, "ztautau")
    return events.assign(detailed_labels=process, labels=(process == SIGNAL).astype(np.float32))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (range(300, 1000), r"test split \(300 rows\) has no signal"),
        (range(300), r"test split \(300 rows\) has no background"),
        (range(100), r"training split \(700 rows\) has no signal"),
        ((), "has no signal"),
    ],
)
def test_a_split_without_a_class_is_refused(make_events, write_dataset, rows, says):
    directory = write_dataset(with_signal(make_events(1000), rows))
    with pytest.raises(DataError, match=f"{says}.*shuffle the rows"):
        Data(directory)


def test_shares_that_chance_does_not_make_are_warned_of(make_events, write_dataset):
    events = make_events(1000)
    partly = write_dataset(with_signal(events, range(250, 700)), name="partly")
    with pytest.warns(UserWarning, match="16.67% of the test rows are signal, but 57.14% of the"):
        Data(partly)
    fine = with_signal(events, np.random.default_rng(1).choice(1000, 300, replace=False))
    assert Data(write_dataset(fine, name="fine")).total_rows == 1000


def test_loading_more_training_events_than_the_memory_holds_is_warned_of(
    events, write_dataset, monkeypatch
):
    monkeypatch.setattr("HiggsML.datasets.reader.machine_memory", lambda: 16_000)
    data = Data(write_dataset(events))
    with pytest.warns(
        UserWarning,
        match=r"140 of 140 training events take 21.9 kB, and this machine has 15.6 kB of memory: "
        r"load_train_set\(train_size=50\) leaves room for a copy",
    ):
        data.load_train_set()
    data.load_train_set(train_size=50)
    assert len(data.get_train_set()) == 50


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PRI_had_pt", 41_300.0, "outside 0 .. 14000, .* momenta in GeV"),
        ("PRI_lep_phi", 171.0, "outside -3.15 .. 3.15, .* angles in radians"),
        ("PRI_met_phi", -25.0, "outside -3.15 .. 3.15, the first is -25"),
        ("PRI_had_eta", -999.0, "outside -15 .. 15, the first is -999 .* pseudorapidities"),
        ("PRI_jet_leading_eta", -999.0, "outside -15 .. 15, the first is -999"),
        ("PRI_jet_subleading_phi", -999.0, "outside -3.15 .. 3.15"),
        ("PRI_n_jets", -1.0, "outside 0 .. 100, the first is -1"),
    ],
)
def test_other_units_and_other_marks_are_refused(events, write_dataset, name, value, says):
    events[name] = events[name].astype("float64")
    events.loc[[70, 71], name] = value
    with pytest.raises(DataError, match=f"{name} has 2 values {says}"):
        Data(write_dataset(events)).load_train_set()


def test_a_name_in_capitals_and_a_byte_order_mark_are_read(events, write_dataset):
    directory = write_dataset(events)
    path, described = (next(directory.glob(f"*{end}")) for end in (".parquet", "_metadata.json"))
    path.rename(path.with_suffix(".PARQUET"))
    described.write_text(described.read_text("utf-8"), encoding="utf-8-sig")
    assert Data(directory).metadata["sum_weights"] == 1234.5
