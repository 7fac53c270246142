"""The zip that is uploaded: what is in it, that it runs, and that its bytes repeat."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from HiggsML.cli import bundle as cli_bundle
from HiggsML.codabench import build_bundle, build_starting_kit, errors_of, validate_path
from HiggsML.codabench.bundle.program import program_files
from HiggsML.codabench.bundle.source import assemble, find_checkout
from HiggsML.codabench.bundle.tree import Tree, write_zip
from HiggsML.codabench.bundle.unpack import unpack
from HiggsML.codabench.rules.submission import check_layout
from HiggsML.codabench.trial_run import Timing, pack, trial_run
from HiggsML.errors import BundleError, SubmissionError
from HiggsML.files import is_junk
from HiggsML.score import SCORE_KEYS
from HiggsML.seal import new_key

ROOT = Path(__file__).resolve().parent.parent
COUNTING = ROOT / "examples" / "counting"


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "bundle.zip"
    result = build_bundle(ROOT, path)
    assert not errors_of(result.findings), [str(finding) for finding in result.findings]
    return result


@pytest.fixture(scope="session")
def private_data(tmp_path_factory):
    """The shipped events under a metadata file without a seed, in other bytes."""
    import pyarrow.parquet as pq

    directory = tmp_path_factory.mktemp("private")
    name = "FAIR_Universe_HiggsML_data"
    pq.write_table(
        pq.read_table(ROOT / "input_data" / f"{name}.parquet").slice(0, 20_000),
        directory / f"{name}.parquet",
    )
    metadata = json.loads((ROOT / "input_data" / f"{name}_metadata.json").read_text())
    del metadata["seed"]
    (directory / f"{name}_metadata.json").write_text(json.dumps(metadata))
    return directory


def test_the_bundle_is_valid_and_its_warnings_are_about_the_public_data(built):
    assert {finding.rule for finding in built.findings} <= {"dataset-seed", "public-dataset"}
    assert {finding.rule for finding in validate_path(built.path)} <= {
        *("dataset-seed", "public-dataset")
    }


def test_same_input_same_bytes(built, tmp_path):
    again = build_bundle(ROOT, tmp_path / "again.zip")
    assert again.digest == built.digest
    assert again.path.read_bytes() == built.path.read_bytes()


def test_bytes_do_not_depend_on_times_modes_or_umask(tmp_path):
    digests = []
    for mode, when in ((0o600, 1), (0o755, 1_700_000_000)):
        source = tmp_path / f"{mode:o}"
        source.mkdir()
        for name in ("b", "a"):
            (source / name).write_text(name)
            (source / name).chmod(mode)
            os.utime(source / name, (when, when))
        write_zip(Tree.from_directory(source), tmp_path / "x.zip")
        digests.append((tmp_path / "x.zip").read_bytes())
    assert digests[0] == digests[1]


def test_what_is_in_the_bundle(built):
    with zipfile.ZipFile(built.path) as archive:
        names = archive.namelist()
        modes = {info.external_attr >> 16 for info in archive.infolist()}
    assert names == sorted(names)
    assert modes == {0o100644}
    assert not [name for name in names if is_junk(name) or "tests/" in name]
    for program in ("ingestion_program", "scoring_program"):
        assert f"{program}/HiggsML/__init__.py" in names
        assert f"{program}/metadata.yaml" in names
    carried = {
        program: {name.split("/")[2] for name in names if name.startswith(f"{program}/HiggsML/")}
        for program in ("ingestion_program", "scoring_program")
    }
    assert not carried["scoring_program"] & {"datasets", "isolation", "ingestion", "submission"}
    for program in carried:
        assert not carried[program] & {"codabench", "generator", "four_lepton", "studies"}
    assert carried["ingestion_program"] >= {"datasets", "visualization", "score", "isolation"}
    assert not [name for name in names if name.startswith("public_data/")]
    assert sum(name.endswith(".parquet") for name in names) == 2, "the task's, and to practice with"
    for name in (
        *("competition.yaml", "logo.png", "pages/terms.md", "reference_data/settings.json"),
        *("sample_submission/model.py", "starting_kit/README.md", "starting_kit/Dockerfile"),
        *("starting_kit/my_submission/model.py", "starting_kit/higgsml/pyproject.toml"),
        "starting_kit/input_data/FAIR_Universe_HiggsML_data.parquet",
    ):
        assert name in names


def test_both_phases_the_columns_and_the_rule():
    content = yaml.safe_load((ROOT / "competition.yaml").read_text())
    assert len(content["phases"]) == 2
    assert {task["scoring_program"] for task in content["tasks"]} == {"scoring_program/"}
    assert content["settings"]["final_phase"] is True
    assert all(solution["name"] for solution in content["solutions"])
    board = content["leaderboards"][0]
    keys = [column["key"] for column in board["columns"]]
    assert keys[0] == "quantiles_score"
    assert set(keys) == set(SCORE_KEYS)
    assert [c["key"] for c in board["columns"] if c.get("hidden")] == ["isolation", "repeatable"]
    assert board["submission_rule"] == "Add_And_Delete"


def test_programs_carry_nothing_of_a_room_that_was_removed(tmp_path):
    library = tmp_path / "HiggsML"
    shutil.copytree(ROOT / "src" / "HiggsML", library)
    compiled = library / "former" / "__pycache__" / "__init__.cpython-311.pyc"
    compiled.parent.mkdir(parents=True)
    compiled.write_bytes(b"x")
    script = ROOT / "ingestion_program" / "run_ingestion.py"
    assert not [name for name in program_files(script, library) if "former" in name]


@pytest.mark.parametrize("program", ["ingestion_program", "scoring_program"])
def test_programs_run_from_an_empty_directory(built, tmp_path, program):
    unpacked = unpack(built.path, tmp_path / "unpacked")
    directory = tmp_path / "unpacked" / program
    assert not [p for p in directory.rglob("*") if p.is_file() and os.access(p, os.X_OK)] or (
        os.getuid() == 0  # for root everything that has any execute bit; there is none
        and not [p for p in directory.rglob("*") if p.is_file() and p.stat().st_mode & 0o111]
    )
    task = unpacked.tasks[1]
    command = (task.ingestion if program == "ingestion_program" else task.scoring).command
    # -P and no PYTHONPATH: the installed package would be found all the same, so say where
    # HiggsML came from.
    code = "import HiggsML, sys; sys.stdout.write(HiggsML.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=directory, capture_output=True, text=True, check=True
    )
    assert Path(found.stdout) == directory / "HiggsML" / "__init__.py"
    subprocess.run(
        [sys.executable, command[1], "--help"],
        cwd=directory,
        check=True,
        capture_output=True,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )


def test_the_key_is_kept_and_lies_with_the_data_of_both_programs(built, tmp_path):
    kept = tmp_path / "key"
    other = build_bundle(ROOT, tmp_path / "other.zip", key=kept)
    again = build_bundle(ROOT, tmp_path / "again.zip", key=kept)
    assert other.digest == again.digest != built.digest
    assert kept.stat().st_mode & 0o077 == 0
    with zipfile.ZipFile(other.path) as archive:
        places = [name for name in archive.namelist() if name.endswith("seal.key")]
        assert places == ["input_data/seal.key", "reference_data/seal.key"]
        assert {archive.read(name) for name in places} == {kept.read_bytes()}
    tracked = subprocess.run(
        ["git", "check-ignore", "dist/seal.key"], cwd=ROOT, capture_output=True, check=False
    )
    assert tracked.returncode in (0, 128), "git ignores it (128: this is no repository)"
    kept.write_text("no key")
    with pytest.raises(BundleError, match="can not be kept"):
        build_bundle(ROOT, tmp_path / "other.zip", key=kept)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: (d / "reference_data" / "seal.key").unlink(), "not the same key"),
        (lambda d: (d / "reference_data" / "seal.key").write_text(new_key()), "not the same key"),
        (lambda d: shutil.copy(d / "input_data" / "seal.key", d / "starting_kit"), "alone"),
        (lambda d: shutil.copy(d / "input_data" / "seal.key", d / "sample_submission"), "alone"),
    ],
)
def test_a_key_that_is_missing_different_or_public_is_an_error(built, tmp_path, change, message):
    directory = tmp_path / "bundle"
    Tree.from_zip(built.path).extract(directory)
    assert not errors_of(validate_path(directory))
    change(directory)
    errors = errors_of(validate_path(directory))
    assert {error.rule for error in errors} == {"seal-key"}
    assert all(message in error.message for error in errors)


def test_a_key_that_participants_can_download_is_an_error(built, tmp_path):
    directory = tmp_path / "bundle"
    Tree.from_zip(built.path).extract(directory)
    path = directory / "competition.yaml"
    path.write_text(
        path.read_text().replace("input_data_available: false", "input_data_available: true")
    )
    assert "seal-key" in {error.rule for error in errors_of(validate_path(directory))}


def test_a_public_dataset_is_refused_for_a_competition(tmp_path, private_data):
    refused = build_bundle(ROOT, tmp_path / "b.zip", competition=True)
    assert refused.path is None
    assert not (tmp_path / "b.zip").exists()
    assert {f.rule for f in errors_of(refused.findings)} == {"dataset-seed", "public-dataset"}
    assert all("higgsml generate" in f.remedy for f in errors_of(refused.findings))
    taken = build_bundle(ROOT, tmp_path / "b.zip", competition=True, input_data=private_data)
    assert taken.path is not None, [str(finding) for finding in taken.findings]
    with zipfile.ZipFile(taken.path) as archive:
        names = [n for n in archive.namelist() if n.endswith(".parquet")]
        contents = {n: archive.read(n) for n in names}
    private = contents.pop("input_data/FAIR_Universe_HiggsML_data.parquet")
    assert private not in contents.values()
    assert len(set(contents.values())) == 1


def test_only_a_checkout_can_be_built(tmp_path, monkeypatch):
    with pytest.raises(BundleError, match="not a checkout"):
        build_bundle(tmp_path, tmp_path / "b.zip")
    with pytest.raises(BundleError, match="not a directory"):
        assemble(ROOT, input_data=tmp_path / "absent")
    monkeypatch.chdir(tmp_path)
    assert find_checkout() == ROOT


def test_extraction_refuses_what_leads_elsewhere(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("../evil", "x")
    with pytest.raises(BundleError, match="leads out"):
        Tree.from_zip(tmp_path / "x.zip").extract(tmp_path / "out")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "link").symlink_to("/etc/passwd")
    with pytest.raises(BundleError, match="symbolic link"):
        Tree.from_directory(tmp_path / "d").extract(tmp_path / "out")


def test_the_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    runner = CliRunner()
    target = tmp_path / "b.zip"
    done = runner.invoke(cli_bundle.bundle, ["build", "--output", str(target)])
    assert done.exit_code == 0, done.output
    done = runner.invoke(cli_bundle.bundle, ["validate", str(target), "--json"])
    assert done.exit_code == 0
    content = json.loads(done.stdout)
    assert content["valid"] is True
    assert {"rule", "file", "line", "key", "value", "remedy"} <= set(content["findings"][0])
    done = runner.invoke(cli_bundle.bundle, ["validate", str(target), "--competition"])
    assert done.exit_code == 3
    done = runner.invoke(cli_bundle.bundle, ["validate", str(tmp_path / "absent.zip")])
    assert done.exit_code == 1


def test_the_starting_kit_works_by_itself(tmp_path):
    build_starting_kit(ROOT, tmp_path / "kit.zip")
    kit, site = tmp_path / "kit", tmp_path / "site"
    Tree.from_zip(tmp_path / "kit.zip").extract(kit)
    for name in ("README.md", "my_submission", "sample_submission", "examples", "input_data"):
        assert (kit / name).exists()
    # What pip would install, without the network that building a wheel may need.
    shutil.copytree(kit / "higgsml" / "src", site)
    code = "from HiggsML.cli import main; main()"
    command = ["run", "my_submission", "--sets", "1", "--pseudo-experiments", "2", "--seed", "1"]
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        cwd=kit,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (kit / "outputs" / "my_submission" / "scores" / "scores.json").is_file()


# Participants' side ----------------------------------------------------------------------------


def rules(path):
    return [finding.rule for finding in check_layout(path)]


def submission(tmp_path, **files):
    directory = tmp_path / "submission"
    for name, content in files.items():
        path = directory / name.replace("__", "/").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return directory


MODEL = "class Model:\n    def fit(self): pass\n    def predict(self, test_set): pass\n"


def test_good_submissions_have_no_findings(tmp_path):
    assert rules(COUNTING) == []
    assert rules(ROOT / "sample_submission") == []
    assert rules(submission(tmp_path, model_py="import helper\n" + MODEL, helper_py="")) == []


@pytest.mark.parametrize(
    ("files", "rule"),
    [
        ({"other_py": ""}, "model"),
        ({"a__b__model_py": MODEL}, "model"),
        ({"a__model_py": MODEL, "b__model_py": MODEL}, "model"),
        ({"model_py": "import fastjet\n" + MODEL}, "import"),
        ({"model_py": "from missing.part import x\n" + MODEL}, "import"),
        ({"model_py": "def broken(:\n"}, "syntax"),
        ({"model_py": "x = 1\n"}, "model"),
        ({"model_py": MODEL, "metadata": "command: x"}, "result-name"),
        ({"model_py": MODEL, "numpy_py": ""}, "shadowed"),
    ],
)
def test_what_is_wrong_with_a_submission(tmp_path, files, rule):
    assert rules(submission(tmp_path, **files)) == [rule]


def test_an_import_that_may_fail_is_no_error(tmp_path):
    code = "try:\n    import torch\nexcept ImportError:\n    torch = None\n" + MODEL
    assert rules(submission(tmp_path, model_py=code)) == []


def test_pack_puts_the_model_at_the_top(tmp_path):
    directory = submission(tmp_path, inner__model_py=MODEL, inner__part__helper_py="")
    (directory / "inner" / "__pycache__").mkdir()
    (directory / "inner" / "__pycache__" / "model.pyc").write_bytes(b"x")
    (directory / "inner" / ".hidden").write_text("x")
    assert pack(directory, tmp_path / "a.zip") == ["model.py", "part/helper.py"]
    pack(directory, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert rules(tmp_path / "a.zip") == []
    (directory / "inner" / "metadata").write_text("x")
    with pytest.raises(SubmissionError, match="metadata"):
        pack(directory, tmp_path / "c.zip")


def test_pack_inside_the_submission_does_not_pack_itself(tmp_path):
    directory = submission(tmp_path, model_py=MODEL)
    for _ in range(2):
        assert pack(directory, directory / "s.zip") == ["model.py"]


def test_trial_run_of_a_zip(tmp_path):
    pack(COUNTING, tmp_path / "s.zip")
    timing = trial_run(tmp_path / "s.zip", ROOT / "input_data", experiments=4, seed=1)
    assert set(SCORE_KEYS) == set(timing.scores)
    assert timing.fit > 0
    assert timing.full >= timing.fit
    assert timing.verdict.startswith("In time: training ")


def test_verdicts():
    assert Timing(10, 2, 1010, {}).verdict.startswith("Too slow")
    assert Timing(10, 0.9, 460, {}).verdict.startswith("Tight")


def test_the_submission_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    done = runner.invoke(cli_bundle.submission, ["pack", str(COUNTING)])
    assert done.exit_code == 0, done.output
    done = runner.invoke(cli_bundle.submission, ["check", "counting.zip", "--static"])
    assert done.exit_code == 0, done.output
    bad = submission(tmp_path, model_py="import fastjet\n" + MODEL)
    done = runner.invoke(cli_bundle.submission, ["check", str(bad)])
    assert done.exit_code == 1
    assert "model.py:1" in done.output
