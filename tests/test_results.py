import json
import math
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from HiggsML import results
from HiggsML.errors import ResultsError
from HiggsML.results import (
    ANSWER_LIMIT,
    Predictions,
    Settings,
    load_duration,
    load_predictions,
    load_settings,
    write_duration,
    write_json,
    write_predictions,
    write_settings,
)
from HiggsML.schema import NUISANCES

ENABLED = dict.fromkeys(NUISANCES, True)
SETTINGS = Settings(2, 3, ENABLED, {0: 1.25, 1: 2.5})
FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["mu_hats", "delta_mu_hats", "p16", "p84", "p16s", "p84s", "x"]), inner
        )
    ),
    max_leaves=12,
)


def content(**changes):
    """What a right result file holds for three pseudo-experiments."""
    return {
        "mu_hats": [1.0, 1.5, 2.0],
        "delta_mu_hats": [0.5, 0.5, 0.5],
        "p16": [0.5, 1.0, 1.5],
        "p84": [1.5, 2.0, 2.5],
    } | changes


@pytest.fixture
def directory(tmp_path):
    """Right results of two sets."""
    for index in range(2):
        (tmp_path / f"result_{index}.json").write_text(json.dumps(content()))
    return tmp_path


def break_set_1(directory, **changes):
    (directory / "result_1.json").write_text(json.dumps(content(**changes)))


# ----------------------------------------------------------------------------------------------
# Predictions
# ----------------------------------------------------------------------------------------------


def test_right_results_are_read(directory):
    loaded = load_predictions(directory, SETTINGS)
    assert list(loaded) == [0, 1]
    np.testing.assert_array_equal(loaded[1].mu_hat, [1.0, 1.5, 2.0])
    np.testing.assert_array_equal(loaded[1].p84, [1.5, 2.0, 2.5])
    assert loaded[0].p16.dtype == np.float64


def test_the_package_s_names_are_read_too(directory):
    """The PyPI package writes p16s and p84s."""
    other = content()
    other["p16s"], other["p84s"] = other.pop("p16"), other.pop("p84")
    (directory / "result_1.json").write_text(json.dumps(other))
    loaded = load_predictions(directory, SETTINGS)
    np.testing.assert_array_equal(loaded[0].p16, loaded[1].p16)


def test_whole_numbers_and_the_platforms_file_are_fine(directory):
    break_set_1(directory, mu_hats=[1, 2, 3])
    (directory / "metadata").write_text("anything")
    assert load_predictions(directory, SETTINGS)[1].mu_hat.tolist() == [1.0, 2.0, 3.0]


def test_a_file_that_no_ingestion_writes_is_refused(directory):
    (directory / "results.json").write_text("anything")
    with pytest.raises(ResultsError, match=r"results\.json is not a result"):
        load_predictions(directory, SETTINGS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mu_hats": None}, "mu_hats must be a list of 3 numbers"),
        ({"p16": {"a": 1}}, "p16 must be a list of 3 numbers"),
        ({"p84": [1.5, 2.0]}, "p84 has 2 entries instead of 3"),
        ({"p84": []}, "p84 has 0 entries instead of 3"),
        ({"delta_mu_hats": [0.5] * 4}, "delta_mu_hats has 4 entries instead of 3"),
        ({"mu_hats": [1, "2", 3]}, "mu_hats, entry 1, must be a number, not '2'"),
        ({"mu_hats": [1, "x" * 99, 3]}, "mu_hats, entry 1, must be a number, not str"),
        ({"mu_hats": [1, 2, None]}, "mu_hats, entry 2, must be a number, not None"),
        ({"mu_hats": [True, 2, 3]}, "mu_hats, entry 0, must be a number, not True"),
        ({"mu_hats": [[1], 2, 3]}, r"mu_hats, entry 0, must be a number, not \[1\]"),
        ({"p16": [0, -math.inf, 0]}, "p16, entry 1, must be finite, not -inf"),
        ({"mu_hats": [0, 10**400, 0]}, "mu_hats, entry 1, must be finite, not inf"),
        ({"mu_hats": [0, 2e4, 0]}, r"mu_hats, entry 1, is 20000; magnitudes up to 10000 are"),
        ({"p16": [0, 0, -1e9]}, r"p16, entry 2, is -1e\+09; magnitudes up to 10000 are allowed"),
    ],
)
def test_wrong_content_is_named(directory, changes, message):
    break_set_1(directory, **changes)
    with pytest.raises(ResultsError, match=rf"result_1\.json: {message}"):
        load_predictions(directory, SETTINGS)


@pytest.mark.parametrize("key", ["mu_hats", "delta_mu_hats", "p16", "p84"])
def test_defect_8_nan_is_refused(directory, key):
    break_set_1(directory, **{key: [1.0, math.nan, 1.0]})
    with pytest.raises(ResultsError, match=rf"result_1\.json: {key}, entry 1, must be finite, not"):
        load_predictions(directory, SETTINGS)


def test_defect_12_a_swapped_interval_is_read_as_it_is(directory):
    break_set_1(directory, p16=[0.5, 2.5, 1.5])
    loaded = load_predictions(directory, SETTINGS)
    assert loaded[1].p16[1] == 2.5
    assert [loaded[index].n_swapped for index in (0, 1)] == [0, 1]


def test_an_interval_of_no_width_is_allowed(directory):
    break_set_1(directory, p16=[1, 1, 1], p84=[1, 1, 1])
    assert len(load_predictions(directory, SETTINGS)) == 2


@pytest.mark.parametrize("missing", ["mu_hats", "p16"])
def test_a_missing_list_is_named(directory, missing):
    part = content()
    del part[missing]
    (directory / "result_1.json").write_text(json.dumps(part))
    with pytest.raises(ResultsError, match=rf"result_1\.json: {missing} must be a list of 3"):
        load_predictions(directory, SETTINGS)


def test_defect_8_a_missing_set_is_refused(directory):
    """It must not shift the sets that follow."""
    (directory / "result_0.json").unlink()
    with pytest.raises(
        ResultsError, match=r"result_0\.json is missing \(1 of 2 result files are\)"
    ):
        load_predictions(directory, SETTINGS)


def test_missing_sets_are_named_in_their_order(directory):
    with pytest.raises(ResultsError, match=r"result_2\.json is missing \(10 of 12"):
        load_predictions(directory, Settings(12, 3, ENABLED, {}))


@pytest.mark.parametrize(
    "name", ["result_2.json", "result_00.json", "result_.json", "result_a.json"]
)
def test_results_of_no_set_are_refused(directory, name):
    (directory / name).write_text(json.dumps(content()))
    with pytest.raises(ResultsError, match=rf"{name} belongs to no set: 2 sets were run; empty"):
        load_predictions(directory, SETTINGS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is not valid JSON: it is empty"),
        (b"{", "is not valid JSON: "),
        (b'{"p16": [1,}', "is not valid JSON: "),
        (b"\xff\xfe", "is not valid JSON: "),
        (b"[" * 100_000, "is not valid JSON: "),
        (b'{"p16": ' + b"9" * 5000 + b"}", "is not valid JSON: "),
        (b"[1, 2]", "must hold a JSON object, not a list"),
        (b"null", "must hold a JSON object, not a NoneType"),
    ],
)
def test_broken_files_are_named(directory, text, message):
    (directory / "result_1.json").write_bytes(text)
    with pytest.raises(ResultsError, match=rf"result_1\.json {message}"):
        load_predictions(directory, SETTINGS)


def test_an_oversized_file_is_not_read(directory, monkeypatch):
    monkeypatch.setattr(results, "_MAX_BYTES", 100)
    with pytest.raises(ResultsError, match=r"result_0\.json has \d+ bytes, more than any result"):
        load_predictions(directory, SETTINGS)


@pytest.mark.parametrize("target", ["somewhere else", "result_0.json", "."])
def test_symbolic_links_are_refused(directory, target):
    (directory / "result_1.json").unlink()
    (directory / "result_1.json").symlink_to(target)
    with pytest.raises(
        ResultsError, match=r"result_1\.json is a symbolic link, which no ingestion"
    ):
        load_predictions(directory, SETTINGS)


def test_links_deep_inside_are_refused(directory):
    (directory / "logs").mkdir()
    (directory / "logs" / "plot.png").symlink_to("/dev/null")
    with pytest.raises(ResultsError, match=r"plot\.png is a symbolic link"):
        load_predictions(directory, SETTINGS)


def test_a_directory_or_a_pipe_is_no_result(directory):
    for make in (lambda path: path.mkdir(), os.mkfifo):
        path = directory / "result_1.json"
        path.unlink() if path.is_file() else path.rmdir()
        make(path)
        with pytest.raises(ResultsError, match=r"result_1\.json is not a regular file"):
            load_predictions(directory, SETTINGS)
        if path.is_fifo():
            path.unlink()


def test_no_directory(tmp_path):
    with pytest.raises(ResultsError, match="nowhere is not a directory: name the one with the"):
        load_predictions(tmp_path / "nowhere", SETTINGS)


ANSWERS = st.integers(1, 8).flatmap(
    lambda n: st.tuples(
        *[npst.arrays(np.float64, n, elements=st.floats(-ANSWER_LIMIT, ANSWER_LIMIT))] * 4
    )
)


@FILES
@given(answers=st.lists(ANSWERS, min_size=1, max_size=1))
def test_what_is_written_is_read_again_bit_for_bit(tmp_path, answers):
    predictions = {
        index: Predictions(a, b, np.minimum(c, d), np.maximum(c, d))
        for index, (a, b, c, d) in enumerate(answers)
    }
    write_predictions(tmp_path, predictions)
    n = predictions[0].p16.size
    loaded = load_predictions(tmp_path, Settings(1, n, ENABLED, {}))
    for name in ("mu_hat", "delta_mu_hat", "p16", "p84"):
        np.testing.assert_array_equal(getattr(loaded[0], name), getattr(predictions[0], name))


@FILES
@given(value=JSON, key=st.sampled_from([None, "mu_hats", "delta_mu_hats", "p16", "p84"]))
def test_arbitrary_json_is_read_or_refused_by_name(tmp_path, value, key):
    """As the whole file, or as one of the lists of a file that is right otherwise."""
    whole = value if key is None else content(**{key: value})
    (tmp_path / "result_0.json").write_text(json.dumps(whole))
    try:
        loaded = load_predictions(tmp_path, Settings(1, 3, ENABLED, {}))[0]
    except ResultsError as error:
        refusal = str(error)
    else:
        refusal = "result_0.json"
        values = np.array([loaded.mu_hat, loaded.delta_mu_hat, loaded.p16, loaded.p84])
        assert values.shape == (4, 3)
        assert np.isfinite(values).all()
    assert "result_0.json" in refusal


@FILES
@given(text=st.binary(max_size=40))
def test_arbitrary_bytes_are_refused_by_name(tmp_path, text):
    (tmp_path / "result_0.json").write_bytes(text)
    with pytest.raises(ResultsError, match=r"result_0\.json"):
        load_predictions(tmp_path, Settings(1, 3, ENABLED, {}))


# ----------------------------------------------------------------------------------------------
# Settings
# ----------------------------------------------------------------------------------------------


def test_settings_come_back(tmp_path):
    written = Settings(2, 3, {**ENABLED, "jes": False}, SETTINGS.mus, {"model": "x"}, ("poor",))
    write_settings(tmp_path, written)
    path = tmp_path / "test_settings.json"
    assert load_settings(path, with_truth=True) == written
    assert load_settings(path, with_truth=False).mus == {}
    assert json.loads(path.read_text())["ground_truth_mus"] == [1.25, 2.5]


def settings_file(tmp_path, **changes):
    path = tmp_path / "test_settings.json"
    whole = {
        "systematics": ENABLED,
        "num_pseudo_experiments": 3,
        "num_of_sets": 2,
        "ground_truth_mus": [1.25, 2.5],
    } | changes
    path.write_text(json.dumps(whole))
    return path


def test_settings_of_the_reference_are_read(tmp_path):
    assert load_settings(settings_file(tmp_path), with_truth=True) == SETTINGS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_of_sets": 0}, "num_of_sets must be a whole number above 0, not 0"),
        ({"num_of_sets": 2.0}, "num_of_sets must be a whole number above 0, not 2.0"),
        ({"num_of_sets": True}, "num_of_sets must be a whole number above 0, not True"),
        ({"num_pseudo_experiments": None}, "num_pseudo_experiments must be a whole .* not None"),
        ({"systematics": {"tes": True}}, "systematics must say true or false for each of tes, jes"),
        ({"systematics": {**ENABLED, "x": True}}, "systematics must say true or false"),
        ({"systematics": {**ENABLED, "tes": 1}}, "systematics must say true or false"),
        ({"systematics": None}, "systematics must say true or false"),
        ({"ground_truth_mus": None}, "ground_truth_mus must be a list of 2 numbers"),
        ({"ground_truth_mus": [1.0]}, "ground_truth_mus must be a list of 2 numbers, one per set"),
        ({"ground_truth_mus": [1.0, "2"]}, "ground_truth_mus, entry 1, must be a number, not '2'"),
        ({"ground_truth_mus": [math.nan, 2]}, "ground_truth_mus, entry 0, must be finite"),
        ({"details": []}, "details must be an object and notices a list"),
        ({"notices": "x"}, "details must be an object and notices a list"),
    ],
)
def test_wrong_settings_are_named(tmp_path, changes, message):
    with pytest.raises(ResultsError, match=rf"test_settings\.json: {message}"):
        load_settings(settings_file(tmp_path, **changes), with_truth=True)


def test_missing_settings(tmp_path):
    with pytest.raises(
        ResultsError, match=r"test_settings\.json is missing: the ingestion did not"
    ):
        load_settings(tmp_path / "test_settings.json", with_truth=True)


def test_linked_settings_are_refused(tmp_path):
    settings_file(tmp_path)
    link = tmp_path / "link.json"
    link.symlink_to("test_settings.json")
    with pytest.raises(ResultsError, match=r"link\.json is not a regular file \(a link\?\)"):
        load_settings(link, with_truth=True)


def test_runs_are_compared_in_everything_but_the_truth():
    other = Settings(3, 3, {**ENABLED, "tes": False}, {})
    assert SETTINGS.same_run_as(Settings(2, 3, dict(ENABLED), {0: 0.5, 1: 0.5})) == []
    sets, systematics = SETTINGS.same_run_as(other)
    assert sets == "num_of_sets is 3 instead of 2"
    assert systematics.startswith("systematics is {'tes': False")


# ----------------------------------------------------------------------------------------------
# Duration, and how files are written
# ----------------------------------------------------------------------------------------------


def test_defect_9_durations_are_fractional_minutes(tmp_path):
    write_duration(tmp_path, 90.0)
    path = tmp_path / "ingestion_duration.json"
    assert json.loads(path.read_text()) == {"ingestion_duration": 1.5}
    assert load_duration(path) == 1.5
    write_duration(tmp_path, 3.0)
    assert load_duration(path) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "ingestion_duration must be a number, not None"),
        ('{"ingestion_duration": "1"}', "ingestion_duration must be a number, not '1'"),
        ('{"ingestion_duration": NaN}', "ingestion_duration must be finite, not nan"),
        ('{"ingestion_duration": -1}', "ingestion_duration must not be negative, got -1"),
    ],
)
def test_wrong_durations_are_named(tmp_path, text, message):
    path = tmp_path / "ingestion_duration.json"
    path.write_text(text)
    with pytest.raises(ResultsError, match=rf"ingestion_duration\.json: {message}"):
        load_duration(path)


def test_a_file_is_whole_or_absent(tmp_path):
    path = tmp_path / "scores.json"
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"score": 1.0, "extra": object()})
    assert list(tmp_path.iterdir()) == []
    write_json(path, {"score": 1.0})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"score": 2.0, "extra": object()})
    assert json.loads(path.read_text()) == {"score": 1.0}
    assert [one.name for one in tmp_path.iterdir()] == ["scores.json"]


def test_a_number_that_json_lacks_is_null(tmp_path):
    path = tmp_path / "scores.json"
    write_json(path, {"score": math.nan, "limits": [math.inf, -math.inf, 1.0]})
    assert json.loads(path.read_text()) == {"score": None, "limits": [None, None, 1.0]}


def test_writing_replaces_a_link_and_not_its_target(tmp_path):
    """A link planted in the output directory must not lead the writer elsewhere."""
    target = tmp_path / "precious.json"
    target.write_text("keep")
    (tmp_path / "scores.json").symlink_to(target)
    write_json(tmp_path / "scores.json", {"score": 1.0})
    assert target.read_text() == "keep"
    assert not (tmp_path / "scores.json").is_symlink()
