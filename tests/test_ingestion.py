"""Ingestion: what it writes, what it leaves out, and how it fails.

Runs "at the door" are processes that execute ``ingestion_program/run_ingestion.py`` itself.
"""

import json
import math
import os
import re
import sys
from datetime import timedelta

import numpy as np
import pytest

from HiggsML.datasets import Data
from HiggsML.errors import (
    DataError,
    PredictionError,
    SettingsError,
    SubmissionError,
    TimeLimitError,
)
from HiggsML.ingestion import Ingestion, IngestionOptions, run_ingestion
from HiggsML.isolation.budget.budgets import Budgets
from HiggsML.pseudo_experiments import draw_mu, draw_order
from HiggsML.results import load_duration, load_predictions, load_settings
from HiggsML.schema import MU_RANGE, NUISANCES
from HiggsML.submission.model import load_model_class
from tests.pipeline_fixtures import (
    ALL_OFF,
    ALL_ON,
    INGESTION,
    SUBMISSIONS,
    TINY_TRAINING_EVENTS,
    doors,
    model_text,
    result_files,
    tiny_dataset,
    write_submission,
)

__all__ = ["doors", "tiny_dataset"]

SETS, EXPERIMENTS, SEED = 3, 4, 23
RESULTS = [f"result_{index}.json" for index in range(SETS)]
FILES = sorted([*RESULTS, "ingestion_duration.json", "ingestion_record.json", "test_settings.json"])
TWO_ON = ALL_OFF | {"tes": True, "soft_met": True}


def knock(doors, dataset, submission, output, *more):
    """Run the ingestion at the door."""
    return doors.run(
        INGESTION,
        *("--input", dataset, "--submission", submission, "--output", output),
        *("--num-of-sets", SETS, "--num-pseudo-experiments", EXPERIMENTS),
        *("--systematics-tes", "--systematics-soft-met"),
        *more,
    )


def options(dataset, submission, output, **more):
    """Options of a run in this process; the submission has its own all the same."""
    defaults = {
        "num_of_sets": SETS,
        "num_pseudo_experiments": EXPERIMENTS,
        "systematics": TWO_ON,
        "seed": SEED,
        "isolation": "off",
        "workers": 1,
    }
    return IngestionOptions(dataset, submission, output, **(defaults | more))


def names_in(directory):
    return sorted(path.name for path in directory.glob("*"))


@pytest.fixture(scope="module")
def honest_run(doors, tiny_dataset, tmp_path_factory):
    """Directory and end of a seeded run with one worker."""
    output = tmp_path_factory.mktemp("honest") / "new" / "output"
    end = knock(doors, tiny_dataset, SUBMISSIONS / "honest", output, "--random-seed", SEED)
    assert end.returncode == 0, end.stderr
    return output, end


@pytest.fixture(scope="module")
def third_party_run(doors, tiny_dataset, tmp_path_factory):
    """Directory and end of an unseeded run of the third party's submission, all shifts on."""
    output = tmp_path_factory.mktemp("third-party")
    flags = [f"--systematics-{name.replace('_', '-')}" for name in NUISANCES]
    end = knock(doors, tiny_dataset, SUBMISSIONS / "third_party", output, *flags)
    assert end.returncode == 0, end.stderr
    return output, end


# --- what is written ----------------------------------------------------------------------------


def test_exactly_these_files_are_written(honest_run):
    output, _ = honest_run
    assert names_in(output) == FILES


def test_result_files_hold_four_lists_of_numbers(honest_run):
    output, _ = honest_run
    for name in RESULTS:
        content = json.loads((output / name).read_text())
        assert list(content) == ["mu_hats", "delta_mu_hats", "p16", "p84"]
        for values in content.values():
            assert len(values) == EXPERIMENTS
            assert all(type(value) is float and math.isfinite(value) for value in values)
        assert all(low <= high for low, high in zip(content["p16"], content["p84"], strict=True))


def test_settings_tell_what_was_run_and_the_truth(honest_run):
    output, _ = honest_run
    content = json.loads((output / "test_settings.json").read_text())
    assert list(content) == [
        "systematics",
        "num_pseudo_experiments",
        "num_of_sets",
        "ground_truth_mus",
        "details",
        "notices",
    ]
    assert content["systematics"] == TWO_ON
    assert (content["num_of_sets"], content["num_pseudo_experiments"]) == (SETS, EXPERIMENTS)
    mus = content["ground_truth_mus"]
    assert mus == [draw_mu(SEED, index) for index in range(SETS)]
    assert all(MU_RANGE[0] <= mu <= MU_RANGE[1] for mu in mus)
    assert {"isolation", "dataset", "python", "HiggsML", "numpy"} <= set(content["details"])
    assert content["details"]["dataset"] == "mini"
    assert content["details"]["isolation"].startswith(("complete", "partial, without "))
    assert len(content["notices"]) == 1
    assert "fewer than 20 simulated events per expected event" in content["notices"][0]
    assert str(SEED) not in content["details"].values()


def test_duration_is_in_fractional_minutes(honest_run):
    output, _ = honest_run
    content = json.loads((output / "ingestion_duration.json").read_text())
    assert list(content) == ["ingestion_duration", "fit_duration"]
    minutes = content["ingestion_duration"]
    assert 0.1 < minutes * 60 < 600
    assert minutes != round(minutes)


def test_the_truth_is_written_last(honest_run):
    output, _ = honest_run
    times = {path.name: path.stat().st_mtime_ns for path in output.iterdir()}
    del times["ingestion_record.json"]  # it holds a digest of the truth
    assert times.pop("test_settings.json") >= max(times.values())


def test_output_and_notices_go_to_the_log(honest_run):
    _, end = honest_run
    assert end.stdout == ""
    assert end.stderr.count("[submission] the honest model is built\n") == 1
    assert "WARNING: The test set is small" in end.stderr
    assert "INFO: 12 pseudo-experiments measured; results are in " in end.stderr
    assert "Traceback" not in end.stderr
    assert "\x1b" not in end.stderr, "no progress bar where there is no terminal"
    assert "%" not in end.stderr
    assert "Pseudo-experiments" not in end.stderr.replace("Pseudo-experiments repeat", "")


def test_the_written_files_are_what_scoring_reads(honest_run):
    output, _ = honest_run
    settings = load_settings(output / "test_settings.json", with_truth=True)
    predictions = load_predictions(output, settings)
    assert sorted(predictions) == list(range(SETS))
    assert load_duration(output / "ingestion_duration.json") > 0
    # The estimates follow the truth: answers are in the place of their sets.
    means = [predictions[index].mu_hat.mean() for index in range(SETS)]
    assert np.argsort(means).tolist() == np.argsort(list(settings.mus.values())).tolist()


def test_nothing_is_written_before_the_last_prediction(tiny_dataset, tmp_path, honest_run):
    output, seen = tmp_path / "output", []
    settings = run_ingestion(
        options(tiny_dataset, SUBMISSIONS / "honest", output, seed=SEED + 1),
        lambda *step: seen.append((*step, names_in(output))),
    )
    total = SETS * EXPERIMENTS
    assert [step[:3] for step in seen] == [
        *((stage, done, 1) for stage in ("read", "import", "fit") for done in (0, 1)),
        *(("predict", done, total) for done in range(1, total + 1)),
        *(("repeat", done, total) for done in range(1, total + 1)),
    ]
    assert all(files == [] for *_, files in seen)
    assert settings.details["isolation"] == "off"
    assert names_in(output) == FILES
    # Another seed: another truth, other events, other answers.
    other, _ = honest_run
    for name in (*RESULTS, "test_settings.json"):
        assert (output / name).read_bytes() != (other / name).read_bytes()


# --- the same numbers, or not -------------------------------------------------------------------


def test_two_workers_write_the_same_bytes(doors, tiny_dataset, tmp_path, honest_run):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    end = doors.run(
        INGESTION,
        *("--input", tiny_dataset, "--submission", SUBMISSIONS / "honest"),
        *("--output", tmp_path / "output", "--workers", 2, "--random-seed", SEED),
        *("--num-of-sets", SETS, "--num-pseudo-experiments", EXPERIMENTS),
        *("--systematics-tes", "--systematics-soft-met"),
        environment={"TMPDIR": str(temporary)},
    )
    assert end.returncode == 0, end.stderr
    output, _ = honest_run
    assert result_files(tmp_path / "output") == result_files(output)
    assert list(temporary.iterdir()) == [], "workers remove what they made"


def test_a_model_that_can_not_be_pickled_runs_with_one_worker(
    doors, tiny_dataset, tmp_path, honest_run
):
    submission = tmp_path / "submission"
    for path in (SUBMISSIONS / "honest").rglob("*.*"):
        target = submission / path.relative_to(SUBMISSIONS / "honest")
        target.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text()
        if path.name == "model.py":
            text = text.replace("self.threshold =", "self.keep = lambda: 0; self.threshold =")
        target.write_text(text)
    output = tmp_path / "output"
    end = knock(doors, tiny_dataset, submission, output, "--workers", 2, "--random-seed", SEED)
    assert end.returncode == 0, end.stderr
    assert "WARNING: the fitted Model can not be pickled (" in end.stderr
    assert "lambda" in end.stderr
    assert "one worker makes all predictions" in end.stderr
    assert result_files(output) == result_files(honest_run[0])


def test_without_a_seed_every_run_draws_a_new_truth(tiny_dataset, tmp_path, third_party_run):
    """And the output directory is emptied first, whatever a submission has planted there."""
    kept, output = tmp_path / "kept", tmp_path / "output"
    (kept / "inside").mkdir(parents=True)
    (kept / "inside" / "file").write_text("precious")
    (kept / "file").write_text("precious")
    output.mkdir()
    for name in (*RESULTS, "result_7.json", "scores.json", "test_settings.json", "metadata"):
        (output / name).write_text("{}")
    (output / "folder" / "deep").mkdir(parents=True)
    (output / "folder" / "deep" / "file").write_text("planted")
    (output / "folder" / "link").symlink_to(kept)
    (output / "to-file").symlink_to(kept / "file")
    (output / "to-folder").symlink_to(kept)
    (output / "dangling").symlink_to(tmp_path / "nowhere")
    (output / ".hidden").write_text("planted")
    os.mkfifo(output / "pipe")

    settings = run_ingestion(
        options(
            tiny_dataset,
            SUBMISSIONS / "honest",
            output,
            seed=None,
            num_of_sets=2,
            num_pseudo_experiments=1,
            empty_output=True,
        )
    )
    record = next(output.glob("ingestion_record_*.json")).name
    files = ["ingestion_duration.json", record, "result_0.json", "result_1.json"]
    assert names_in(output) == [*files, "test_settings.json"]
    assert (kept / "file").read_text() == (kept / "inside" / "file").read_text() == "precious"

    third_party, _ = third_party_run
    others = load_settings(third_party / "test_settings.json", with_truth=True).mus
    assert not set(settings.mus.values()) & set(others.values())


# --- a submission that somebody else wrote ------------------------------------------------------


def test_a_third_party_submission_runs_unchanged(third_party_run):
    output, end = third_party_run
    settings = load_settings(output / "test_settings.json", with_truth=True)
    assert settings.systematics == ALL_ON
    predictions = load_predictions(output, settings)
    widths = np.concatenate([result.p84 - result.p16 for result in predictions.values()])
    assert (widths > 0).all()
    [used] = re.findall(r"\[submission\] Training data: \((\d+), 28\)", end.stderr)
    assert 0.4 < int(used) / TINY_TRAINING_EVENTS < 0.6
    assert "[submission] train_size of 50000 rows asked for" in end.stderr
    assert (
        end.stderr.count("[submission] Test results: {'mu_hat'") == 2 * SETS * EXPERIMENTS
    )  # asked again, too


# --- failures -----------------------------------------------------------------------------------

THIRD_CALL = """
self.calls = getattr(self, "calls", 0) + 1
if self.calls == 3:
    {}
return ANSWER
"""


def third_call(line, **parts):
    return model_text(predict=THIRD_CALL.format(line), **parts)


THIRD = list(draw_order(SEED, SETS, EXPERIMENTS))[2]
WHERE = f"set {THIRD[0]}, pseudo-experiment {THIRD[1]}: "

AT_THE_DOOR = {
    "import": (
        model_text(top="import no_such_library"),
        ["model.py, line 3: there is no module 'no_such_library'"],
    ),
    "exit": (third_call("os._exit(0)"), [WHERE, "exited with code 0 during predict"]),
    "killed": (
        third_call("os.kill(os.getpid(), signal.SIGKILL)"),
        [WHERE, "was ended by SIGKILL (out of memory?) during predict"],
    ),
    "raises": (
        third_call("raise ValueError('no minimum found')"),
        [
            WHERE + "the submission failed in predict: ValueError: no minimum found",
            '\n[submission]   File "model.py", line 20, in predict\n',
        ],
    ),
    "deceives": (
        third_call("raise ValueError('x\\nError: all good\\n::set-output::y\\x1b[2J')"),
        [
            "the submission failed in predict: ValueError: x Error: all good ::set-output::y",
            "\n[submission] Error: all good\n[submission] ::set-output::y\N{REPLACEMENT CHARACTER}",
        ],
    ),
    "nan": (third_call("return {**ANSWER, 'p84': float('nan')}"), [WHERE, "p84 = nan"]),
}


@pytest.mark.parametrize("name", AT_THE_DOOR)
def test_a_failed_submission_ends_with_one_clear_error(doors, tiny_dataset, tmp_path, name):
    text, parts = AT_THE_DOOR[name]
    output = tmp_path / "output"
    output.mkdir()
    (output / "result_0.json").write_text("{}")
    submission = write_submission(tmp_path / "submission", text)
    end = knock(doors, tiny_dataset, submission, output, "--random-seed", SEED, "--workers", 1)
    assert end.returncode == 1
    assert end.stdout == ""
    errors = [line for line in end.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    for part in parts:
        assert part in end.stderr
    assert "run_ingestion.py" not in end.stderr, "the traceback is the participant's alone"
    assert names_in(output) == ["result_0.json"], "an earlier result stays"


def test_a_failure_in_a_worker_is_reported_like_any_other(doors, tiny_dataset, tmp_path):
    text = model_text(top="import os", predict="return {**ANSWER, 'p16': float('nan')}")
    submission = write_submission(tmp_path / "submission", text)
    end = knock(doors, tiny_dataset, submission, tmp_path / "output", "--workers", 2)
    assert end.returncode == 1
    assert re.search(
        r"Error: set \d, pseudo-experiment \d: predict returned p16 = nan: it must be finite "
        r"\(predict: model\.py, line \d+\)\n$",
        end.stderr,
    )
    assert "Traceback" not in end.stderr
    assert not (tmp_path / "output").exists()


def test_a_model_that_hangs_meets_the_deadline(tiny_dataset, tmp_path):
    submission = write_submission(tmp_path / "s", model_text(fit="time.sleep(600)"))
    with pytest.raises(TimeLimitError, match=r"fit .*the whole run had 3 s"):
        run_ingestion(options(tiny_dataset, submission, tmp_path / "output", deadline=3.0))
    assert not (tmp_path / "output").exists()


def test_a_prediction_that_hangs_is_named(tiny_dataset, tmp_path):
    submission = write_submission(tmp_path / "s", third_call("time.sleep(600)"))
    budgets = Budgets(predict_seconds=3.0)
    with pytest.raises(TimeLimitError, match=f"^{WHERE}.*longer than its budget of 3 s"):
        run_ingestion(options(tiny_dataset, submission, tmp_path / "output", budgets=budgets))
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"num_of_sets": 0}, "num_of_sets must be at least 1, got 0"),
        ({"num_pseudo_experiments": -1}, "num_pseudo_experiments must be at least 1, got -1"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"deadline": 0.0}, "deadline must be above 0"),
        ({"deadline": float("nan")}, "deadline must be above 0"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"debug": True, "checkpoint": False}, 'set checkpoint=False and repeatable="off"'),
        ({"systematics": {"tau": True}}, r"unknown systematics \['tau'\]; known are tes, jes"),
    ],
)
def test_options_out_of_range(tmp_path, change, says):
    with pytest.raises(SettingsError, match=says):
        options(tmp_path, tmp_path, tmp_path, **change)


def test_what_can_be_wrong_before_anything_starts(tiny_dataset, tmp_path):
    honest = SUBMISSIONS / "honest"
    with pytest.raises(DataError, match="absent is not a directory"):
        run_ingestion(options(tmp_path / "absent", honest, tmp_path / "output"))
    with pytest.raises(SubmissionError, match="absent is not a directory"):
        run_ingestion(options(tiny_dataset, tmp_path / "absent", tmp_path / "output"))
    (tmp_path / "file").write_text("precious")
    with pytest.raises(SettingsError, match="file is not a directory: name one"):
        run_ingestion(options(tiny_dataset, honest, tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "precious"


# --- the interface of the reference implementation ----------------------------------------------

TEST_SETTINGS = {
    "systematics": TWO_ON,
    "num_pseudo_experiments": EXPERIMENTS,
    "num_of_sets": SETS,
    "ground_truth_mus": [draw_mu(SEED, index) for index in range(SETS)],
}


@pytest.fixture
def honest_class(monkeypatch):
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield load_model_class(SUBMISSIONS / "honest" / "model.py")
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_step_by_step_as_a_program_for_the_package_does(
    honest_class, honest_run, tiny_dataset, tmp_path, capsys
):
    """The same truth and seed: the very files that the judged form writes."""
    data = Data(tiny_dataset, test_size=0.3)
    ingestion = Ingestion(data)
    ingestion.start_timer()
    ingestion.init_submission(honest_class, model_type="sample_model")
    assert data.get_train_set() is None, "its memory is free again"
    ingestion.fit_submission()
    ingestion.predict_submission(TEST_SETTINGS, SEED)
    assert {len(answers) for answers in ingestion.results_dict.values()} == {EXPERIMENTS}
    indices = [answer["test_set_index"] for answer in ingestion.results_dict[0]]
    assert sorted(indices) == list(range(EXPERIMENTS))
    ingestion.process_results_dict()
    ingestion.stop_timer()
    ingestion.show_duration()
    assert "Total duration: 0:0" in capsys.readouterr().out
    assert ingestion.start_time.tzinfo is None  # as there
    ingestion.save_result(tmp_path)
    ingestion.save_duration(tmp_path)

    lists = ingestion.results_dict[1]
    assert set(lists) >= {"mu_hats", "delta_mu_hats", "p16", "p84", "p16s", "p84s"}
    assert lists["p16"] == lists["p16s"]
    assert names_in(tmp_path) == [
        "ingestion_duration.json",
        *RESULTS,
    ]
    judged, _ = honest_run
    for name in RESULTS:
        ours, theirs = (json.loads((folder / name).read_text()) for folder in (tmp_path, judged))
        assert {key: ours[key] for key in theirs} == theirs
    minutes = load_duration(tmp_path / "ingestion_duration.json")
    assert minutes * 60 == pytest.approx(ingestion.get_duration().total_seconds())
    assert 0 < minutes < 1


class Fixed:
    """A Model that the package's own runs would accept."""

    def __init__(self, get_train_set, systematics, model_type):
        self.model_type = model_type
        self.frame = get_train_set(train_size=20)
        self.shifted = systematics(self.frame, tes=1.02)

    def fit(self):
        self.fitted = True

    def predict(self, test_set):
        assert self.fitted
        n = len(test_set["data"])
        return {"mu_hat": n / 1e4, "delta_mu_hat": 0.1, "p16": 0.0, "p84": n / 1e4}


def test_names_of_both_forms_and_a_model_with_a_type(tiny_dataset, tmp_path):
    ingestion = Ingestion(Data(tiny_dataset))
    ingestion.init_submission(Fixed, "another_model")
    assert ingestion.model.model_type == "another_model"
    assert len(ingestion.model.frame) == 20
    ingestion.fit_submission()
    ingestion.predict_submission(TEST_SETTINGS)
    first = {index: list(answers) for index, answers in ingestion.results_dict.items()}
    ingestion.predict_submission(TEST_SETTINGS)
    assert ingestion.results_dict == first, "the default seed makes a run repeatable"
    ingestion.predict_submission(TEST_SETTINGS, initial_seed=1)
    assert ingestion.results_dict != first
    ingestion.compute_result()
    ingestion.save_result(str(tmp_path))
    assert len(list(tmp_path.glob("result_*.json"))) == SETS
    ingestion.init_submission(Fixed)
    assert ingestion.model.model_type == "sample_model"
    assert len(ingestion.load_train_set(selected_indices=[1, 2])) == 2


def test_steps_out_of_order_say_what_is_missing(tiny_dataset, tmp_path, caplog):
    with pytest.raises(SettingsError, match="needs a Data object"):
        Ingestion().init_submission(Fixed)
    ingestion = Ingestion(Data(tiny_dataset))
    with pytest.raises(SubmissionError, match="call init_submission first"):
        ingestion.fit_submission()
    assert ingestion.get_duration() is None
    assert "was not started" in caplog.text
    with pytest.raises(SettingsError, match="call start_timer and stop_timer"):
        ingestion.save_duration(tmp_path)
    ingestion.start_timer()
    ingestion.stop_timer()
    assert isinstance(ingestion.get_duration(), timedelta)


ONE = {**TEST_SETTINGS, "num_of_sets": 1, "num_pseudo_experiments": 2}


def predicted(data, answer):
    """The Ingestion after two predictions of what ``answer`` makes of the usual one."""

    class Special(Fixed):
        def predict(self, test_set):
            return answer(super().predict(test_set), test_set)

    ingestion = Ingestion(data)
    ingestion.init_submission(Special)
    ingestion.fit_submission()
    ingestion.predict_submission(ONE)
    return ingestion


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda usual, _: {**usual, "p84": float("nan")}, "p84 = nan"),
        (lambda usual, _: {**usual, "mu_hat": np.inf}, "mu_hat = inf"),
        (lambda usual, _: {key: usual[key] for key in ("mu_hat", "p16", "p84")}, "delta_mu_hat"),
    ],
)
def test_answers_that_a_judged_run_refuses_are_stored_with_a_warning(
    tiny_dataset, tmp_path, answer, says
):
    with pytest.warns(UserWarning, match=f"{says}.*stored as it is, but a judged run"):
        ingestion = predicted(Data(tiny_dataset), answer)
    ingestion.save_result(tmp_path)
    assert "result_0.json" in names_in(tmp_path)
    assert len(ingestion.results_dict[0]["p16s"]) == 2


def test_a_swapped_interval_is_stored_with_a_warning(tiny_dataset):
    with pytest.warns(UserWarning, match="set 0, pseudo-experiment .: predict returned p16 above"):
        ingestion = predicted(Data(tiny_dataset), lambda usual, _: {**usual, "p16": 9.0})
    assert [answer["p16"] for answer in ingestion.results_dict[0]] == [9.0, 9.0]


def test_an_answer_that_is_no_dict_is_an_error(tiny_dataset):
    with pytest.raises(PredictionError, match="must return a dict"):
        predicted(Data(tiny_dataset), lambda *_: 1.0)


def test_further_answers_are_kept_and_saving_needs_no_processing(tiny_dataset, tmp_path):
    def answer(usual, test_set):
        return {**usual, "tes_hat": np.float32(1.5), "bins": np.arange(2), "note": "a"}

    ingestion = predicted(Data(tiny_dataset), answer)
    ingestion.save_result(tmp_path)
    saved = json.loads((tmp_path / "result_0.json").read_text())
    assert saved["tes_hats"] == [1.5, 1.5]
    assert saved["bins"] == [[0, 1], [0, 1]]
    assert saved["notes"] == ["a", "a"]
    before = ingestion.results_dict
    ingestion.process_results_dict()
    assert ingestion.results_dict == before, "processing twice changes nothing"


class Doubled(Data):
    """A dataset whose user has changed what it hands out."""

    def get_test_set(self):
        self.load_test_set()
        frames = super().get_test_set()
        return {name: frame.assign(weights=2 * frame["weights"]) for name, frame in frames.items()}


class Own:
    """Not our class at all, but with its methods."""

    def __init__(self, directory):
        self.data, self.loaded = Data(directory), False

    def load_train_set(self, **keywords):
        self.data.load_train_set(**keywords)

    def get_train_set(self):
        return self.data.get_train_set()

    def delete_train_set(self):
        self.data.delete_train_set()

    def load_test_set(self):
        self.loaded = True

    def get_test_set(self):
        return Doubled(self.data.input_dir).get_test_set() if self.loaded else None


def test_events_are_those_of_get_test_set(tiny_dataset):
    """An overridden method, another class, or frames that were changed in place."""

    def count(data):
        rows = predicted(data, lambda usual, test: {**usual, "n": len(test["data"])})
        return np.array([answer["n"] for answer in rows.results_dict[0]])

    once = count(Data(tiny_dataset)).mean()
    loaded = Data(tiny_dataset)
    loaded.load_test_set()
    np.testing.assert_array_equal(count(loaded), count(Data(tiny_dataset)))
    for frame in loaded.get_test_set().values():
        frame["weights"] *= 2
    for data in (Doubled(tiny_dataset), Own(tiny_dataset), loaded):
        assert count(data).mean() == pytest.approx(2 * once, rel=0.05)
