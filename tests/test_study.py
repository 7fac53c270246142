"""Studies on the shipped data with models that answer at once."""

import importlib.util
import math
import re

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import norm

from HiggsML.cli.study import compare, study
from HiggsML.datasets import Data
from HiggsML.errors import ResultsError, SettingsError
from HiggsML.pseudo_experiments import EventStore
from HiggsML.reports.run_page import findings
from HiggsML.results import Predictions, Settings, write_duration, write_predictions, write_settings
from HiggsML.schema import NUISANCES
from HiggsML.statistics.official_scores import compute_scores
from HiggsML.studies.comparison import compare_runs, load_run, markdown_table
from HiggsML.studies.figures import coverage_by_mu, study_plot
from HiggsML.studies.study import (
    Measurements,
    Point,
    fit_submission,
    grid,
    load_study,
    measure,
    nuisance_value,
    paired_differences,
    run_study,
    save_study,
    summarize,
)
from HiggsML.studies.workers import run_study_in_processes
from tests.pipeline_fixtures import model_text, tiny_dataset, write_submission

__all__ = ["tiny_dataset"]


class CountAll:
    """Counts all events; the background is known from nominal expectations."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def predict(self, test_set):
        n = len(test_set["data"])
        half = self.scale * math.sqrt(n) / 1000
        mu = (n - 4000) / 1000
        return {
            "mu_hat": mu,
            "delta_mu_hat": half,
            "p16": mu - half,
            "p84": mu + half,
            "nuisances": {"tes": (0.0, 1.0), "soft_met": 0.0, "background": 0.0, "other": 1.0},
        }


@pytest.fixture(scope="module")
def store(mini_dataset):
    return EventStore.from_data(Data(mini_dataset))


def normal_measurements(n=4000, *, scale=1.0, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    mu = rng.uniform(0.1, 3, n)
    mu_hat = mu + 0.1 * rng.normal(size=n) + shift
    delta = np.full(n, 0.1 * scale)
    return Measurements(mu, mu_hat, delta, mu_hat - delta, mu_hat + delta)


def test_grid_has_every_axis_and_only_known_ones():
    points = grid([1.0], nuisances=["tes"], sigmas=[-2, 2])
    assert [point.axis for point in points] == ["drawn", "mu", "tes", "tes"]
    assert points[2].fixed == {"tes": pytest.approx(0.98)}
    assert len({point.name for point in grid()}) == 1 + 7 + 5 * len(NUISANCES)
    with pytest.raises(SettingsError, match="unknown"):
        grid(nuisances=["pileup"])


def test_nuisance_values_follow_their_priors():
    assert nuisance_value("soft_met", 0) == 1.0
    assert nuisance_value("soft_met", 1) == pytest.approx(math.e)
    assert nuisance_value("soft_met", 2) == 5.0  # clipped
    assert nuisance_value("diboson_scale", -2) == pytest.approx(0.5)


def test_a_study_repeats_and_reports_pulls(store, tmp_path):
    points = [*grid([1.0], nuisances=["tes"], sigmas=[1])]
    steps = []
    first = run_study(
        CountAll(), store, points, experiments=4, seed=5, progress=lambda *s: steps.append(s)
    )
    again = run_study(CountAll(), store, points, experiments=4, seed=5)
    assert steps[-1] == (12, 12)
    for one, other in zip(first.measurements, again.measurements, strict=True):
        np.testing.assert_array_equal(one.mu_hat, other.mu_hat)
    assert set(first.measurements[0].pulls) == {"tes", "soft_met", "bkg_scale"}
    assert first.measurements[2].pulls["tes"] == pytest.approx([-1.0] * 4)  # truth +1, estimate 0
    assert len(set(first.measurements[0].mu)) == 4
    save_study(first, tmp_path / "study.json")
    loaded = load_study(tmp_path / "study.json")
    assert loaded.points == first.points
    np.testing.assert_array_equal(loaded.pooled("drawn").p84, first.pooled("drawn").p84)
    with pytest.raises(SettingsError, match="no points"):
        loaded.pooled("jes")


@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_what_is_not_finite_is_null_in_the_file_and_unknown_when_read(store, tmp_path, odd):
    class Unsure(CountAll):
        def predict(self, test_set):
            return super().predict(test_set) | {"nuisances": {"tes": odd}}

    points = [Point("mu = 1", "mu", 1.0, mu=1.0)]
    save_study(run_study(Unsure(), store, points, experiments=1, seed=1), tmp_path / "study.json")
    text = (tmp_path / "study.json").read_text()
    assert "null" in text
    assert not re.search("NaN|Infinity", text)
    assert np.isnan(load_study(tmp_path / "study.json").measurements[0].pulls["tes"]).all()


def test_a_study_is_the_same_in_any_number_of_processes(tiny_dataset, tmp_path):
    text = model_text()
    folder = write_submission(tmp_path / "mine", text)
    data = Data(tiny_dataset)
    model = fit_submission(folder, data)
    points = tuple(grid([1.0, 2.0], nuisances=["tes"]))
    wanted = {"points": points, "experiments": 2, "seed": 1}
    one = run_study(model, EventStore.from_data(data), **wanted)
    two = run_study_in_processes(
        model, submission=folder, input_dir=tiny_dataset, workers=2, **wanted
    )
    save_study(one, tmp_path / "one.json")
    save_study(two, tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_a_broken_study_is_named(tmp_path):
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(ResultsError, match="is not a study"):
        load_study(tmp_path / "study.json")


def test_a_point_needs_experiments(store):
    with pytest.raises(SettingsError, match="at least one"):
        measure(CountAll(), store, Point("all", "drawn", 0.0), experiments=0, seed=1)


def test_summary_of_an_honest_method():
    s = summarize(normal_measurements())
    assert s.coverage == pytest.approx(0.6827, abs=4 * s.coverage_error)
    assert abs(s.bias) < 4 * s.bias_error
    assert s.pull_width == pytest.approx(1, abs=0.05)
    assert s.width == pytest.approx(0.2)
    assert s.score_low <= s.quantiles_score <= s.score_high
    # Of a normal with sigma 0.1: 0.1 / sqrt(pi).
    assert s.crps == pytest.approx(0.1 / math.sqrt(math.pi), rel=0.05)


def test_certain_coverage_still_has_an_error():
    assert summarize(normal_measurements(50, scale=50.0)).coverage_error > 0


def test_paired_differences_see_what_independent_ones_can_not():
    honest = normal_measurements(400)
    worse = normal_measurements(400, shift=0.03)
    found = {d.quantity: d for d in paired_differences(honest, worse)}
    assert found["interval score"].significance > 2
    assert found["width"].p_value == pytest.approx(1.0)
    *_, far = paired_differences(honest, normal_measurements(400, shift=0.1))
    assert far.significance > 9
    assert far.p_value == pytest.approx(2 * norm.sf(far.significance), rel=1e-6)
    with pytest.raises(ResultsError, match="same pseudo-experiments"):
        paired_differences(honest, normal_measurements(400, seed=1))


def load_example(root, name):
    path = root / "examples" / name / "model.py"
    specification = importlib.util.spec_from_file_location(f"{name}_model", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.Model


def gamed(mini_dataset, mu):
    """Sigma, growing with mu, exactly normal estimates, and the gaming example's half widths."""
    model = load_example(mini_dataset.parent, "gaming")
    sigma = 0.03 + 0.05 * mu
    mu_hat = mu + sigma * np.random.default_rng(1).normal(size=mu.size)
    factors = np.geomspace(0.01, 10, 2000)
    coverages = [2 * _phi(model.widths(sigma, f)).mean() - 1 for f in factors]
    best = factors[np.argmin(np.abs(np.array(coverages) - 0.6827))]
    return sigma, mu_hat, sigma * model.widths(sigma, best)


def test_the_gaming_example_wins_officially_and_loses_properly(mini_dataset):
    mu = np.random.default_rng(2).uniform(0.1, 3, 20_000)
    sigma, mu_hat, half = gamed(mini_dataset, mu)
    honest = Measurements(mu, mu_hat, sigma, mu_hat - sigma, mu_hat + sigma)
    gaming = Measurements(mu, mu_hat, sigma, mu_hat - half, mu_hat + half)
    a, b = summarize(honest, n_bootstraps=1), summarize(gaming, n_bootstraps=1)
    assert b.quantiles_score > a.quantiles_score + 0.05
    assert b.interval_score > a.interval_score
    shares = [share for _, share, _ in coverage_by_mu(gaming.mu, gaming.covered)]
    assert shares[0] > 0.8
    assert shares[-1] < 0.6


def test_the_report_reveals_the_gaming_example(mini_dataset):
    mus = np.linspace(0.2, 2.9, 10)
    _, mu_hat, half = gamed(mini_dataset, np.repeat(mus, 100))
    sets = {
        k: Predictions(
            *(x.reshape(10, 100)[k] for x in (mu_hat, half, mu_hat - half, mu_hat + half))
        )
        for k in range(10)
    }
    truth = {k: float(mu) for k, mu in enumerate(mus)}
    found = [text for _, text in findings(sets, truth, compute_scores(sets, truth))]
    assert any(
        re.match(r"Over all sets, .+ of the intervals contain the true μ", text) for text in found
    )
    assert any(re.match("It covers too much at \u03bc <", text) for text in found)
    assert any(re.match("It covers too little at \u03bc >", text) for text in found)


def _phi(x):
    from scipy.special import ndtr

    return ndtr(x)


def test_the_figure_shows_every_axis(store):
    found = run_study(CountAll(), store, grid([1.0, 2.0], nuisances=["jes"]), experiments=3, seed=1)
    figure = study_plot({"one": found, "other": found})
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes]
    assert titles[:4] == [
        "Coverage at fixed μ",
        "Bias at fixed μ",
        "Width at fixed μ",
        "Pulls of μ",
    ]
    assert titles[4:] == [
        "Coverage against jes",
        "Bias against jes",
        "Coverage, all drawn from their priors",
    ]
    for axes in figure.axes:
        assert axes.get_xlabel()
        assert axes.get_ylabel()
    points = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert len(points) == 2
    assert all(line.get_linestyle() == "None" for line in points)  # nothing between them
    figure.canvas.draw()
    with pytest.raises(SettingsError, match="no study"):
        study_plot({})


def write_run(directory, measured, n_sets=4):
    parts = [np.array_split(c, n_sets) for c in (measured.mu_hat, measured.delta_mu_hat)]
    mus = dict(enumerate(np.linspace(0.5, 2.0, n_sets).tolist()))
    half = measured.delta_mu_hat[0]
    predictions = {}
    for i in range(n_sets):
        hat = parts[0][i] - np.array_split(measured.mu, n_sets)[i] + mus[i]
        predictions[i] = Predictions(hat, parts[1][i], hat - half, hat + half)
    target = directory / "predictions"
    write_predictions(target, predictions)
    write_duration(target, 90.0)
    size = len(measured.mu) // n_sets
    write_settings(target, Settings(n_sets, size, dict.fromkeys(NUISANCES, True), mus))


def test_compare_prints_scores_and_paired_differences(tmp_path):
    write_run(tmp_path / "good", normal_measurements(400))
    write_run(tmp_path / "wide", normal_measurements(400, scale=2.0))
    runs, differences = compare_runs([tmp_path / "good", tmp_path / "wide"])
    assert [run.name for run in runs] == ["good", "wide"]
    assert runs[0].quantiles_score > runs[1].quantiles_score
    width = next(d for d in differences["wide"] if d.quantity == "width")
    assert width.mean == pytest.approx(0.2)
    assert markdown_table(runs).count("\n") == 3
    paths = [str(tmp_path / "good"), str(tmp_path / "wide")]
    result = CliRunner().invoke(compare, paths)
    assert result.exit_code == 0, result.output
    assert "wide minus good" in result.output
    result = CliRunner().invoke(compare, [*paths, "--markdown"])
    assert result.output.startswith("| Method |")


def test_compare_names_what_is_missing(tmp_path):
    with pytest.raises(ResultsError, match="missing"):
        load_run(tmp_path)
    with pytest.raises(ResultsError, match="no run"):
        compare_runs([])


def test_the_study_command(mini_dataset, tmp_path):
    submission = tmp_path / "counting"
    submission.mkdir()
    (submission / "model.py").write_text(
        "class Model:\n"
        "    def __init__(self, get_train_set, systematics): pass\n"
        "    def fit(self): pass\n"
        "    def predict(self, test_set):\n"
        "        mu = (len(test_set['data']) - 4000) / 1000\n"
        "        return {'mu_hat': mu, 'delta_mu_hat': .1, 'p16': mu - .1, 'p84': mu + .1}\n"
    )
    output = tmp_path / "out"
    arguments = [str(submission), "--input", str(mini_dataset), "--output", str(output)]
    arguments += ["--pseudo-experiments", "2", "--mus", "1", "--nuisances", "tes"]
    result = CliRunner().invoke(study, arguments)
    assert result.exit_code == 0, result.output
    assert (output / "study.png").is_file()
    result = CliRunner().invoke(study, [*arguments, "--against", str(output / "study.json")])
    assert "minus out" in result.output
    assert CliRunner().invoke(study, [*arguments, "--mus", "x"]).exit_code == 2
    assert CliRunner().invoke(study, [*arguments, "--nuisances", "x"]).exit_code == 2
