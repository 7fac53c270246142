"""Names of earlier releases are there, and give what they gave."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

import HiggsML
from HiggsML import datasets, run_competition, systematics, visualization
from HiggsML.errors import DataError, InstallationError, SettingsError
from HiggsML.installation import check_installation
from HiggsML.schema import PROCESSES
from tests.pipeline_fixtures import tiny_dataset

__all__ = ["tiny_dataset"]

SUBMISSIONS = Path(__file__).resolve().parent / "submissions"


@pytest.fixture
def parts(events):
    labels = ("weights", "labels", "detailed_labels")
    return {
        "data": events.drop(columns=list(labels)),
        **{name: events[name].to_numpy().copy() for name in labels},
        "settings": {"mu": 1.0},
    }


def test_the_version_is_above_that_of_the_api():
    ours, theirs = (
        tuple(map(int, text.split("."))) for text in (HiggsML.__version__, HiggsML.__api_version__)
    )
    assert ours > theirs == (0, 1, 5)


def test_split_draws_the_rows_that_it_always_drew(parts, events):
    """Of NumPy's legacy generator, with replacement."""
    train, test = datasets.train_test_split(parts, test_size=0.25)
    drawn = np.random.RandomState(42).randint(0, 200, 50)
    pd.testing.assert_frame_equal(test["data"], parts["data"].iloc[drawn])
    np.testing.assert_array_equal(test["weights"], parts["weights"][drawn])
    assert len(train["data"]) == 200 - len(set(drawn))
    assert "settings" not in train
    assert not set(train["data"].index) & set(test["data"].index)
    frames = datasets.train_test_split(events, test_size=50)
    assert [len(frame) for frame in frames] == [len(train["data"]), 50]


def test_split_can_keep_the_sums_of_the_weights(parts):
    for part in datasets.train_test_split(parts, reweight=True):
        for value in (0, 1):
            mine, whole = (one["weights"][one["labels"] == value].sum() for one in (part, parts))
            assert mine == pytest.approx(whole, rel=1e-5)


def test_public_datasets_are_downloads(monkeypatch):
    asked = []
    monkeypatch.setattr("HiggsML.datasets.old_names.download_dataset", asked.append)
    datasets.Neurips2024_public_dataset()
    datasets.BlackSwan_public_dataset()
    assert asked == ["neurips2024_data", "blackSwan_data"]
    assert datasets.available_datasets["sample_data"] == datasets.SAMPLE_DATA_URL
    assert datasets.ZENODO_URL.startswith("https://zenodo.org/")
    assert "codabench" in datasets.BLACK_SWAN_DATA_URL


def test_data_format_is_parquet(events, write_dataset):
    directory = write_dataset(events)
    assert datasets.Data(directory, data_format="parquet").total_rows == 200
    with pytest.raises(SettingsError, match="data_format 'csv' is no longer read"):
        datasets.Data(directory, data_format="csv")


def test_rows_are_repeated_by_weight(events):
    weighted = events.assign(weights=np.arange(200) % 3 + 0.7)
    repeated = systematics.repeat_rows_by_weight(weighted)
    assert len(repeated) == int(np.sum(np.arange(200) % 3))
    assert "weights" not in repeated
    counts = repeated["PRI_met"].value_counts()
    assert counts[weighted["PRI_met"].iloc[2]] % 2 == 0
    pd.testing.assert_frame_equal(repeated, systematics.repeat_rows_by_weight(weighted, seed=31415))
    assert not repeated.equals(systematics.repeat_rows_by_weight(weighted, seed=1))


@pytest.mark.parametrize("key", ["detailedlabel", "detailed_labels"])
def test_unweighted_set_is_by_process(parts, key):
    parts[key] = parts.pop("detailed_labels")
    frames = systematics.make_unweighted_set(parts)
    assert set(frames) == set(PROCESSES)
    assert sum(map(len, frames.values())) == 200
    index = frames["ttbar"].index
    assert set(parts[key][index]) == {"ttbar"}
    assert list(index) != sorted(index)


@pytest.mark.parametrize("form", ["frame", "dict"])
def test_dataset_visualise(events, parts, form, capsys):
    shown = visualization.Dataset_visualise(events if form == "frame" else parts, name="mine")
    shown.examine_dataset()
    text = capsys.readouterr().out
    assert "mine: 200 events" in text
    assert "Total Signal" in text
    assert "PRI_met" in text
    names = ["PRI_met", "PRI_had_pt"]
    shifted = systematics.systematics(events, tes=1.02, dopostprocess=False)
    figures = [
        shown.histogram_dataset(names),
        shown.correlation_plots(names),
        shown.pair_plots(5, names),
        shown.stacked_histogram("PRI_met", mu_hat=2.0, bins=10),
        shown.pair_plots_syst(shifted, 5, names),
        shown.histogram_syst(shifted, shifted["weights"], names),
        shown.event_vise_syst(shifted, names),
        shown.event_vise_syst_arrow(shifted, names),
    ]
    assert all(isinstance(figure, Figure) for figure in figures)
    assert len(shown.histogram_dataset().axes) == 16
    plt.close("all")
    with pytest.raises(DataError, match="must be a DataFrame, or a dict"):
        visualization.Dataset_visualise([1])


def test_pretty_print_of_every_kind_of_entry(parts, capsys):
    visualization.custom_pretty_print({**parts, "n": 3})
    text = capsys.readouterr().out
    for words in ("shape (200, 16)", "ndarray", "1 keys", "DataFrame"):
        assert words in text
    visualization.custom_pretty_print({})
    assert capsys.readouterr().out == ""


def test_run_competition(tiny_dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    arguments = ["--input", str(tiny_dataset), "--submission", str(SUBMISSIONS / "honest")]
    counts = ["--num-of-sets", "2", "--num-pseudo-experiments", "3", "--systematics-tes"]
    run_competition.main([*arguments, *counts, "--output", str(tmp_path)])
    for name in set(sys.modules) - before:
        del sys.modules[name]
    settings = json.loads((tmp_path / "test_settings.json").read_text())
    assert settings["systematics"]["tes"] is True
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert 0 <= scores["coverage"] <= 1
    assert "Total duration" in capsys.readouterr().out


def test_two_packages_of_one_name_are_noticed(tmp_path):
    """The PyPI package HiggsML, installed over this one, replaces some of its files."""
    check_installation()
    package = tmp_path / "HiggsML"
    shutil.copytree(Path(HiggsML.__file__).parent, package, ignore=lambda *_: ["generator"])
    (package / "__version__.py").write_text("")
    with pytest.raises(InstallationError, match="pip uninstall -y HiggsML higgsml-uncertainty"):
        check_installation(package)
    for replaced in (False, True):
        if replaced:
            (package / "__init__.py").write_text("")  # as that of the other package
            (package / "systematics.py").write_text("def systematics(): ...")
        packages = ("datasets", "ingestion", "systematics", "visualization", "pseudo_experiments")
        for name in (*packages, "cli"):
            code = f"import sys; sys.path.insert(0, '.'); import HiggsML.{name}"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=tmp_path)
            assert done.returncode != 0, name
            assert b"which have overwritten each other" in done.stderr, name
