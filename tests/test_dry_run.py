"""The dry run: every step, and what it says when one fails."""

import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from HiggsML.cli import bundle as cli_bundle
from HiggsML.codabench.bundle.unpack import Column
from HiggsML.codabench.container import WORKERS, connect, ensure_image
from HiggsML.codabench.container.docker_run import DEFAULT_IMAGE
from HiggsML.codabench.dry_run import DryRunOptions, check_scores, dry_run
from HiggsML.errors import BundleError, ContainerError
from HiggsML.score import SCORE_KEYS

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = tuple(Column(key, key, computed=False, hidden=False) for key in ("a", "b"))


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose solution is the smallest example, which is fitted in no time."""
    target = tmp_path / "checkout"
    for name in (
        *("ingestion_program", "scoring_program"),
        *("input_data", "examples", "sample_submission", "pages", "src"),
    ):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, target / name, ignore=ignore)
    for name in ("competition.yaml", "logo.png", "Dockerfile", "pyproject.toml", "README.md"):
        shutil.copyfile(ROOT / name, target / name)
    edit(target / "competition.yaml", "path: sample_submission/", "path: examples/counting/")
    return target


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.fixture(scope="module")
def needs_engine(container_turn):
    try:
        with closing(connect()) as client:
            ensure_image(client, DEFAULT_IMAGE)
    except ContainerError as error:
        pytest.skip(f"no dry run in containers: {error}")
    with container_turn():
        yield


def test_a_dry_run_in_containers(checkout, tmp_path, needs_engine):
    output = tmp_path / "output"
    result = dry_run(DryRunOptions(checkout, output, quick=True))
    assert result.passed, result.steps
    assert [step.name for step in result.steps] == [
        *("validate and build", "validate the zip", "unpack as the platform does"),
        "find the engine and the image",
        *(
            f"phase {phase}, solution 0, worker of {worker}"
            for phase in ("Feedback, task 0", "Final, task 1")
            for worker in WORKERS
        ),
    ]
    for phase in ("feedback-task0", "final-task1"):
        for worker in WORKERS:
            path = output / f"{phase}-solution0-worker{worker}" / "scores"
            assert set(json.loads((path / "scores.json").read_text())) == set(SCORE_KEYS)
            assert "Final phase" in (path / "detailed_results.html").read_text()
    questions = " ".join(result.questions)
    for topic in (DEFAULT_IMAGE, "2026-12-01", "public", "default queue", "protections", "quick"):
        assert topic in questions


def test_a_solution_that_fails_ends_the_dry_run(checkout, tmp_path, needs_engine):
    (checkout / "examples" / "counting" / "model.py").write_text("raise RuntimeError('no luck')\n")
    result = dry_run(DryRunOptions(checkout, tmp_path / "output", quick=True))
    assert not result.passed
    assert result.steps[-1].name == "phase Feedback, task 0, solution 0, worker of 2026-03"
    assert "no luck" in result.steps[-1].detail


def test_without_docker(checkout, tmp_path):
    result = dry_run(DryRunOptions(checkout, tmp_path / "output", docker=False))
    assert result.passed
    assert [step.ok for step in result.steps] == [True, True, True, None]


def test_an_error_in_the_bundle_ends_the_dry_run(checkout, tmp_path):
    edit(checkout / "competition.yaml", "sorting: desc", "sorting: down")
    result = dry_run(DryRunOptions(checkout, tmp_path / "output"))
    assert not result.passed
    assert len(result.steps) == 1
    assert "sorting" in result.steps[0].detail
    assert not (tmp_path / "output" / "bundle.zip").exists()


def test_no_engine_ends_the_dry_run(checkout, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/absent.sock")
    result = dry_run(DryRunOptions(checkout, tmp_path / "output"))
    assert result.steps[-1].ok is False
    assert "no Docker engine answers" in result.steps[-1].detail


def test_the_command(checkout, tmp_path, monkeypatch):
    monkeypatch.chdir(checkout)
    arguments = ["--without-docker", "--output", str(tmp_path / "o")]
    done = CliRunner().invoke(cli_bundle.dry_run, arguments)
    assert done.exit_code == 0, done.output
    assert "Dry run passed" in done.output
    assert "[ ] Is the image" in done.output
    done = CliRunner().invoke(cli_bundle.dry_run, [*arguments, "--competition"])
    assert done.exit_code == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}', "no b"),
        ('{"a": 1, "b": NaN}', "b is nan"),
        ('{"a": 1, "b": "x"}', "numbers only"),
        ('{"a": 1, "b": true}', "numbers only"),
        ('{"a": 1, "b": null}', "numbers only"),
        ('{"a": 1, "b": 1e10}', "can not store"),
        ("[1]", "one object"),
        ("{", "can not be read"),
    ],
)
def test_scores_that_the_platform_would_not_take(tmp_path, content, message):
    path = tmp_path / "scores.json"
    path.write_text(content)
    with pytest.raises(BundleError, match=message):
        check_scores(path, COLUMNS)


def test_scores_that_fit(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text('{"a": 1, "b": 2.5, "c": 0}')
    assert check_scores(path, COLUMNS) == {"a": 1, "b": 2.5, "c": 0}
