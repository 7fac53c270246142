"""Checkpoints: a run that was killed goes on, with the same bytes in the end.

Runs are processes of their own where they are killed.
"""

import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import sysconfig

import pytest

from HiggsML.errors import CheckpointError, ResultsError, SettingsError
from HiggsML.generator import generate_dataset
from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.ingestion import checkpoint as checkpoint_module
from HiggsML.ingestion.checkpoint import (
    Checkpoint,
    RunIdentity,
    checkpoint_path,
    exposed_to_submission,
)
from HiggsML.ingestion.workers import Task
from HiggsML.isolation.cage.restrict import probe
from HiggsML.isolation.sandbox import Sandbox
from HiggsML.results import Answer, load_duration

SETS, EXPERIMENTS, SEED = 2, 6, 8
TOTAL = SETS * EXPERIMENTS

MODEL = """
class Model:
    def __init__(self, get_train_set, systematics):
        self.get_train_set = get_train_set

    def fit(self):
        self.mean = float(self.get_train_set()["PRI_met"].mean())

    def predict(self, test_set):
        mu = float(test_set["data"]["PRI_met"].to_numpy().mean(dtype="float64")) / self.mean
        return {"mu_hat": mu, "delta_mu_hat": 0.1 / 3, "p16": mu - 1 / 3, "p84": mu + 1e-17}
"""


def write_submission(directory, model=MODEL):
    directory.mkdir(parents=True)
    (directory / "model.py").write_text(model)
    return directory


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("checkpoint") / "data"
    generate_dataset(directory, scenario="mini", events=4_000, seed=1)
    return directory


@pytest.fixture(scope="module")
def submission(tmp_path_factory):
    return write_submission(tmp_path_factory.mktemp("checkpoint") / "submission")


@pytest.fixture(scope="module")
def restricted_files():
    if (state := probe()["landlock-files"]) != "on":
        pytest.skip(f"Landlock does not restrict files here: {state}")


def options(dataset, submission, output, **more):
    return IngestionOptions(
        input_dir=dataset,
        submission=submission,
        output=output,
        **(
            {
                "num_of_sets": SETS,
                "num_pseudo_experiments": EXPERIMENTS,
                "systematics": {"tes": True, "soft_met": True},
                "seed": SEED,
                "workers": 1,
            }
            | more
        ),
    )


def results(directory):
    """The bytes of all result files; the duration is no result, nor is the record of it."""
    return {path.name: path.read_bytes() for path in sorted(directory.glob("[rt]*_*.json"))}


@pytest.fixture(scope="module")
def expected(dataset, submission, tmp_path_factory):
    output = tmp_path_factory.mktemp("checkpoint") / "expected"
    run_ingestion(options(dataset, submission, output))
    assert not checkpoint_path(output).exists(), "left behind after success"
    return results(output)


class InterruptedRunError(Exception):
    pass


def interrupt_after(count, also=lambda: None):
    def progress(stage, done, total):
        if stage == "predict" and done == count:
            also()
            raise InterruptedRunError

    return progress


def interrupted_run(dataset, submission, output, count=5, **more):
    """Run until an exception, which stands for anything that can go wrong; return the file."""
    with pytest.raises(InterruptedRunError):
        run_ingestion(options(dataset, submission, output, **more), interrupt_after(count))
    return checkpoint_path(output)


@pytest.fixture(scope="module")
def interrupted_once(dataset, submission, tmp_path_factory):
    """The directory of a run that was interrupted."""
    place = tmp_path_factory.mktemp("interrupted")
    interrupted_run(dataset, submission, place / "out")
    return place


@pytest.fixture
def interrupted(interrupted_once, tmp_path):
    """The file of such a run with the output ``tmp_path / "out"``."""
    shutil.copytree(interrupted_once, tmp_path, dirs_exist_ok=True)
    return checkpoint_path(tmp_path / "out")


# --------------------------------------------------------------------------------------------
# A run that is killed.

KILLED = """
import os, signal, sys
from pathlib import Path

from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.ingestion.stages import write

moment, workers = sys.argv[4], int(sys.argv[5])


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def progress(stage, done, total):
    if moment == f"{stage} {done}":
        die()


if __name__ == "__main__":
    if moment == "write":
        write.write_settings = die
    data, submission, output = map(Path, sys.argv[1:4])
    run_ingestion(
        IngestionOptions(
            data, submission, output, 2, 6, {"tes": True, "soft_met": True}, 8, workers
        ),
        progress,
    )
"""


def kill_run(tmp_path, dataset, submission, output, moment, workers=1):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    done = subprocess.run(
        [sys.executable, script, dataset, submission, output, moment, str(workers)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(
    ("moment", "workers", "kept"),
    [
        ("fit 0", 1, None),
        ("predict 1", 1, 1),
        ("predict 7", 2, 7),
        ("write", 1, TOTAL),
    ],
)
def test_a_killed_run_goes_on(
    dataset, submission, expected, tmp_path, caplog, moment, workers, kept
):
    output = tmp_path / "out"
    kill_run(tmp_path, dataset, submission, output, moment, workers)
    assert not (output / "test_settings.json").exists()
    assert checkpoint_path(output).exists() == (kept is not None)
    steps = []
    with caplog.at_level(logging.INFO):
        run_ingestion(
            options(dataset, submission, output, resume=True, workers=3 - workers),
            lambda *step: steps.append(step),
        )
    assert results(output) == expected
    assert not checkpoint_path(output).exists()
    if kept is None:
        assert "starts from the beginning" in caplog.text
        kept = 0
    else:
        assert f"{kept} finished pseudo-experiments are taken from" in caplog.text
    predicted = [step for step in steps if step[0] == "predict"]
    assert predicted == [("predict", done, TOTAL) for done in range(kept + 1, TOTAL + 1)]
    assert ("fit" in [step[0] for step in steps]) == (kept < TOTAL)


def test_where_all_answers_are_there_no_workers_are_started(
    dataset, submission, expected, tmp_path, monkeypatch
):
    output = tmp_path / "out"
    kill_run(tmp_path, dataset, submission, output, "write")
    started = []

    def start(*arguments, **keywords):
        started.append(arguments)
        return Sandbox(*arguments, **keywords)

    monkeypatch.setattr("HiggsML.ingestion.stages.processes.Sandbox", start)
    run_ingestion(options(dataset, submission, output, resume=True, workers=2))
    assert results(output) == expected
    assert len(started) == 2, "the one that tells which protections hold, one to ask again"


def test_a_run_can_be_interrupted_again_and_again(dataset, submission, expected, tmp_path):
    output = tmp_path / "out"
    interrupted_run(dataset, submission, output, 3)
    path = interrupted_run(dataset, submission, output, 8, resume=True)
    before = float(path.read_text().splitlines()[-1].split('"seconds": ')[1].rstrip("}"))
    run_ingestion(options(dataset, submission, output, resume=True))
    assert results(output) == expected
    assert load_duration(output / "ingestion_duration.json") * 60 > before


def test_without_a_seed_the_truth_is_that_of_the_first_part(
    dataset, submission, tmp_path, restricted_files
):
    output = tmp_path / "out"
    path = interrupted_run(dataset, submission, output, seed=None)
    seed = Checkpoint._parsed(path, path.read_bytes())[0].seed
    assert seed.bit_length() > 64
    run_ingestion(options(dataset, submission, output, seed=None, resume=True))
    run_ingestion(options(dataset, submission, tmp_path / "again", seed=seed))
    assert results(output) == results(tmp_path / "again")


def test_the_way_on_is_told(dataset, submission, tmp_path, caplog):
    path = interrupted_run(dataset, submission, tmp_path / "out")
    assert f"5 finished pseudo-experiments are kept in {path}" in caplog.text
    assert "--resume" in caplog.text


def test_without_resume_it_starts_over_and_says_so(
    dataset, submission, expected, interrupted, tmp_path, caplog
):
    steps = []
    run_ingestion(options(dataset, submission, tmp_path / "out"), lambda *s: steps.append(s))
    assert "starts over" in caplog.text
    assert str(interrupted) in caplog.text
    assert ("predict", 1, TOTAL) in steps
    assert results(tmp_path / "out") == expected
    assert not interrupted.exists()


# --------------------------------------------------------------------------------------------
# A checkpoint that does not fit.


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"num_of_sets": 3}, "settings: num_of_sets is 3 instead of 2"),
        ({"num_pseudo_experiments": 7}, "settings: num_pseudo_experiments is 7 instead of 6"),
        ({"systematics": {"tes": True}}, "settings: systematics is tes instead of tes,soft_met"),
        ({"seed": 9}, "settings: seed is 9 instead of 8"),
        ({"test_size": 0.4}, "settings: test_size is 0.4 instead of 0.3"),
        ({"isolation": "off"}, "settings: isolation is off instead of prefer"),
    ],
)
def test_other_settings_are_refused(dataset, submission, interrupted, tmp_path, change, says):
    content = interrupted.read_bytes()
    with pytest.raises(CheckpointError, match=f"another run: {says}") as caught:
        run_ingestion(options(dataset, submission, tmp_path / "out", resume=True, **change))
    assert str(interrupted) in str(caught.value)
    assert interrupted.read_bytes() == content


@pytest.mark.usefixtures("interrupted")
def test_other_data_are_refused(dataset, submission, tmp_path):
    generate_dataset(tmp_path / "data", scenario="mini", events=4_000, seed=2)
    with pytest.raises(CheckpointError, match=r"dataset: .*parquet footer is"):
        run_ingestion(options(tmp_path / "data", submission, tmp_path / "out", resume=True))


@pytest.mark.usefixtures("interrupted")
def test_a_moved_dataset_is_the_same(dataset, submission, expected, tmp_path):
    moved = shutil.copytree(dataset, tmp_path / "moved")
    run_ingestion(options(moved, submission, tmp_path / "out", resume=True))
    assert results(tmp_path / "out") == expected


@pytest.mark.usefixtures("interrupted")
def test_another_submission_is_refused(dataset, submission, tmp_path):
    other = shutil.copytree(submission, tmp_path / "other")
    (other / "table.txt").write_text("1")
    with pytest.raises(CheckpointError, match=r"submission: table\.txt is \w+\.\.\. instead of ab"):
        run_ingestion(options(dataset, other, tmp_path / "out", resume=True))


@pytest.mark.usefixtures("interrupted")
def test_other_software_is_refused(dataset, submission, tmp_path, monkeypatch):
    monkeypatch.setattr("HiggsML.ingestion.identity.platform.python_version", lambda: "3.99")
    with pytest.raises(CheckpointError, match=r"software: python is 3\.99 instead of 3"):
        run_ingestion(options(dataset, submission, tmp_path / "out", resume=True))


# --------------------------------------------------------------------------------------------
# The file.

IDENTITY = RunIdentity({"seed": 1}, {"rows": "2"}, {"model.py": "ab"}, {"numpy": "2"})
ANSWER = Answer(mu_hat=1 / 3, delta_mu_hat=5e-324, p16=-0.0, p84=1e4)


@pytest.fixture
def written(tmp_path):
    """A file with three answers."""
    path = tmp_path / "deep" / ".out.checkpoint.jsonl"
    with Checkpoint(IDENTITY, 2**128 - 1, path) as kept:
        kept.prepare()
        kept.start()
        for number in range(3):
            kept.append(Task(0, number), ANSWER._replace(mu_hat=number / 7), 2.5 * number)
    return path


def test_what_was_kept_comes_back_exactly(written):
    with Checkpoint.resume(written, IDENTITY) as kept:
        assert kept.seed == 2**128 - 1
        assert kept.earlier == 5.0
        assert [*kept.answers] == [Task(0, number) for number in range(3)]
        assert repr(kept.answers[Task(0, 1)]) == repr(ANSWER._replace(mu_hat=1 / 7))
        kept.start()  # changes nothing
        kept.append(Task(1, 0), ANSWER, 9.0)
    with Checkpoint.resume(written, IDENTITY) as kept:
        assert len(kept.answers) == 4


def test_only_its_owner_can_read_it(written):
    assert written.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in written.parent.iterdir()] == [written.name]
    written.chmod(0o644)
    Checkpoint.resume(written, IDENTITY).remove()
    assert not written.exists()


@pytest.mark.parametrize("cut", [1, 2, 30, 120])
def test_a_last_line_cut_short_is_dropped(written, caplog, cut):
    content = written.read_bytes()
    written.write_bytes(content[:-cut])
    with Checkpoint.resume(written, IDENTITY) as kept:
        assert [*kept.answers] == [Task(0, 0), Task(0, 1)]
        kept.append(Task(0, 2), ANSWER._replace(mu_hat=2 / 7), 5.0)
    assert "cut short" in caplog.text
    assert written.read_bytes() == content


def test_a_last_line_of_zeros_is_dropped(written, caplog):
    """So a file may look after a power failure."""
    with written.open("ab") as file:
        file.write(bytes(200))
    with Checkpoint.resume(written, IDENTITY) as kept:
        assert len(kept.answers) == 3
    assert "cut short" in caplog.text


@pytest.mark.parametrize("line", [1, 2, 3])
def test_a_damaged_line_is_an_error(written, line):
    lines = written.read_bytes().splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace(b'"', b"'", 1)
    written.write_bytes(b"".join(lines))
    with pytest.raises(CheckpointError, match=f"line {line} of 4, is damaged.*without --resume"):
        Checkpoint.resume(written, IDENTITY)
    assert written.read_bytes() == b"".join(lines)


@pytest.mark.parametrize("content", [b"", b"hello\n", b"{}\n", b"7bd5c66f 1\n", bytes(100)])
def test_something_else_is_no_checkpoint(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="without --resume"):
        Checkpoint.resume(path, IDENTITY)


def test_another_format_is_refused(written, monkeypatch):
    monkeypatch.setattr(checkpoint_module, "_FORMAT", 99)
    with pytest.raises(CheckpointError, match="has the format 2, not 99"):
        Checkpoint.resume(written, IDENTITY)


def test_links_are_not_followed(written, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(written)
    with pytest.raises(CheckpointError, match="can not be opened"):
        Checkpoint.resume(link, IDENTITY)
    with pytest.raises(CheckpointError, match="can not be opened"):
        Checkpoint(IDENTITY, 1, link).prepare()
    fifo = tmp_path / "directory"
    fifo.mkdir()
    with pytest.raises(CheckpointError, match="can not be opened"):
        Checkpoint.resume(fifo, IDENTITY)


def test_two_runs_do_not_share_one(written):
    with Checkpoint.resume(written, IDENTITY):
        with pytest.raises(CheckpointError, match="in use"):
            Checkpoint.resume(written, IDENTITY)
        with pytest.raises(CheckpointError, match="in use"):
            Checkpoint(IDENTITY, 1, written).prepare()
    Checkpoint.resume(written, IDENTITY).remove()


# --------------------------------------------------------------------------------------------
# No room.


def test_a_file_that_can_not_grow_keeps_what_it_has(written):
    """A limit on the size of files stands for a full disk; other answers are not lost."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Checkpoint.resume(written, IDENTITY) as kept:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (written.stat().st_size + 20, hard))
            with pytest.raises(CheckpointError, match=r"can not be written .*3 finished .* kept"):
                kept.append(Task(1, 0), ANSWER, 6.0)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with Checkpoint.resume(written, IDENTITY) as kept:
        assert len(kept.answers) == 3


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(place):
    """Leave no room at all."""
    with (place / "filler").open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass


def test_a_full_disk_loses_nothing(dataset, submission, expected, small_disk, tmp_path):
    output = small_disk / "out"

    def progress(stage, done, total):
        if (stage, done) == ("predict", 4):
            fill(small_disk)

    # The last block of the checkpoint has room for some answers more.
    with pytest.raises(
        (CheckpointError, ResultsError), match=r"can not be written .*No space left"
    ):
        run_ingestion(options(dataset, submission, output), progress)
    assert results(output) == {}
    (small_disk / "filler").unlink()
    steps = []
    run_ingestion(options(dataset, submission, output, resume=True), lambda *s: steps.append(s))
    assert ("predict", 4, TOTAL) not in steps
    assert results(output) == expected


def test_a_disk_too_full_for_the_results_loses_nothing(
    dataset, submission, expected, small_disk, tmp_path
):
    output = small_disk / "out"

    def progress(stage, done, total):
        if (stage, done) == ("predict", TOTAL):
            fill(small_disk)

    with pytest.raises(ResultsError, match=r"the results can not be written .*No space left"):
        run_ingestion(options(dataset, submission, output), progress)
    (small_disk / "filler").unlink()
    steps = []
    run_ingestion(options(dataset, submission, output, resume=True), lambda *s: steps.append(s))
    left = [step for step in steps if step[0] not in ("read", "repeat")]
    assert left == [], "nothing was left to do, but to ask again"
    assert results(output) == expected


def test_no_room_for_the_first_line(tmp_path, monkeypatch):
    path = tmp_path / "there" / "file"
    path.parent.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        with pytest.raises(CheckpointError, match="0 finished"):
            Checkpoint(IDENTITY, 1, path).prepare()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [*path.parent.iterdir()] == []


# --------------------------------------------------------------------------------------------
# The truth in it.


def test_the_submission_can_not_read_it(dataset, expected, tmp_path, restricted_files):
    path = checkpoint_path(tmp_path / "out")
    spy = MODEL.replace(
        "def predict(self, test_set):",
        f"""def predict(self, test_set):
        import errno, os
        for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
            try:
                os.open({str(path)!r}, flags)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EROFS):
                    raise
            else:
                raise RuntimeError("the checkpoint is open")
        try:
            os.listdir({str(path.parent)!r})
        except PermissionError:
            pass
        else:
            raise RuntimeError("the directory is open")""",
    )
    seen = []
    run_ingestion(
        options(dataset, write_submission(tmp_path / "spy", spy), tmp_path / "out", seed=None),
        lambda stage, *_: stage == "predict" and seen.append(path.stat().st_mode & 0o777),
    )
    assert seen == [0o600] * TOTAL


def files_while_running(chosen, *places):
    """Names of hidden files that exist during a run."""
    seen = set()

    def progress(stage, *_):
        if stage == "predict":
            seen.update(path for place in places for path in place.rglob(".*checkpoint*"))

    run_ingestion(chosen, progress)
    return seen


def test_without_isolation_the_truth_is_not_written(dataset, submission, tmp_path, caplog):
    output = tmp_path / "out"
    chosen = {"seed": None, "isolation": "off"}
    with caplog.at_level(logging.INFO):
        assert not files_while_running(options(dataset, submission, output, **chosen), tmp_path)
    assert "no checkpoint without a seed" in caplog.text
    with pytest.raises(SettingsError, match=r"would hold the truth, and .*isolation is off"):
        run_ingestion(options(dataset, submission, output, resume=True, **chosen))
    # With a seed there is nothing to hide.
    assert files_while_running(options(dataset, submission, output, isolation="off"), tmp_path)


def test_places_that_every_submission_can_read(submission, tmp_path):
    restricted = {"landlock-files": "on"}
    assert exposed_to_submission(tmp_path / "file", submission, restricted) is None
    for place in (sysconfig.get_path("stdlib"), "/usr/share/runs", "/dev/shm"):
        path = checkpoint_path(tmp_path / place / "out")
        assert "can read" in exposed_to_submission(path, submission, restricted)
    inside = checkpoint_path(submission / "out")
    assert f"can read {submission}" in exposed_to_submission(inside, submission, restricted)
    partly = {"landlock-files": "Landlock version 2 does not control truncation"}
    assert "does not control" in exposed_to_submission(tmp_path / "f", submission, partly)


def test_the_platform_gets_none(dataset, submission, tmp_path):
    chosen = options(dataset, submission, tmp_path / "out", checkpoint=False)
    assert not files_while_running(chosen, tmp_path)
    with pytest.raises(SettingsError, match="resume needs a checkpoint"):
        options(dataset, submission, tmp_path, checkpoint=False, resume=True)
