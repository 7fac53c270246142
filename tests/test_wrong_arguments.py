"""The drop-in classes, called in the wrong order or with arguments of the wrong kind."""

from __future__ import annotations

import pandas as pd
import pytest

from HiggsML.datasets import Data
from HiggsML.errors import DataError, HiggsMLError, SettingsError, SubmissionError
from HiggsML.four_lepton import clean_samples, cut_flow, plot_SoverB, read_samples
from HiggsML.four_lepton.events import write_four_lepton
from HiggsML.ingestion import Ingestion
from HiggsML.physics.shifts import rate_factors
from HiggsML.score import Scoring
from HiggsML.submission.model import make_model

SETTINGS = {
    "num_of_sets": 2,
    "num_pseudo_experiments": 3,
    "systematics": {"tes": True},
    "ground_truth_mus": [0.5, 1.0],
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (None, "test_settings must be a dictionary, .* not NoneType"),
        ("settings.json", "test_settings must be a dictionary, .* not str"),
        ({"num_of_sets": "two"}, "num_of_sets must be a whole number, not 'two'"),
        ({"num_of_sets": None}, "num_of_sets must be a whole number, not None"),
        ({"num_pseudo_experiments": float("inf")}, "num_pseudo_experiments must be a whole"),
        ({"ground_truth_mus": [0.5]}, "a number for each of 2 sets, got \\[0.5\\]"),
        ({"ground_truth_mus": 0.5}, "a number for each of 2 sets, got 0.5"),
        ({"ground_truth_mus": {0: 1.0}}, "a number for each of 2 sets"),
        ({"ground_truth_mus": ["a", "b"]}, "a number for each of 2 sets"),
        ({"systematics": ["tes"]}, "systematics must say True or False by name"),
    ],
)
def test_settings_of_the_wrong_kind_are_named(change, says):
    ingestion = Ingestion()
    ingestion.model = object()
    settings = {**SETTINGS, **change} if isinstance(change, dict) else change
    with pytest.raises(SettingsError, match=says):
        ingestion.predict_submission(settings)


def test_a_seed_that_is_no_number_is_named():
    ingestion = Ingestion()
    ingestion.model = object()
    with pytest.raises(SettingsError, match="initial_seed must be a whole number, not 'a'"):
        ingestion.predict_submission(SETTINGS, initial_seed="a")


def test_a_name_where_an_object_is_wanted(tmp_path):
    with pytest.raises(SettingsError, match=r"Ingestion\(Data\('input_data'\)\)"):
        Ingestion("input_data")
    for wrong in ("Model", object()):
        with pytest.raises(SubmissionError, match="pass Model itself, not an object of"):
            make_model(wrong, None, None)
    for wrong in (None, 3, ["input_data"]):
        with pytest.raises(DataError, match="input_dir must be the path"):
            Data(wrong)


def test_places_that_are_no_folders(tmp_path):
    file = tmp_path / "results.txt"
    file.write_text("mine")
    for wrong, says in ((None, "must be the path of a folder"), (file, "is a file, not a folder")):
        with pytest.raises(SettingsError, match=says):
            Ingestion().save_result(wrong)
        with pytest.raises(SettingsError, match=says):
            Scoring().load_ingestion_results(wrong, tmp_path)
        with pytest.raises(SettingsError, match=says):
            Scoring().load_ingestion_results(tmp_path, wrong)
    assert file.read_text() == "mine"


def test_out_of_order(tmp_path):
    with pytest.warns(UserWarning, match="no results yet: call predict_submission first"):
        Ingestion().save_result(tmp_path / "results")
    with pytest.raises(HiggsMLError, match="call init_submission first"):
        Ingestion().predict_submission(SETTINGS)
    with pytest.raises(HiggsMLError, match="call load_ingestion_results first"):
        Scoring().compute_scores(SETTINGS)
    scoring = Scoring()
    scoring.ingestion_results = [
        {name: [1.0] for name in ("mu_hats", "delta_mu_hats", "p16", "p84")}
    ]
    with pytest.raises(SettingsError, match="test_settings must be a dictionary"):
        scoring.compute_scores(None)
    for wrong in (0.8, ["a"], None):
        with pytest.raises(SettingsError, match="ground_truth_mus must hold a number for each set"):
            scoring.compute_scores({**SETTINGS, "ground_truth_mus": wrong})


@pytest.mark.parametrize("name", ["mu", "ttbar_scale", "diboson_scale", "bkg_scale"])
def test_a_rate_that_is_no_number_is_named(name):
    with pytest.raises(SettingsError, match=f"rates must be numbers, got .*'{name}': 'much'"):
        rate_factors(**{name: "much"})


FRAME = pd.DataFrame({f"lep_{part}_{i}": [1.0] for part in ("type", "charge") for i in range(4)})
HISTOGRAM = {"bin_width": 1, "num_bins": 13, "xrange_min": 7, "xlabel": "pt"}


@pytest.mark.parametrize("wrong", [None, [FRAME], FRAME, {"llll": [1, 2]}])
def test_samples_of_the_wrong_kind_are_named(wrong):
    for call in (clean_samples, cut_flow, lambda frames: plot_SoverB(frames, {})):
        with pytest.raises(DataError, match="must be a dictionary of DataFrames by sample"):
            call(wrong)


def test_histograms_and_columns_of_the_exercise(tmp_path):
    samples = {name: FRAME.assign(lep_pt_2=9.0, totalWeight=1.0) for name in ("llll", "H125")}
    with pytest.raises(SettingsError, match=r"hist_dict must be a dictionary: .*; not list"):
        plot_SoverB(samples, ["lep_pt_2"])
    with pytest.raises(DataError, match="lacks the column lep_pt2; did you mean 'lep_pt_2'"):
        plot_SoverB(samples, {"lep_pt2": HISTOGRAM})
    with pytest.raises(DataError, match=r"'higgsml four-lepton --output .*nowhere' makes it"):
        read_samples(tmp_path / "nowhere")


def test_the_toy_says_how_far_it_is(tmp_path):
    seen = []
    write_four_lepton(
        tmp_path, events=50, seed=1, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == sorted(seen)
    assert seen[-1] == (100, 100)
