"""Scoring: what it accepts, what it refuses, and numbers computed once more by other code.

Broken results go through ``scoring_program/run_scoring.py`` itself, each in a process of its own.
The reading of single files is tested in ``test_results.py``, the formulas in
``test_official_scores.py``.
"""

import json
import math
import os
import subprocess
import sys
from datetime import timedelta

import numpy as np
import pytest

from HiggsML.errors import ResultsError, SettingsError
from HiggsML.score import SCORE_KEYS, Scoring, run_scoring
from HiggsML.score.planted import check_platform_metadata
from HiggsML.score.run import finite_scores
from tests.pipeline_fixtures import ALL_OFF, ALL_ON, SCORING, doors

__all__ = ["doors"]

SETS, EXPERIMENTS = 4, 25
MUS = [2.5, 0.4, 1.7, 1.0]
MINUTES = 0.512345


def make_results():
    """Lists of every set, of a method that covers too little."""
    rng = np.random.default_rng(12)
    found = []
    for mu in MUS:
        mu_hat = mu + rng.normal(0.05, 0.3, EXPERIMENTS)
        width = rng.uniform(0.1, 0.3, EXPERIMENTS)
        found.append(
            {
                "mu_hats": mu_hat.tolist(),
                "delta_mu_hats": width.tolist(),
                "p16": (mu_hat - width).tolist(),
                "p84": (mu_hat + 1.1 * width).tolist(),
            }
        )
    return found


RESULTS = make_results()
SETTINGS = {
    "systematics": ALL_ON,
    "num_pseudo_experiments": EXPERIMENTS,
    "num_of_sets": SETS,
    "ground_truth_mus": MUS,
}


def write(directory, *, results=RESULTS, settings=SETTINGS, duration=MINUTES):
    directory.mkdir(exist_ok=True, parents=True)
    for index, content in enumerate(results):
        (directory / f"result_{index}.json").write_text(json.dumps(content))
    (directory / "test_settings.json").write_text(json.dumps(settings))
    (directory / "ingestion_duration.json").write_text(json.dumps({"ingestion_duration": duration}))
    return directory


def write_reference(directory, **changes):
    directory.mkdir(exist_ok=True)
    wanted = {key: SETTINGS[key] for key in SETTINGS if key != "ground_truth_mus"}
    (directory / "settings.json").write_text(json.dumps(wanted | changes))
    return directory


# --- the same numbers by other code: loops, and the formulas of the reference written out --------


def penalty(coverage, n):
    sigma = math.sqrt(0.6827 * (1 - 0.6827) / n)
    if coverage < 0.6827 - 2 * sigma:
        return 1 + abs((coverage - (0.6827 - 2 * sigma)) / sigma) ** 4
    if coverage > 0.6827 + 2 * sigma:
        return 1 + abs((coverage - (0.6827 + 2 * sigma)) / sigma) ** 3
    return 1.0


def by_hand(results, mus):
    rmses, maes, widths, inside = [], [], [], []
    for content, mu in zip(results, mus, strict=True):
        errors = [abs(mu_hat - mu) for mu_hat in content["mu_hats"]]
        pairs = list(zip(errors, content["delta_mu_hats"], strict=True))
        rmses.append(
            sum(math.sqrt(e**2 + (e**2 - delta**2) ** 2) for e, delta in pairs) / len(pairs)
        )
        maes.append(sum(e + abs(e - delta) for e, delta in pairs) / len(pairs))
        for low, high in zip(content["p16"], content["p84"], strict=True):
            widths.append(high - low)
            inside.append(low <= mu <= high)
    interval, coverage = math.fsum(widths) / len(widths), sum(inside) / len(inside)
    return {
        "rmse": sum(rmses) / len(rmses),
        "mae": sum(maes) / len(maes),
        "interval": interval,
        "coverage": coverage,
        "quantiles_score": -math.log((interval + 1e-3) * penalty(coverage, len(inside))),
    }


def bootstrap_by_hand(results, mus, *, n_bootstraps, sample_size, seed):
    """The final phase's bootstrap: whole sets, drawn with NumPy's older generator."""
    rows = []
    for i in range(n_bootstraps):
        drawn = np.random.RandomState(seed + i).choice(len(results), size=sample_size, replace=True)
        widths, covered, n = [], [], 0
        for k in drawn:
            low, high = np.array(results[k]["p16"]), np.array(results[k]["p84"])
            widths.append(np.mean(high - low))
            covered.append(np.mean([a <= mus[k] <= b for a, b in zip(low, high, strict=True)]))
            n += len(low)
        interval, coverage = np.mean(widths), np.mean(covered)
        rows.append((interval, coverage, -math.log((interval + 1e-3) * penalty(coverage, n))))
    names = ("interval", "coverage", "quantiles_score")
    return dict(zip(names, zip(*rows, strict=True), strict=True))


@pytest.fixture(scope="module")
def scored(doors, tmp_path_factory):
    """Input, output and end of a complete scoring."""
    directory = tmp_path_factory.mktemp("scored")
    prediction, output = write(directory / "predictions"), directory / "scores"
    reference = write_reference(directory / "reference")
    (prediction / "metadata").write_text(
        "exitCode: null\nelapsedTime: null\ningestionExitCode: 0\ningestionElapsedTime: 31.4\n"
    )
    arguments = ("--prediction", prediction, "--output", output, "--reference", reference)
    first = doors.run(SCORING, *arguments)
    assert first.returncode == 0, first.stderr
    once = {path.name: path.read_bytes() for path in output.iterdir()}
    second = doors.run(SCORING, *arguments)
    return prediction, output, first, second, once


def test_settings_without_the_truth_are_named():
    scoring = Scoring()
    scoring.ingestion_results = [
        {"mu_hats": [1.0], "delta_mu_hats": [0.1], "p16": [0.9], "p84": [1.1]}
    ]
    with pytest.raises(SettingsError, match="no 'ground_truth_mus', only 'num_of_sets'"):
        scoring.compute_scores({"num_of_sets": 1})


def test_scores_are_the_formulas_of_the_challenge(scored):
    _, output, *_ = scored
    scores = json.loads((output / "scores.json").read_text())
    assert list(scores) == list(SCORE_KEYS)
    assert all(type(value) is float and math.isfinite(value) for value in scores.values())
    assert all(abs(value) < 1e10 for value in scores.values())
    expected = by_hand(RESULTS, MUS) | {"ingestion_duration": MINUTES}
    assert expected["coverage"] < 0.5, "the penalty counts"
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, rel=1e-12, abs=1e-12), name


def test_the_report_is_one_page_beside_the_scores(scored):
    _, output, first, *_ = scored
    assert {path.name for path in output.iterdir()} == {"detailed_results.html", "scores.json"}
    page = (output / "detailed_results.html").read_text()
    assert page.count("</html>") == 1
    assert "Leaderboard row" in first.stdout
    assert f"Report: {output / 'detailed_results.html'}\n" in first.stdout
    assert first.stderr == ""


def test_scoring_again_changes_nothing_and_appends_nothing(scored):
    _, output, _, second, once = scored
    assert second.returncode == 0
    assert (output / "scores.json").read_bytes() == once["scores.json"]
    page = (output / "detailed_results.html").read_bytes()
    assert abs(len(page) - len(once["detailed_results.html"])) < 100


def test_files_of_the_package_and_further_keys_are_read(tmp_path):
    renamed = [
        {{"p16": "p16s", "p84": "p84s"}.get(key, key): value for key, value in content.items()}
        | {"remark": "more"}
        for content in RESULTS
    ]
    scores = run_scoring(write(tmp_path / "p", results=renamed), tmp_path / "s")
    for name, value in by_hand(RESULTS, MUS).items():
        assert scores[name] == pytest.approx(value, rel=1e-12), name


def test_truth_is_matched_by_the_number_of_the_set(tmp_path, monkeypatch):
    """With more than ten sets the order of file names is not that of the sets."""
    monkeypatch.setattr("HiggsML.score.run.render_report", lambda *_, **__: None)
    order = [3, 1, 0, 2, 2, 0, 1, 3, 0, 1, 2, 3]
    results, mus = [RESULTS[k] for k in order], [MUS[k] for k in order]
    settings = SETTINGS | {"num_of_sets": len(order), "ground_truth_mus": mus}
    scores = run_scoring(write(tmp_path / "p", results=results, settings=settings), tmp_path / "s")
    for name, value in by_hand(results, mus).items():
        assert scores[name] == pytest.approx(value, rel=1e-12), name
    # Exchanging two sets' files without their truth is another, worse result.
    a, b = (tmp_path / "p" / f"result_{index}.json" for index in (0, 1))
    a.rename(tmp_path / "p" / "c")
    b.rename(a)
    (tmp_path / "p" / "c").rename(b)
    assert run_scoring(tmp_path / "p", tmp_path / "s")["mae"] > scores["mae"] + 0.1


def test_the_reference_asks_for_the_section_of_the_final_phase(tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr("HiggsML.score.run.render_report", lambda _, **more: seen.update(more))
    for wanted in (True, False):
        reference = write_reference(tmp_path / "r", final_phase=wanted)
        run_scoring(write(tmp_path / "p"), tmp_path / "s", reference=reference)
        assert (seen["phase_2"] is not None) is wanted
    write_reference(tmp_path / "r", final_phase="yes")
    with pytest.raises(ResultsError, match="final_phase must be true or false"):
        run_scoring(tmp_path / "p", tmp_path / "s", reference=tmp_path / "r")


def test_swapped_intervals_miss_and_the_report_says_how_many(tmp_path, caplog):
    """As in the reference: the width is |p84 - p16|; the winner's method gives one in a hundred."""
    results = json.loads(json.dumps(RESULTS))
    for column in (results[1], results[2]):
        column["p16"][3], column["p84"][3] = column["p84"][3], column["p16"][3]
    scores = run_scoring(write(tmp_path / "predictions", results=results), tmp_path / "scores")
    usual = by_hand(RESULTS, MUS)
    assert scores["interval"] == pytest.approx(usual["interval"], rel=1e-12)
    hit = [
        one["p16"][3] <= mu <= one["p84"][3] for one, mu in zip(RESULTS[1:3], MUS[1:3], strict=True)
    ]
    expected = usual["coverage"] - sum(hit) / (SETS * EXPERIMENTS)
    assert scores["coverage"] == pytest.approx(expected, abs=1e-12)
    assert sum(hit) > 0
    page = (tmp_path / "scores" / "detailed_results.html").read_text()
    for text in (page, caplog.text):
        assert "2 of 100 intervals have p16 above p84" in text


def test_the_report_says_what_is_hardly_meant(tmp_path, caplog):
    results = json.loads(json.dumps(RESULTS))
    results[1]["mu_hats"][3] = results[1]["p84"][3] + 0.1
    results[2]["mu_hats"][0] = results[2]["p16"][0] - 0.1
    results[2]["delta_mu_hats"][4] *= -1
    run_scoring(write(tmp_path / "predictions", results=results), tmp_path / "scores")
    page = (tmp_path / "scores" / "detailed_results.html").read_text()
    for text in (page, caplog.text):
        assert "2 of 100 estimates mu_hat lie outside of their own interval" in text
        assert "1 of 100 uncertainties delta_mu_hat are negative" in text
    caplog.clear()
    run_scoring(write(tmp_path / "usual"), tmp_path / "scores")
    assert caplog.text == ""


def test_phase_2_is_in_the_report(tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        "HiggsML.score.run.render_report", lambda path, **more: seen.update(more, path=path)
    )
    run_scoring(write(tmp_path / "p"), tmp_path / "s", phase_2=True)
    assert seen["phase_2"].n_predictions == SETS * EXPERIMENTS
    assert seen["bootstrap"].n_predictions == SETS * EXPERIMENTS
    assert seen["path"] == tmp_path / "s" / "detailed_results.html"
    run_scoring(tmp_path / "p", tmp_path / "s")
    assert seen["phase_2"] is None


# --- refused ------------------------------------------------------------------------------------


def rewrite(name, change):
    """A function that changes the content of one file."""

    def breaking(directory):
        content = json.loads((directory / name).read_text())
        change(content)
        (directory / name).write_text(json.dumps(content))

    return breaking


def put(key, index, value):
    return rewrite("result_2.json", lambda content: content[key].__setitem__(index, value))


def replace_by_link(directory):
    (directory / "result_1.json").rename(directory.parent / "elsewhere.json")
    (directory / "result_1.json").symlink_to(directory.parent / "elsewhere.json")


def replace_by_pipe(directory):
    (directory / "result_1.json").unlink()
    os.mkfifo(directory / "result_1.json")


def metadata(text):
    return lambda directory: (directory / "metadata").write_text(text)


BROKEN = {
    "missing set": (
        lambda directory: (directory / "result_1.json").unlink(),
        ["result_1.json is missing (1 of 4 result files are)", "run it again"],
    ),
    "no set at all": (
        lambda directory: [path.unlink() for path in directory.glob("result_*")],
        ["result_0.json is missing (4 of 4 result files are)"],
    ),
    "short list": (
        rewrite("result_2.json", lambda content: content["p16"].pop()),
        ["result_2.json: p16 has 24 entries instead of 25"],
    ),
    "no list": (
        rewrite("result_2.json", lambda content: content.update(p84=1.0)),
        ["result_2.json: p84 must be a list of 25 numbers"],
    ),
    "NaN": (
        put("mu_hats", 7, float("nan")),
        ["result_2.json: mu_hats, entry 7, must be finite, not nan"],
    ),
    "text": (
        put("delta_mu_hats", 3, "0.3"),
        ["result_2.json: delta_mu_hats, entry 3, must be a number, not '0.3'"],
    ),
    "huge": (put("p84", 0, 1e9), ["result_2.json: p84, entry 0, is 1e+09; magnitudes up to"]),
    "empty file": (
        lambda directory: (directory / "result_3.json").write_text(""),
        ["result_3.json is not valid JSON: it is empty"],
    ),
    "cut file": (
        lambda directory: (directory / "result_3.json").write_text('{"mu_hats": [1.0, '),
        ["result_3.json is not valid JSON: "],
    ),
    "symbolic link": (replace_by_link, ["result_1.json is a symbolic link", "are refused"]),
    "link deep inside": (
        lambda directory: (
            (directory / "plots").mkdir() or (directory / "plots" / "link").symlink_to("/etc")
        ),
        ["plots/link is a symbolic link"],
    ),
    "pipe": (replace_by_pipe, ["result_1.json is not a regular file"]),
    "truth missing": (
        rewrite("test_settings.json", lambda content: content.pop("ground_truth_mus")),
        ["test_settings.json: ground_truth_mus must be a list of 4 numbers"],
    ),
    "truth short": (
        rewrite("test_settings.json", lambda content: content["ground_truth_mus"].pop()),
        ["test_settings.json: ground_truth_mus must be a list of 4 numbers"],
    ),
    "truth no number": (
        rewrite("test_settings.json", lambda c: c["ground_truth_mus"].__setitem__(1, None)),
        ["test_settings.json: ground_truth_mus, entry 1, must be a number, not None"],
    ),
    "settings missing": (
        lambda directory: (directory / "test_settings.json").unlink(),
        ["test_settings.json is missing: the ingestion did not finish"],
    ),
    "stray set": (
        lambda directory: (directory / "result_4.json").write_text(json.dumps(RESULTS[0])),
        ["result_4.json belongs to no set: 4 sets were run"],
    ),
    "fewer sets than the reference": (
        rewrite(
            "test_settings.json",
            lambda content: content.update(num_of_sets=2, ground_truth_mus=MUS[:2]),
        ),
        ["does not fit", "settings.json: num_of_sets is 2 instead of 4"],
    ),
    "fewer experiments than the reference": (
        rewrite("test_settings.json", lambda content: content.update(num_pseudo_experiments=5)),
        ["num_pseudo_experiments is 5 instead of 25"],
    ),
    "other systematics than the reference": (
        rewrite("test_settings.json", lambda content: content.update(systematics=ALL_OFF)),
        ["systematics is {'tes': False"],
    ),
    "duration missing": (
        lambda directory: (directory / "ingestion_duration.json").unlink(),
        ["ingestion_duration.json is missing"],
    ),
    "duration negative": (
        rewrite("ingestion_duration.json", lambda content: content.update(ingestion_duration=-1)),
        ["ingestion_duration.json: ingestion_duration must not be negative, got -1"],
    ),
    "duration beyond the platform": (
        rewrite("ingestion_duration.json", lambda content: content.update(ingestion_duration=1e10)),
        ["the score ingestion_duration is 10000000000.0"],
    ),
    "ingestion failed": (
        metadata("exitCode: null\ningestionExitCode: 1\n"),
        ["metadata: the ingestion failed", "ingestionExitCode is 1"],
    ),
    "ingestion was stopped": (
        metadata("exitCode: null\ningestionExitCode: null\n"),
        ["metadata: the ingestion failed or was stopped", "ingestionExitCode is None"],
    ),
    "submission ran a command": (
        metadata("exitCode: 0\ningestionExitCode: 0\n"),
        ["metadata: the submission brought a command of its own (exitCode is 0)"],
    ),
    "metadata no YAML": (metadata("a: [b"), ["metadata is not valid YAML"]),
    "metadata no mapping": (metadata("nothing"), ["metadata must hold keys and values"]),
    "metadata empty": (metadata(""), ["metadata must hold keys and values"]),
    "metadata with a key twice": (
        metadata("exitCode: null\ningestionExitCode: 1\ningestionExitCode: 0\n"),
        ["metadata is not valid YAML"],
    ),
    "a key twice": (
        lambda directory: (directory / "test_settings.json").write_text(
            json.dumps(SETTINGS)[:-1] + ', "ground_truth_mus": [1, 1, 1, 1]}'
        ),
        ["test_settings.json is not valid JSON: a key stands there twice"],
    ),
    "a name that deceives": (
        lambda directory: (directory / "a\nError: all good\x1b[2J\u202e\udcff").write_text(""),
        ["a\n| Error: all good\ufffd[2J\ufffd\ufffd is not a result"],
    ),
    "metadata hostile": (
        metadata("!!python/object/apply:os.system ['touch planted']"),
        ["metadata is not valid YAML"],
    ),
    "metadata a link": (
        lambda directory: (directory / "metadata").symlink_to("/dev/null"),
        ["metadata is not a regular file"],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_results_give_one_sentence_and_no_score(doors, tmp_path, name):
    breaking, parts = BROKEN[name]
    prediction, output = write(tmp_path / "predictions"), tmp_path / "scores"
    breaking(prediction)
    reference = write_reference(tmp_path / "reference")
    output.mkdir()
    for former in ("scores.json", "detailed_results.html"):
        (output / former).write_text("of an earlier run")
    end = doors.run(
        SCORING, "--prediction", prediction, "--output", output, "--reference", reference
    )
    assert end.returncode == 1
    assert end.stdout == ""
    assert end.stderr.startswith("Error: ")
    assert end.stderr.count("\n") == 1 + parts[0].count("\n")
    for part in parts:
        assert part in end.stderr
    assert "Traceback" not in end.stderr
    assert list(output.iterdir()) == []


def test_a_disk_that_is_full_is_a_named_error_and_leaves_nothing(tmp_path):
    prediction, output = write(tmp_path / "predictions"), tmp_path / "scores"
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000)); "
        "from HiggsML.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "score", prediction, "--output", output]
    end = subprocess.run(command, capture_output=True, text=True)
    assert end.returncode == 1
    assert end.stderr.startswith("Error: ")
    assert "File too large; no score is written" in end.stderr
    assert "Traceback" not in end.stderr
    assert list(output.iterdir()) == []


def test_the_report_is_not_written_through_a_planted_link_and_stays_small(tmp_path):
    prediction, output = write(tmp_path / "predictions"), tmp_path / "scores"
    path = prediction / "test_settings.json"
    many = {f"detail {number}": "x" * 5000 for number in range(20_000)}
    path.write_text(json.dumps({**SETTINGS, "details": many, "notices": ["y" * 5000] * 2000}))
    output.mkdir()
    (output / ".detailed_results.html.part").symlink_to(tmp_path / "victim")
    run_scoring(prediction, output)
    assert not (tmp_path / "victim").exists()
    page = output / "detailed_results.html"
    assert page.stat().st_size < 3_000_000
    assert "19940 are not shown" in page.read_text()


def test_metadata_of_a_good_run_and_none_at_home(tmp_path):
    check_platform_metadata(tmp_path)
    (tmp_path / "metadata").write_text("exitCode: null\ningestionExitCode: 0\n")
    check_platform_metadata(tmp_path)
    (tmp_path / "metadata").write_text("ingestionExitCode: false\n")
    with pytest.raises(ResultsError, match="ingestionExitCode is False"):
        check_platform_metadata(tmp_path)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e10, -2e10])
def test_a_score_that_the_platform_refuses_is_none(value):
    assert finite_scores({"a": np.float64(1), "b": -9.9e9}) == {"a": 1.0, "b": -9.9e9}
    with pytest.raises(ResultsError, match="the score a is"):
        finite_scores({"a": value})


# --- the interface of the reference implementation ----------------------------------------------


@pytest.fixture
def scoring(tmp_path):
    prediction = write(tmp_path / "predictions")
    scoring = Scoring()
    scoring.start_timer()
    scoring.load_ingestion_duration(prediction / "ingestion_duration.json")
    scoring.load_ingestion_results(str(prediction), str(tmp_path / "scores"))
    scoring.compute_scores(SETTINGS)
    return scoring


def test_step_by_step(scoring, tmp_path):
    assert scoring.ingestion_duration == MINUTES
    assert scoring.ingestion_results == RESULTS
    assert list(scoring.scores_dict) == [
        *SCORE_KEYS[:-2]
    ]  # isolation and repeatable: of judged runs
    for name, value in by_hand(RESULTS, MUS).items():
        assert scoring.scores_dict[name] == pytest.approx(value, rel=1e-12), name
    scoring.write_scores()
    scoring.stop_timer()
    scoring.show_duration()
    assert isinstance(scoring.get_duration(), timedelta)
    assert json.loads((tmp_path / "scores" / "scores.json").read_text()) == scoring.scores_dict
    assert (tmp_path / "scores" / "detailed_results.html").stat().st_size > 10_000
    in_one_call = run_scoring(tmp_path / "predictions", tmp_path / "again")
    del in_one_call["isolation"], in_one_call["repeatable"]  # of judged runs
    assert json.loads((tmp_path / "scores" / "scores.json").read_text()) == in_one_call


@pytest.mark.parametrize(("n_bootstraps", "sample_size", "seed"), [(10, 50, 42), (3, 4, 7)])
def test_bootstrap_of_the_final_phase(scoring, n_bootstraps, sample_size, seed):
    state = np.random.get_state()[1].copy()
    if (n_bootstraps, sample_size, seed) == (10, 50, 42):
        scoring.compute_bootstraped_scores()
    else:
        scoring.compute_bootstraped_scores(
            n_bootstraps=n_bootstraps, sample_size=sample_size, random_seed=seed
        )
    expected = bootstrap_by_hand(
        RESULTS, MUS, n_bootstraps=n_bootstraps, sample_size=sample_size, seed=seed
    )
    assert set(scoring.bootstraped_scores) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(scoring.bootstraped_scores[name], values, rtol=1e-12)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # no global state is touched


def test_figures_and_bootstrap_page(scoring, tmp_path, monkeypatch):
    path = scoring.save_figure(
        1.05, RESULTS[3]["p16"], RESULTS[3]["p84"], set=3, true_mu=1.0, result_text="a < b"
    )
    assert path == tmp_path / "scores" / "set_3.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert scoring.save_figure(1.05, [0.5], [1.5]).name == "set_0.png"
    with pytest.raises(SettingsError, match="call compute_bootstraped_scores first"):
        scoring.plot_bootstraped_scores()
    seen = {}
    monkeypatch.setattr(
        "HiggsML.score.drop_in.render_report", lambda path, **more: seen.update(more)
    )
    scoring.compute_bootstraped_scores()
    scoring.plot_bootstraped_scores()
    assert len(seen["phase_2"].interval) == 10


def test_scores_of_single_numbers_and_arrays():
    scoring = Scoring()
    assert scoring.RMSE_score(1.0, 1.5, 0.2) == pytest.approx(math.hypot(0.5, 0.25 - 0.04))
    assert scoring.MAE_score(1.0, 1.5, 0.2) == pytest.approx(0.5 + 0.3)
    interval, coverage, score = scoring.Quantiles_Score(
        np.ones(3), np.array([0.5, 0.6, 1.1]), np.array([1.5, 1.4, 1.2])
    )
    assert interval == pytest.approx((1.0 + 0.8 + 0.1) / 3)
    assert coverage == pytest.approx(2 / 3)
    assert score == pytest.approx(-math.log(interval + 1e-3))


def test_steps_out_of_order_say_what_is_missing(tmp_path, caplog):
    scoring = Scoring()
    assert scoring.get_duration() is None
    assert "was not started" in caplog.text
    with pytest.raises(ResultsError, match="run the ingestion first"):
        scoring.load_ingestion_results(tmp_path)
    with pytest.raises(SettingsError, match="call compute_scores first"):
        scoring.compute_bootstraped_scores()
    with pytest.raises(SettingsError, match="call compute_scores first"):
        scoring.write_scores()
    assert not (tmp_path / "scores.json").exists()


def test_the_class_ignores_what_lies_beside_the_results_and_runs_twice(tmp_path):
    """A notebook's cell that scores into the directory of the results, run again and again."""
    directory = write(tmp_path)
    for name in (".DS_Store", "random_mu.json", "plot.png", "result_mine.json"):
        (directory / name).write_text("{}")
    (directory / ".ipynb_checkpoints").mkdir()
    written = []
    for _ in range(2):
        scoring = Scoring(name="mine")
        scoring.load_ingestion_duration(directory / "ingestion_duration.json")
        scoring.load_ingestion_results(directory, directory)
        scoring.compute_scores({"ground_truth_mus": MUS})
        scoring.write_html("<p>a note of mine</p>")
        scoring.write_scores()
        written.append(scoring.score_file.read_text())
    assert written[0] == written[1]
    page = scoring.html_file.read_text(encoding="utf-8")
    assert page.count("a note of mine") == 1
    assert "mine" in page


def test_places_can_be_set_as_text(tmp_path):
    scoring = Scoring()
    scoring.load_ingestion_results(write(tmp_path), tmp_path / "scores")
    scoring.compute_scores({"ground_truth_mus": MUS})
    scoring.score_file = str(tmp_path / "mine.json")
    scoring.score_dir, scoring.html_file = str(tmp_path / "new"), str(tmp_path / "mine.html")
    scoring.write_scores()
    assert json.loads((tmp_path / "mine.json").read_text()) == scoring.scores_dict
    assert "<svg" in (tmp_path / "mine.html").read_text(encoding="utf-8")


def test_results_can_be_set_and_sets_may_be_missing(tmp_path):
    by_hand_set = Scoring()
    by_hand_set.ingestion_results = [{**RESULTS[0], "p16s": RESULTS[0]["p16"]}]
    by_hand_set.compute_scores({"ground_truth_mus": MUS[:1], "num_of_sets": 1}, no_html=True)
    assert by_hand_set.scores_dict["ingestion_duration"] is None
    directory = write(tmp_path / "predictions")
    (directory / "result_1.json").unlink()
    (directory / "ingestion_duration.json").unlink()
    scoring = Scoring()
    with pytest.warns(UserWarning, match="the duration is taken to be 0"):
        scoring.load_ingestion_duration(directory / "ingestion_duration.json")
    scoring.load_ingestion_results(directory, tmp_path / "scores")
    assert scoring.ingestion_results == [RESULTS[0], *RESULTS[2:]], "filled by loading"
    with pytest.warns(UserWarning, match="no results of 1 sets, the first of which is 1"):
        scoring.compute_scores(SETTINGS, no_html=True)
    # Truth goes by the number of the set: as if the set had not been run.
    rest = by_hand([RESULTS[0], *RESULTS[2:]], [MUS[0], *MUS[2:]])
    assert scoring.scores_dict["coverage"] == pytest.approx(rest["coverage"])
    scoring.write_scores()
    assert [path.name for path in (tmp_path / "scores").iterdir()] == ["scores.json"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"p16": ["a"]}, "set 0: p16 must be a list of numbers"),
        ({"mu_hats": [1.0]}, "set 0: the lists differ in length: mu_hat"),
        ({"delta_mu_hats": ...}, "the results of set 0 lack delta_mu_hats"),
        ({"p84": [math.nan] * EXPERIMENTS}, "p84 of prediction 0 is nan"),
    ],
)
def test_results_that_can_not_be_scored(change, says):
    content = {key: value for key, value in {**RESULTS[0], **change}.items() if value is not ...}
    scoring = Scoring()
    scoring.ingestion_results = [content]
    with pytest.raises(ResultsError, match=says):
        scoring.compute_scores({"ground_truth_mus": {"0": 1.0}})


def test_save_figure_takes_estimates_of_every_pseudo_experiment(scoring, tmp_path):
    one = RESULTS[0]
    path = scoring.save_figure(one["mu_hats"], one["p16"], one["p84"], true_mu=np.full(25, MUS[0]))
    assert path.stat().st_size > 5000
