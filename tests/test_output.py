"""The directory of a run's results: taken before the fit, changed by success alone."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from HiggsML.errors import DataError, HiggsMLError, ResultsError, SettingsError
from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.ingestion.output import replacement, reserved
from tests.pipeline_fixtures import ALL_OFF, model_text, tiny_dataset, write_submission

__all__ = ["tiny_dataset"]

RESULTS = ["ingestion_duration.json", "ingestion_record.json", "result_0.json", "result_1.json"]
RESULTS += ["test_settings.json"]


def run(dataset, submission, output, **changes):
    wanted = {"num_of_sets": 2, "num_pseudo_experiments": 1, "seed": 1, "workers": 1}
    wanted["isolation"] = "off"
    return run_ingestion(
        IngestionOptions(dataset, submission, output, systematics=ALL_OFF, **wanted | changes)
    )


def content(directory):
    """Every file below a directory, links not followed."""
    return {
        path.relative_to(directory).as_posix(): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture
def earlier(tmp_path):
    """An output directory with results of an earlier run, and files of the user's."""
    output = tmp_path / "out"
    (output / "plots").mkdir(parents=True)
    for name in (*RESULTS, "result_12.json", "scores.json", "thesis.tex", "result_0.txt"):
        (output / name).write_text(f"earlier {name}")
    (tmp_path / "precious").write_text("precious")
    (output / "result_3.json").symlink_to(tmp_path / "precious")
    return output


FAILURES = {
    "no model": ("", {}),
    "syntax": ("class Model(:", {}),
    "fit": (model_text(fit="raise ValueError"), {}),
    "predict": (model_text(predict="raise ValueError"), {}),
    "last predict": (
        model_text(
            init="self.calls = 0",
            predict="self.calls += 1; return ANSWER if self.calls < 2 else None",
        ),
        {},
    ),
    "deadline": (model_text(predict="time.sleep(100)"), {"deadline": 3.0}),
    "workers": (model_text(predict="os._exit(1)"), {"workers": 2}),
    "no data": (model_text(), {}),
    "wrong setting": (model_text(), {"test_size": 2.0}),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failing_run_leaves_earlier_results_alone(tiny_dataset, tmp_path, earlier, kind):
    text, changes = FAILURES[kind]
    submission = tmp_path / "submission"
    submission.mkdir()
    if text:
        write_submission(submission, text)
    dataset = tmp_path if kind == "no data" else tiny_dataset
    before = content(tmp_path / "out")
    with pytest.raises(HiggsMLError):
        run(dataset, submission, earlier, **changes)
    assert content(earlier) == before


def test_a_successful_run_replaces_former_results_and_nothing_else(tiny_dataset, tmp_path, earlier):
    before = content(earlier)
    run(tiny_dataset, write_submission(tmp_path / "submission", model_text()), earlier)
    after = content(earlier)
    others = {"scores.json", "thesis.tex", "result_0.txt"}
    assert set(after) == {*RESULTS, *others}
    assert {name for name in after if after[name] == before[name]} == others
    assert (tmp_path / "precious").read_text() == "precious"
    assert (earlier / "plots").is_dir()


def test_what_a_killed_run_had_prepared_is_removed(tiny_dataset, tmp_path, earlier):
    stale = earlier / ".partial-1" / "deep"
    stale.mkdir(parents=True)
    (stale / "result_9.json").write_text("half a resu")
    run(tiny_dataset, write_submission(tmp_path / "submission", model_text()), earlier)
    assert not (earlier / ".partial-1").exists()
    assert "result_9.json" not in content(earlier)


def test_results_that_can_not_be_written_leave_the_former_ones(earlier):
    before = content(earlier)
    message = r"can not be written \(No space left on device\): make room"

    def write():
        with replacement(earlier) as directory:
            (directory / "result_0.json").write_text("new")
            raise OSError(28, "No space left on device")

    with pytest.raises(ResultsError, match=message):
        write()
    assert content(earlier) == before


def test_a_directory_for_which_nothing_came_is_not_left_behind(tmp_path):
    with pytest.raises(DataError):
        run(tmp_path, write_submission(tmp_path / "submission", model_text()), tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()


def test_two_runs_do_not_share_an_output(tiny_dataset, tmp_path):
    output = tmp_path / "out"
    submission = write_submission(tmp_path / "submission", model_text())
    with reserved(output), pytest.raises(SettingsError, match=r"out is in use: another run"):
        run(tiny_dataset, submission, output)
    run(tiny_dataset, submission, output)


def test_a_result_that_is_a_directory_is_refused_before_the_fit(tiny_dataset, tmp_path):
    (tmp_path / "out" / "result_0.json").mkdir(parents=True)
    marker = tmp_path / "fitted"
    submission = write_submission(
        tmp_path / "submission", model_text(fit=f"open({str(marker)!r}, 'w').close()")
    )
    with pytest.raises(SettingsError, match=r"result_0\.json is a directory"):
        run(tiny_dataset, submission, tmp_path / "out")
    assert not marker.exists()


@pytest.fixture
def forbidden():
    """A directory that this process may not write to."""
    place = Path(tempfile.mkdtemp())
    try:
        if os.geteuid():
            place.chmod(0o555)
            yield place
            place.chmod(0o755)
            return
        place.chmod(0o755)
        os.seteuid(65534)
        try:
            yield place
        finally:
            os.seteuid(0)
    finally:
        shutil.rmtree(place)


@pytest.mark.parametrize("below", ["", "out", "deep/out"])
def test_permission_denied_is_named_as_such(forbidden, below):
    message = r"can not be written to \(Permission denied\): .*may write to"
    with pytest.raises(SettingsError, match=message), reserved(forbidden / below):
        pass


@pytest.fixture
def read_only(tmp_path):
    """A directory on a file system that is mounted to be read."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a file system")
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_place_that_can_not_be_written_is_noticed_before_the_fit(
    tiny_dataset, tmp_path, read_only
):
    marker = tmp_path / "fitted"
    submission = write_submission(
        tmp_path / "submission", model_text(fit=f"open({str(marker)!r}, 'w').close()")
    )
    with pytest.raises(SettingsError, match=r"can not be written to \(Read-only file system\)"):
        run(tiny_dataset, submission, read_only / "out")
    assert not marker.exists()
