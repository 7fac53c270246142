"""The record of an ingestion: what it says, and what no longer fits it."""

import json

import numpy as np
import pytest

from HiggsML.errors import HiggsMLError, IngestionFailedError, ResultsError
from HiggsML.results import (
    Predictions,
    Settings,
    names_at_the_top,
    reserved_names,
    write_duration,
    write_predictions,
    write_settings,
)
from HiggsML.schema import NUISANCES
from HiggsML.seal import KEY_FILE, Recorder, check_record, load_key, new_key, recorded

KEY = bytes(range(32))


def write_results(directory, *, mu=1.0):
    ones = np.ones(2)
    answers = Predictions(mu * ones, 0.1 * ones, 0.9 * ones, 1.1 * ones)
    write_predictions(directory, {0: answers, 1: answers})
    write_duration(directory, 60.0)
    settings = Settings(2, 2, dict.fromkeys(NUISANCES, True), {0: 1.0, 1: 2.0})
    write_settings(directory, settings)


def sealed(directory, key, *, tell=True, mu=1.0):
    recorder = Recorder(directory, key, tell=tell)
    recorder.begin()
    write_results(directory, mu=mu)
    recorder.seal(directory)
    return directory


def record_of(directory):
    (path,) = directory.glob("ingestion_record*.json")
    return path


@pytest.mark.parametrize("tell", [False, True])
def test_a_sealed_result_is_accepted_with_and_without_the_key(tmp_path, tell):
    sealed(tmp_path, KEY, tell=tell)
    assert check_record(tmp_path, KEY) is True
    assert check_record(tmp_path, None) is False
    assert (record_of(tmp_path).name == "ingestion_record.json") is not tell


def test_results_without_a_record_pass_only_where_there_is_no_key(tmp_path):
    write_results(tmp_path)
    assert check_record(tmp_path, None) is False
    with pytest.raises(ResultsError, match="no record of an ingestion with this competition's key"):
        check_record(tmp_path, KEY)


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize(
    "name", ["result_0.json", "result_1.json", "test_settings.json", "ingestion_duration.json"]
)
def test_every_changed_file_is_named(tmp_path, key, name):
    sealed(tmp_path, key)
    text = (tmp_path / name).read_text()
    (tmp_path / name).write_text(text + " ")
    with pytest.raises(ResultsError, match=rf"{name} is not as the ingestion wrote it"):
        check_record(tmp_path, key)
    (tmp_path / name).unlink()
    with pytest.raises(ResultsError, match=rf"{name} is missing"):
        check_record(tmp_path, key)


@pytest.mark.parametrize("key", [None, KEY])
def test_a_result_beside_those_of_the_record_is_refused(tmp_path, key):
    sealed(tmp_path, key)
    (tmp_path / "result_7.json").write_text("{}")
    with pytest.raises(ResultsError, match=r"result_7\.json is not among the results"):
        check_record(tmp_path, key)


def test_another_key_or_none_signs_nothing(tmp_path):
    for other in (None, bytes(32)):
        for path in tmp_path.iterdir():
            path.unlink()
        sealed(tmp_path, other)
        with pytest.raises(ResultsError, match="no record of an ingestion with this"):
            check_record(tmp_path, KEY)


@pytest.mark.parametrize("change", ["state", "reason", "files", "signature", "name"])
def test_a_changed_record_is_not_signed(tmp_path, change):
    path = record_of(sealed(tmp_path, KEY))
    content = json.loads(path.read_text())
    if change == "name":
        path.rename(tmp_path / "ingestion_record.json")
    else:
        content[change] = {} if change == "files" else "é" if change == "signature" else "other"
        path.write_text(json.dumps(content))
    with pytest.raises(ResultsError, match="no record of an ingestion with this"):
        check_record(tmp_path, KEY)


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"state": 1}', '{"state": "x", "reason": "", "files": 3}']
)
def test_a_broken_record_is_refused(tmp_path, text):
    record_of(sealed(tmp_path, KEY)).write_text(text)
    with pytest.raises(ResultsError, match="ingestion_record"):
        check_record(tmp_path, KEY)
    with pytest.raises(ResultsError, match="ingestion_record"):
        check_record(tmp_path, None)


def test_older_results_do_not_stand_in_for_a_run_that_failed(tmp_path):
    """All files of a genuine run, record and all, are copied over a failed one."""
    older, now = tmp_path / "older", tmp_path / "now"
    sealed(older, KEY)
    recorder = Recorder(now, KEY, tell=True)
    recorder.begin()
    recorder.fail(HiggsMLError("a file is called like a result"))
    for path in older.iterdir():
        (now / path.name).write_bytes(path.read_bytes())
    with pytest.raises(IngestionFailedError, match="a file is called like a result"):
        check_record(now, KEY)


def test_two_finished_records_are_refused(tmp_path):
    sealed(tmp_path, KEY)
    sealed(tmp_path, KEY)
    with pytest.raises(ResultsError, match="records of 2 ingestions"):
        check_record(tmp_path, KEY)


def fails(error, output, *, tell):
    def run():
        with recorded(output, output, tell=tell) as recorder:
            recorder.begin()
            raise error

    with pytest.raises(type(error)):
        run()


def failed(directory, error):
    fails(error, directory, tell=True)
    with pytest.raises(IngestionFailedError) as caught:
        check_record(directory, None)
    return caught.value


def test_the_reason_is_clean_and_one_line_in_the_message(tmp_path):
    error = failed(tmp_path, HiggsMLError("fit failed:\n  line 3\nValueError: \x1b[31m\u202eno"))
    assert str(error) == "the ingestion failed: fit failed: | line 3 | ValueError: �[31m�no"
    assert error.reason.count("\n") == 2


def test_a_long_reason_keeps_its_beginning_and_its_end(tmp_path):
    error = failed(tmp_path, HiggsMLError("first\n" + "x" * 100_000 + "\nlast"))
    assert error.reason.startswith("first\n")
    assert error.reason.endswith("\nlast")
    assert len(error.reason) < 2000


def test_an_error_of_our_own_tells_its_kind_only(tmp_path):
    error = failed(tmp_path, KeyError("mu = 1.234"))
    assert "1.234" not in str(error)
    assert "KeyError" in str(error)


def test_a_run_that_is_killed_has_said_that_it_began(tmp_path):
    Recorder(tmp_path, KEY, tell=True).begin()
    with pytest.raises(IngestionFailedError, match="ended before it could say why"):
        check_record(tmp_path, KEY)


def test_at_home_a_failed_run_leaves_nothing(tmp_path):
    output = tmp_path / "output"
    fails(HiggsMLError("no"), output, tell=False)
    assert not output.exists()


def test_keys_are_fresh_and_read_whole(tmp_path):
    assert load_key(None) is None
    assert load_key(tmp_path) is None
    text = new_key()
    assert text != new_key()
    (tmp_path / KEY_FILE).write_text(text)
    assert load_key(tmp_path).hex() == text.strip()
    (tmp_path / KEY_FILE).write_text(text[:-3])
    with pytest.raises(ResultsError, match=r"seal\.key is not a key"):
        load_key(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        *("result_0.json", "result_.json", "RESULT_1.JSON", "result_a b.json", "result_.json "),
        *("test_settings.json", "Test_Settings.Json", "ingestion_duration.json", "metadata"),
        *("METADATA", "metadata.yaml", "Metadata.YAML", "ingestion_record.json"),
        *("ingestion_record_00.json", "\uff4detadata", "meta\u200bdata", "meta\u00addata"),
        *("metadata ", "metadata.", "te\u017ft_settings.json", "ingestion_duration.json/model.py"),
        *("result_0.json/", "./metadata", "/metadata", "\U0001d696etadata", "result_0\u0301.json"),
    ],
)
def test_reserved_names(name):
    assert reserved_names([name])
    assert reserved_names([f"mine/{name.removeprefix('/').removeprefix('./')}", "mine/model.py"])


@pytest.mark.parametrize(
    "name",
    [
        *("model.py", "results.json", "result.json", "my_result_0.json", "result_0.json.gz"),
        *("metadata.json", "scores.json", "weights/metadata", "métadata", "settings.json"),
    ],
)
def test_other_names_are_free(name):
    assert reserved_names([name, "model.py"]) == []


def test_names_in_a_directory_include_empty_folders_and_links(tmp_path):
    (tmp_path / "mine" / "metadata").mkdir(parents=True)
    (tmp_path / "result_0.json").symlink_to("/nowhere")
    (tmp_path / "link").symlink_to(tmp_path)
    assert reserved_names(names_at_the_top(tmp_path)) == ["mine/metadata", "result_0.json"]
