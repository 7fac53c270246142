"""The border between a submission and scoring: what is planted there is never scored.

Every layout goes through both generations of the platform's worker, as they move files, with the
real ingestion and scoring between; a few of them in real containers, too.
"""

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from HiggsML.codabench import errors_of
from HiggsML.codabench.container.engine import Outcome
from HiggsML.codabench.container.worker import (
    WORKERS,
    Folders,
    own_command,
    run_worker,
    unpack_as_worker,
)
from HiggsML.codabench.rules.submission import check_layout
from HiggsML.codabench.trial_run import pack
from HiggsML.errors import HiggsMLError, SubmissionError
from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.schema import NUISANCES
from HiggsML.score import run_scoring
from HiggsML.seal import KEY_FILE, Recorder, new_key
from tests.pipeline_fixtures import ALL_ON, model_text, tiny_dataset

__all__ = ["tiny_dataset"]

MODEL = model_text()
SETS, EXPERIMENTS = 2, 1
TRUTH = [1.0, 2.0]
ANSWERS = json.dumps({"mu_hats": [1.0], "delta_mu_hats": [0.1], "p16": [0.99], "p84": [1.01]})
GOOD_METADATA = (
    "exitCode: null\nelapsedTime: 1.0\ningestionExitCode: 0\ningestionElapsedTime: 1.0\n"
)


def forged_settings():
    return json.dumps(
        {
            "systematics": ALL_ON,
            "num_of_sets": SETS,
            "num_pseudo_experiments": EXPERIMENTS,
            "ground_truth_mus": TRUTH,
            "details": {"isolation level": "1"},
        }
    )


FORGED = {
    **{f"result_{index}.json": ANSWERS for index in range(SETS)},
    "test_settings.json": forged_settings(),
    "ingestion_duration.json": '{"ingestion_duration": 0.1}',
}


def forged_record(name="ingestion_record.json"):
    """A record without a key's signature, of the forged files."""
    import hashlib

    digests = {one: hashlib.sha256(text.encode()).hexdigest() for one, text in FORGED.items()}
    content = {"state": "finished", "reason": "", "files": digests, "signature": "0" * 64}
    return {name: json.dumps(content)}


HONEST = {
    "model alone": {"model.py": MODEL},
    "helpers, weights and folders": {
        "model.py": MODEL,
        "helper.py": "x = 1\n",
        "weights/layer_0.json": "[1, 2]",
        "weights/metadata": "of the weights",
        "results.json": "{}",
        "scores.json": '{"quantiles_score": 99}',
        "detailed_results.html": "<p>mine</p>",
        "settings.json": "{}",
    },
    "in one folder": {
        "mine/model.py": MODEL,
        "mine/notes.txt": "x",
        "mine/data/result_0.json": "x",
    },
}

PLANTED = {
    "a result": {"model.py": MODEL, "result_0.json": ANSWERS},
    "all results": {"model.py": MODEL, **FORGED},
    "all results and a record": {"model.py": MODEL, **FORGED, **forged_record()},
    "all, with a record of a random name": {
        "model.py": MODEL,
        **FORGED,
        **forged_record(f"ingestion_record_{'0' * 32}.json"),
    },
    "all, with metadata": {
        "model.py": MODEL,
        **FORGED,
        **forged_record(),
        "metadata": GOOD_METADATA,
    },
    "all without a model": {**FORGED, **forged_record()},
    "the duration as a folder with the model": {
        "ingestion_duration.json/model.py": MODEL,
        **{name: text for name, text in FORGED.items() if name != "ingestion_duration.json"},
    },
    "the settings as a folder": {"model.py": MODEL, "test_settings.json/x": "x"},
    "a result as a folder with the model": {"result_0.json/model.py": MODEL},
    "settings alone": {"model.py": MODEL, "test_settings.json": forged_settings()},
    "duration alone": {
        "model.py": MODEL,
        "ingestion_duration.json": FORGED["ingestion_duration.json"],
    },
    "a set that was not run": {"model.py": MODEL, "result_7.json": ANSWERS},
    "metadata of a good run": {"model.py": MODEL, "metadata": GOOD_METADATA},
    "metadata with a key twice": {
        "model.py": MODEL,
        "metadata": "ingestionExitCode: 1\n" + GOOD_METADATA + "ingestionExitCode: 0\n",
    },
    "metadata with a command": {"model.py": MODEL, "metadata": "command: python3 model.py\n"},
    "metadata.yaml with a command": {
        "model.py": MODEL,
        **FORGED,
        "metadata.yaml": "command: python3 model.py\n",
    },
    "metadata as a folder": {"model.py": MODEL, "metadata/x": "x"},
    "upper case": {"model.py": MODEL, "RESULT_0.JSON": ANSWERS, "METADATA": GOOD_METADATA},
    "mixed case": {"model.py": MODEL, "Test_Settings.json": forged_settings()},
    "full width": {"model.py": MODEL, "\uff4detadata": GOOD_METADATA},
    "a letter that shows nothing": {"model.py": MODEL, "result_0\u200b.json": ANSWERS},
    "a long s": {"model.py": MODEL, "te\u017ft_settings.json": forged_settings()},
    "a blank at the end": {"model.py": MODEL, "metadata ": GOOD_METADATA},
    "in the one folder": {"mine/model.py": MODEL, "mine/result_0.json": ANSWERS},
    "all in the one folder": {
        "mine/model.py": MODEL,
        **{f"mine/{n}": t for n, t in FORGED.items()},
    },
    "beside the one folder": {"mine/model.py": MODEL, **FORGED},
    "a model that fails, and all results": {
        "model.py": model_text(fit="raise ValueError('on purpose')"),
        **FORGED,
        "metadata": GOOD_METADATA,
    },
}


@pytest.fixture(scope="module")
def competition(tiny_dataset, tmp_path_factory):
    """Input and reference data with a key, and without."""
    base = tmp_path_factory.mktemp("competition")
    key = new_key()
    for kind in ("keyed", "plain"):
        (base / kind / "input").mkdir(parents=True)
        (base / kind / "ref").mkdir()
        for path in Path(tiny_dataset).iterdir():
            (base / kind / "input" / path.name).symlink_to(path)
        wanted = {"num_of_sets": SETS, "num_pseudo_experiments": EXPERIMENTS}
        text = json.dumps({**wanted, "systematics": dict.fromkeys(NUISANCES, True)})
        (base / kind / "ref" / "settings.json").write_text(text)
    for name in ("input", "ref"):
        (base / "keyed" / name / KEY_FILE).write_text(key)
    return base


def write_files(directory, files):
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def write_zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def play(worker, source, competition, place, *, upload=True, before_scoring=lambda _: None):
    """One submission on one worker; returns scores, or the sentence that there is instead."""
    place.mkdir()
    folders = Folders.below(place)
    folders.input.mkdir()
    unpack_as_worker(source, folders.submission)
    (folders.input / "ref").symlink_to(competition / "ref")
    said = SimpleNamespace(ingestion="", scoring="", scores=None)

    def ended(error):
        return Outcome(1 if error else 0, 1.0, False, ())

    def ingest():
        try:
            run_ingestion(
                IngestionOptions(
                    input_dir=competition / "input",
                    submission=folders.submission,
                    output=folders.output,
                    num_of_sets=SETS,
                    num_pseudo_experiments=EXPERIMENTS,
                    systematics=ALL_ON,
                    empty_output=True,
                    checkpoint=False,
                    workers=1,
                )
            )
        except HiggsMLError as error:
            said.ingestion = str(error)
        runs = worker == "2026-03" and own_command(folders.submission) is not None
        return ended(said.ingestion), ended("") if runs else None

    def score():
        before_scoring(folders)
        try:
            said.scores = run_scoring(
                folders.results,
                folders.scores,
                reference=folders.input / "ref",
                submission=folders.submission if worker == "2026-06" else None,
            )
        except HiggsMLError as error:
            said.scoring = str(error)
        return ended(said.scoring)

    run_worker(worker, folders, ingest=ingest, score=score, upload=upload)
    return said


@pytest.fixture(autouse=True)
def quick_page(monkeypatch):
    """No figures: what is on the page is tested elsewhere."""
    monkeypatch.setattr("HiggsML.score.run.render_report", lambda *_, **__: None)


@pytest.mark.parametrize("kind", ["keyed", "plain"])
@pytest.mark.parametrize("name", HONEST)
@pytest.mark.parametrize("worker", WORKERS)
def test_an_honest_submission_is_scored(competition, tmp_path, worker, name, kind):
    source = write_zip(tmp_path / "s.zip", HONEST[name])
    said = play(worker, source, competition / kind, tmp_path / "run")
    assert (said.ingestion, said.scoring) == ("", "")
    assert said.scores["quantiles_score"] < 5


@pytest.mark.parametrize("kind", ["keyed", "plain"])
@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("worker", WORKERS)
def test_what_is_planted_is_refused_with_the_reason(competition, tmp_path, worker, name, kind):
    source = write_zip(tmp_path / "s.zip", PLANTED[name])
    said = play(worker, source, competition / kind, tmp_path / "run")
    assert said.scores is None
    assert said.ingestion != ""
    # With a key nothing can hide what the ingestion itself says. Without one it may be hidden
    # behind what was planted, which is then what the sentence is about.
    if kind == "keyed":
        assert said.scoring.startswith("the ingestion failed: ")
        first = said.ingestion.splitlines()[0].strip()
        assert first[:60] in said.scoring
    assert "\n" not in said.scoring


@pytest.mark.parametrize("name", [name for name in PLANTED if "model" not in name.split()])
def test_check_and_pack_refuse_it_too(tmp_path, name):
    source = write_zip(tmp_path / "s.zip", PLANTED[name])
    assert errors_of(check_layout(source))
    folder = write_files(tmp_path / "folder", PLANTED[name])
    assert errors_of(check_layout(folder))
    with pytest.raises(SubmissionError):
        pack(folder, tmp_path / "packed.zip")
    assert not (tmp_path / "packed.zip").exists()


@pytest.mark.parametrize("worker", WORKERS)
@pytest.mark.parametrize("name", ["result_0.json", "metadata", "test_settings.json"])
def test_links_and_empty_folders_are_refused(competition, tmp_path, worker, name):
    for kind in ("link", "folder"):
        source = write_files(tmp_path / kind, {"model.py": MODEL, "x": ANSWERS})
        path = source / name
        path.symlink_to("x") if kind == "link" else path.mkdir()
        said = play(worker, source, competition / "keyed", tmp_path / f"run-{kind}")
        assert said.scores is None
        assert "the ingestion failed: " in said.scoring


@pytest.mark.parametrize("worker", WORKERS)
def test_of_two_entries_with_one_name_the_last_is_unpacked_and_refused(
    competition, tmp_path, worker
):
    source = tmp_path / "twice.zip"
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("model.py", MODEL)
        archive.writestr("result_0.json", "{}")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("result_0.json", ANSWERS)
    said = play(worker, source, competition / "keyed", tmp_path / "run")
    assert (tmp_path / "run" / "submission" / "result_0.json").read_text() == ANSWERS
    assert said.scores is None


@pytest.mark.parametrize("worker", WORKERS)
def test_genuine_results_of_an_earlier_run_do_not_count_again(competition, tmp_path, worker):
    """A participant downloads the results of a good run and submits them with the same model."""
    source = write_files(tmp_path / "s", {"model.py": MODEL})
    first = play(worker, source, competition / "keyed", tmp_path / "first")
    assert first.scores is not None
    for path in (tmp_path / "first" / "output").iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    again = play(worker, source, competition / "keyed", tmp_path / "again")
    assert again.scores is None
    assert again.scoring.startswith("the ingestion failed: ")


@pytest.mark.parametrize("worker", ["2026-06"])
def test_a_worker_that_keeps_results_in_the_submission_is_served(competition, tmp_path, worker):
    source = write_files(tmp_path / "s", {"model.py": MODEL, "weights/a": "x"})
    said = play(worker, source, competition / "keyed", tmp_path / "kept", upload=False)
    assert (said.ingestion, said.scoring) == ("", "")
    assert said.scores is not None

    def replace(folders):
        for folder in (folders.submission, folders.results):
            (folder / "result_0.json").write_text(ANSWERS)

    said = play(
        worker,
        source,
        competition / "keyed",
        tmp_path / "replaced",
        upload=False,
        before_scoring=replace,
    )
    assert said.scores is None
    assert "result_0.json is not as the ingestion wrote it" in said.scoring


CHANGES = {
    "result": lambda results: (results / "result_1.json").write_text(ANSWERS),
    "settings": lambda results: (results / "test_settings.json").write_text(forged_settings()),
    "record": lambda results: write_files(results, forged_record()),
    "stranger": lambda results: (results / "notes.txt").write_text("x"),
    "other bytes of the submission's file": lambda results: (results / "helper.py").write_text("y"),
    "file in a folder of the submission's": lambda results: write_files(
        results, {"weights/other": "x"}
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("worker", WORKERS)
def test_only_the_submissions_own_files_are_ignored(competition, tmp_path, worker, change):
    files = {"model.py": MODEL, "helper.py": "x", "weights/a": "x"}
    source = write_files(tmp_path / "s", files)
    said = play(
        worker,
        source,
        competition / "keyed",
        tmp_path / "run",
        before_scoring=lambda folders: CHANGES[change](folders.results),
    )
    assert said.ingestion == ""
    assert said.scores is None
    assert str(tmp_path / "run") in said.scoring


def test_a_folder_onto_a_file_stops_only_its_own_copy(tmp_path):
    """The newer worker logs the error; everything else of the submission is copied."""
    folders = Folders.below(tmp_path)
    files = {"a.json/x": "x", "b": "b", "z/y": "y"}
    write_files(folders.submission, files)
    seen = {}

    def ingest():
        (folders.output / "a.json").write_text("genuine")
        return Outcome(0, 1.0, False, ()), None

    def score():
        seen.update({p.name: p for p in folders.results.rglob("*")})
        return Outcome(0, 1.0, False, ())

    run_worker("2026-06", folders, ingest=ingest, score=score)
    assert seen["a.json"].read_text() == "genuine"
    assert {"b", "y", "metadata"} <= set(seen)


def test_a_key_from_elsewhere_signs_nothing(competition, tmp_path):
    """The forged results are signed, with a key of the participant's own."""
    source = write_files(tmp_path / "s", {"model.py": MODEL, **FORGED})
    Recorder(source, bytes(32), tell=True).seal(source)
    said = play("2026-06", source, competition / "keyed", tmp_path / "run")
    assert said.scores is None
