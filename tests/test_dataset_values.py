"""Rows as users have them: what contradicts itself is refused, with its column and row."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from HiggsML.datasets import Data, training_store
from HiggsML.derived_quantities import DER_data
from HiggsML.errors import DataError
from tests.conftest import DATA_FILE


def changed(events, rows, name, value):
    events = events.astype({name: np.float64})
    events.loc[rows, name] = value
    return events


def of_jets(events, number):
    """Rows with so many jets, in the training set."""
    rows = events.index[events["PRI_n_jets"] == number]
    return rows[rows >= 60][:2]


@pytest.mark.parametrize(
    ("number", "name", "value", "says"),
    [
        (1, "PRI_jet_leading_pt", -25, "PRI_jet_leading_pt has 2 values that disagree with PRI_n_"),
        (1, "PRI_jet_leading_eta", -25, "PRI_jet_leading_eta has 2 values that disagree with"),
        (1, "PRI_jet_subleading_phi", 1.0, "PRI_jet_subleading_phi has 2 values that disagree"),
        (2, "PRI_jet_subleading_pt", -25, "it must be -25 where PRI_n_jets is below 2, and only"),
        (1, "PRI_n_jets", 0, "PRI_jet_leading_pt has 2 values that disagree with PRI_n_jets"),
        (0, "PRI_n_jets", 1, "PRI_jet_leading_pt has 2 values that disagree .* first is -25 in"),
        (1, "PRI_n_jets", 3, "PRI_jet_subleading_pt has 2 values that disagree"),
        (1, "PRI_n_jets", 1.5, "PRI_n_jets has 2 values that are no whole numbers"),
        (2, "PRI_jet_subleading_pt", 5000, "has 2 values far above PRI_jet_leading_pt"),
        (2, "PRI_jet_all_pt", 1, "PRI_jet_all_pt has 2 values that disagree with the jets"),
        (0, "PRI_jet_all_pt", 50, "PRI_jet_all_pt has 2 values that disagree with the jets"),
        (1, "PRI_jet_leading_pt", 0, "PRI_jet_leading_pt has 2 zeros, .* not there has -25"),
        (0, "PRI_had_pt", 0, "PRI_had_pt has 2 zeros, .* every event has a lepton and a tau"),
        (0, "PRI_met", 1e300, "PRI_met has 2 values that are NaN or infinite"),
    ],
)
def test_rows_that_contradict_themselves(events, write_dataset, number, name, value, says):
    data = Data(write_dataset(changed(events, of_jets(events, number), name, value)))
    with pytest.raises(DataError, match=rf"data\.parquet: column .*{says}"):
        data.load_train_set()
    with pytest.raises(DataError, match=says):
        training_store.convert(data, data.input_dir / "new.events")


def test_copies_of_events_may_be_smeared(events, write_dataset):
    rng = np.random.default_rng(3)
    for name in ("PRI_jet_leading_pt", "PRI_jet_subleading_pt", "PRI_jet_all_pt", "PRI_had_pt"):
        there = events[name] > 0
        smeared = events[name] * rng.normal(1.0, 0.01, len(events))
        events[name] = smeared.where(there, events[name]).astype(np.float32)
    assert (events["PRI_jet_all_pt"] < events["PRI_jet_leading_pt"]).any()
    Data(write_dataset(events)).load_train_set()


def test_empty_values_of_jets_say_how_a_jet_that_is_not_there_is_marked(events, write_dataset):
    name = "PRI_jet_leading_pt"
    events[name] = events[name].where(events["PRI_n_jets"] > 0)
    with pytest.raises(DataError, match=f"{name} has .* empty values; .* not there has -25"):
        Data(write_dataset(events)).load_train_set()


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize(
    ("rows", "classes", "says"),
    [
        (slice(300, None), "all", r"training split \(700 rows\) has signal of weight zero only"),
        (slice(0, 299), "all", r"test split \(300 rows\) has signal of weight zero only"),
        (slice(0, None), "signal", "has signal of weight zero only"),
        (slice(300, None), "background", "training .* has background of weight zero only"),
    ],
)
def test_weights_that_are_all_zero(
    make_events, write_dataset, tmp_path, rows, classes, says, statistics
):
    events = make_events(1000)
    is_signal = events["labels"] == 1
    member = {"all": is_signal | True, "signal": is_signal, "background": ~is_signal}[classes]
    chosen = events.loc[rows].index
    events.loc[chosen[member[chosen]], "weights"] = np.float32(0)
    directory = write_dataset(events)
    table = pa.Table.from_pandas(events, preserve_index=False)
    pq.write_table(table, directory / DATA_FILE, write_statistics=statistics)
    with pytest.raises(DataError, match=says):
        Data(directory)


def test_weights_of_few_rows_that_are_all_zero(events, write_dataset):
    """Splits so small are not looked at when a dataset is opened."""
    events.loc[60:, "weights"] = np.float32(0)
    data = Data(write_dataset(events.iloc[:150]), test_size=60)
    with pytest.raises(DataError, match=r"weights of all 90 events read are zero, .* sum to the"):
        data.load_train_set()
    with pytest.raises(DataError, match="weights of all 90 training events are zero"):
        training_store.convert(data, data.input_dir / "new.events")
    data.load_test_set()
    assert sum(len(frame) for frame in data.get_test_set().values()) == 60


def test_shares_of_every_process_are_compared(make_events, write_dataset):
    events = make_events(1000)
    rare = events["detailed_labels"] == "diboson"
    late = pd.concat([events[~rare], events[rare]], ignore_index=True)
    with pytest.warns(UserWarning, match=r"0.00% of the test rows are diboson, but 3.* shuffle"):
        Data(write_dataset(late))


@pytest.mark.parametrize(
    "change",
    [
        lambda table, at: table.set_column(at, "PRI_n_jets", table[at].cast(pa.uint64())),
        lambda table, at: table.set_column(at, "PRI_n_jets", table[at].cast(pa.float16())),
        lambda table, at: table.set_column(at, "PRI_n_jets", table[at].dictionary_encode()),
        lambda table, _: table.set_column(
            table.schema.get_field_index("detailed_labels"),
            "detailed_labels",
            table["detailed_labels"].cast(pa.string_view()),
        ),
        lambda table, _: table.append_column("nested", pa.array([{"a": [1]}] * len(table))),
        lambda table, _: table.append_column("nothing", pa.nulls(len(table))),
        lambda table, _: table.append_column("", pa.array(range(len(table)))),
    ],
)
def test_types_and_columns_that_do_not_matter(events, write_dataset, change):
    directory = write_dataset(events)
    expected = Data(directory)
    expected.load_train_set()
    table = pa.Table.from_pandas(events, preserve_index=False)
    table = change(table, table.schema.get_field_index("PRI_n_jets"))
    pq.write_table(table, directory / DATA_FILE)
    next(directory.glob("*.json")).write_text('{"sum_weights": 1234.5}')
    data = Data(directory)
    data.load_train_set()
    known = list(expected.get_train_set())
    pd.testing.assert_frame_equal(data.get_train_set()[known], expected.get_train_set())


def test_a_column_that_pandas_can_not_hold(events, write_dataset):
    directory = write_dataset(events)
    zone = pa.array([0] * len(events), pa.timestamp("ns", "Nowhere/Land"))
    table = pa.Table.from_pandas(events, preserve_index=False).append_column("time", zone)
    pq.write_table(table, directory / DATA_FILE)
    next(directory.glob("*.json")).unlink()
    data = Data(directory)
    with pytest.raises(DataError, match=r"column time \(timestamp.*can not be read: .*remove it"):
        data.load_train_set()


def test_derived_quantities_that_agree_are_kept_as_they_are(events, write_dataset):
    derived = DER_data(events)
    derived["DER_mass_vis"] += np.float32(0.001)
    data = Data(write_dataset(derived))
    data.load_train_set()
    kept = data.get_train_set()["DER_mass_vis"].to_numpy()
    assert np.array_equal(kept, derived["DER_mass_vis"].to_numpy()[data.test_size :])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("DER_mass_vis", lambda values: 1000 * values),  # MeV
        ("DER_mass_jet_jet", lambda values: values.replace(-25.0, -999.0)),
        ("DER_deltar_had_lep", lambda values: values.to_numpy()[::-1]),  # of other events
        ("DER_pt_h", lambda values: values.where(values.index % 20 != 0, 3 * values + 1)),
    ],
)
def test_derived_quantities_that_contradict_the_primaries(events, write_dataset, name, change):
    events = DER_data(events)
    events[name] = change(events[name])
    data = Data(write_dataset(events))
    says = rf"column {name} contradicts the PRI_ columns.*where it would be.*leave the DER_ columns"
    with pytest.raises(DataError, match=says):
        data.load_train_set()
    with pytest.raises(DataError, match=says):
        training_store.convert(data, data.input_dir / "new.events")
