"""Digits that rounding took come back: the same events to the eye, without a comb."""

import numpy as np
import pandas as pd
import pytest

from HiggsML.physics.shifts import rounded
from HiggsML.pseudo_experiments import EventStore
from HiggsML.pseudo_experiments.digits import Digits
from HiggsML.schema import PRI_COLUMNS
from HiggsML.systematics import systematics

SCALED = ("PRI_had_pt", "PRI_jet_leading_pt", "PRI_jet_subleading_pt", "PRI_jet_all_pt")


@pytest.fixture(scope="module")
def rows(make_events):
    frame = make_events(20_000, seed=5)
    return np.stack([frame[name].to_numpy(np.float32) for name in PRI_COLUMNS], axis=1)


@pytest.fixture(scope="module")
def restored(rows):
    return Digits({"name": "a dataset"}).restore("ttbar", rows)


def column(rows, name):
    return rows[:, PRI_COLUMNS.index(name)]


def test_events_round_to_the_official_values(rows, restored):
    for name in PRI_COLUMNS:
        now = column(restored, name)
        np.testing.assert_array_equal(rounded(now), column(rows, name), err_msg=name)
        exists = (column(rows, name) > 0) & (name in SCALED)
        assert (now[~exists] == column(rows, name)[~exists]).all()
        if name in SCALED:
            assert (now[exists] != column(rows, name)[exists]).mean() > 0.9


def test_digits_are_uniform_within_half_of_the_last_one(rows, restored):
    for name in SCALED:
        exists = column(rows, name) > 0
        offset = column(restored, name)[exists].astype(float) - np.round(
            column(rows, name)[exists].astype(float), 3
        )
        counts = np.histogram(1000 * offset, bins=10, range=(-0.5, 0.5))[0]
        expected = exists.sum() / 10
        assert np.abs(counts - expected).max() < 5 * np.sqrt(expected), name


def test_the_sum_of_all_jets_stays_that_of_its_jet(rows, restored):
    one = column(rows, "PRI_n_jets") == 1
    same = column(rows, "PRI_jet_all_pt") == column(rows, "PRI_jet_leading_pt")
    assert (one & same).any()
    leading, total = (column(restored, f"PRI_jet_{which}_pt") for which in ("leading", "all"))
    np.testing.assert_array_equal(leading[one & same], total[one & same])


def test_the_same_dataset_gives_the_same_digits_however_it_is_read(rows, restored):
    digits = Digits({"name": "a dataset"})
    parts = [digits.restore("ttbar", part) for part in np.array_split(rows, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), restored)
    for identity, process in (({"name": "another"}, "ttbar"), ({"name": "a dataset"}, "diboson")):
        assert (Digits(identity).restore(process, rows) != restored).any()


def power(values, scale):
    """|sum exp(2 pi i n / s)|^2 / N of values in units of the last digit: 1 is noise."""
    phases = np.rint(1000 * values.astype(float))[None, :] / np.atleast_1d(scale)[:, None]
    return np.abs(np.exp(2j * np.pi * phases).sum(axis=1)) ** 2 / values.size


@pytest.mark.parametrize(("name", "column"), [("tes", "PRI_had_pt"), ("jes", "PRI_jet_leading_pt")])
def test_no_comb_tells_the_energy_scale(make_events, name, column):
    """A periodogram of the momenta peaks at the true scale where official values are scaled, as in
    frames; in pseudo-experiments it does not."""
    frame = make_events(30_000, seed=9).assign(detailed_labels="ztautau", PRI_lep_pt=30.0)
    frame["PRI_lep_pt"] = frame["PRI_lep_pt"].astype(np.float32)
    frame["weights"] = np.float32(1.0)
    scale = 1.0457
    near = scale + np.concatenate([[0.0], np.linspace(-2e-6, 2e-6, 81)])

    def peak(data):
        values = data[column].to_numpy()
        return power(values[values > 30], near).max()

    made = EventStore.from_frames({"ztautau": frame})
    data = made.pseudo_experiment(mu=1.0, nuisances={name: scale}, seed=4)["data"]
    official = systematics(frame, **{name: scale})
    assert peak(official) > 18
    assert peak(data) < 12  # the highest of 82 draws from an exponential distribution of mean 1


def test_nominal_pseudo_experiments_have_official_values(make_events):
    frame = make_events(2_000, seed=3).assign(detailed_labels="ttbar")
    frame["weights"] = np.float32(1.0)
    data = EventStore.from_frames({"ttbar": frame}).pseudo_experiment(mu=1.0, seed=1)["data"]
    official = systematics(frame).set_index("PRI_lep_eta").loc[data["PRI_lep_eta"]]
    for name in ("PRI_had_pt", "PRI_jet_leading_pt", "PRI_jet_subleading_pt"):
        np.testing.assert_array_equal(data[name], official[name])
    assert isinstance(data, pd.DataFrame)
