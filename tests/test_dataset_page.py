"""The explorer: which plots it makes, the page, the folder, and what it refuses."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure

from HiggsML.cli.explore import explore_command, four_lepton_command
from HiggsML.datasets import Data
from HiggsML.errors import SettingsError, SubmissionError
from HiggsML.generator import generate_dataset
from HiggsML.reports.dataset_page import (
    SECTIONS,
    explore,
    most_plots,
    score_events,
    write_folder,
    write_page,
)
from HiggsML.schema import FEATURES, NUISANCES
from HiggsML.systematics import systematics

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ["DER_mass_vis", "PRI_met", "PRI_jet_leading_pt", "PRI_n_jets"]
MODEL = """
from helper import value

class Model:
    def __init__(self, get_train_set, systematics):
        self.get_train_set = get_train_set

    def fit(self):
        {fit}

    def predict(self, test_set):
        raise AssertionError("not called")

    {score}
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "tiny"
    generate_dataset(path, scenario="mini", events=4000, seed=3)
    return path


def submission(folder, *, fit="self.train = self.get_train_set(train_size=100)", score=None):
    folder.mkdir()
    if score is None:
        score = "def score(self, features):\n        return value(features)"
    (folder / "model.py").write_text(MODEL.format(fit=fit, score=score))
    (folder / "helper.py").write_text("def value(features):\n    return features['DER_mass_vis']\n")
    return folder


def test_plots_of_each_section(directory, tmp_path):
    data = Data(directory)
    model = submission(tmp_path / "mine")
    plots = list(explore(data, submission=model, columns=COLUMNS, max_events=2000))
    by_section = {name: [p.name for p in plots if p.section == name] for name in SECTIONS}
    assert by_section["features"] == COLUMNS
    assert by_section["correlations"] == ["correlations"]
    assert by_section["shifts"] == list(NUISANCES)
    assert by_section["cuts"] == ["cuts"]
    assert by_section["classifier"] == ["roc", "score"]
    assert all(isinstance(plot.figure, Figure) for plot in plots)
    assert len(plots) == most_plots(COLUMNS, model)
    (diboson,) = [p for p in plots if p.name == "diboson_scale"]
    assert "diboson_scale = 1.25" in diboson.caption


def test_score_is_that_of_the_model_and_nothing_of_it_stays(directory, tmp_path):
    data = Data(directory)
    data.load_train_set(train_size=200)
    events = systematics(data.get_train_set())
    before = list(sys.path)
    score = score_events(data, submission(tmp_path / "mine"), events)
    np.testing.assert_array_equal(score, events["DER_mass_vis"].to_numpy(np.float64))
    assert sys.path == before
    assert "helper" not in sys.modules
    assert len(data.get_train_set()) == 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"score": "pass"}, r"no method score\(features\)"),
        ({"fit": "raise KeyError('weights')"}, "KeyError: 'weights'"),
        ({"score": "def score(self, features):\n        return [0.5]"}, "one finite number"),
        (
            {"score": "def score(self, features):\n        return value(features) * float('nan')"},
            "one finite number",
        ),
    ],
)
def test_submissions_that_can_not_be_drawn(directory, tmp_path, arguments, message):
    data = Data(directory)
    data.load_train_set(train_size=50)
    events = systematics(data.get_train_set())
    with pytest.raises(SubmissionError, match=message):
        score_events(data, submission(tmp_path / "bad", **arguments), events)


def test_a_submission_without_a_score_is_refused_before_anything_is_drawn(directory, tmp_path):
    plots = explore(Data(directory), submission=submission(tmp_path / "mute", score="pass"))
    with pytest.raises(SubmissionError, match="mute has no method score"):
        next(plots)


@pytest.mark.parametrize("name", ["sample_submission", "examples/classifier_counting"])
def test_submissions_of_the_repository_can_be_drawn(name, mini_dataset):
    data = Data(mini_dataset)
    data.load_train_set(train_size=2000)
    events = systematics(data.get_train_set())

    class Few(Data):
        def load_train_set(self, train_size=None, **options):
            super().load_train_set(train_size=4000, **options)

    score = score_events(Few(mini_dataset), ROOT / name, events)
    labels = events["labels"].to_numpy()
    assert np.median(score[labels == 1]) > np.median(score[labels == 0])


def test_refuses_unknown_features_and_no_events(directory):
    with pytest.raises(SettingsError, match="PRI_nothing"):
        list(explore(Data(directory), columns=["PRI_nothing"]))
    with pytest.raises(SettingsError, match="max_events"):
        list(explore(Data(directory), max_events=0))


def test_page_is_self_contained_and_escapes(directory, tmp_path):
    data = Data(directory)
    plots = explore(data, columns=COLUMNS[:2], max_events=1500)
    path = write_page(plots, tmp_path / "new" / "page.html", title="<script>x</script>", data=data)
    text = path.read_text()
    assert "<script" not in text
    assert "&lt;script&gt;x&lt;/script&gt;" in text
    assert text.count("<svg") == text.count("<figure ") == 2 + 1 + len(NUISANCES) + 1
    assert not re.search(r"(?:src|href)=[\"'](?!#|data:)", text)
    assert str(tmp_path) not in text
    for title, _ in (SECTIONS[name] for name in ("features", "correlations", "shifts", "cuts")):
        assert title in text
    assert '<div class="label">htautau</div>' in text
    assert list(path.parent.iterdir()) == [path]


def test_folder(directory, tmp_path):
    plots = explore(Data(directory), columns=COLUMNS[:1], max_events=1000)
    files = write_folder(plots, tmp_path / "plots", file_format="pdf")
    assert {path.suffix for path in files} == {".pdf"}
    assert (tmp_path / "plots" / "features" / "DER_mass_vis.pdf") in files
    with pytest.raises(SettingsError, match="bmp"):
        write_folder([], tmp_path, file_format="bmp")


def test_commands(directory, tmp_path):
    run = CliRunner().invoke
    options = ["--input", str(directory), "--columns", "PRI_met, DER_pt_h", "--max-events", "1000"]
    page = tmp_path / "page.html"
    result = run(explore_command, [*options, "--output", str(page)])
    assert result.exit_code == 0, result.output
    assert result.output == f"Page: {page}\n"
    result = run(explore_command, [*options, "--output", str(tmp_path / "plots")])
    assert result.output == f"10 plots: {tmp_path / 'plots'}\n"
    samples = tmp_path / "samples"
    result = run(four_lepton_command, ["--output", str(samples), "--events", "20", "--seed", "1"])
    assert sorted(path.name for path in samples.iterdir()) == ["ggH125_ZZ4lep.csv", "llll.csv"]
    assert result.output.count("Sample: ") == 2


def test_all_features_by_default(directory):
    names = []
    for plot in explore(Data(directory), max_events=300):
        if plot.section != "features":
            break
        names.append(plot.name)
    assert names == list(FEATURES)
