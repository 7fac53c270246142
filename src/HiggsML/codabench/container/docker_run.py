"""``higgsml run --docker``: one submission in containers, with the options of ``higgsml run``."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from HiggsML.codabench.bundle.tree import Tree
from HiggsML.codabench.container.engine import connect, ensure_image
from HiggsML.codabench.container.platform_run import PlatformRun, run_on_platform
from HiggsML.codabench.container.spec import Restrictions
from HiggsML.errors import ContainerError
from HiggsML.files import PACKAGE, is_junk
from HiggsML.isolation.budget.budgets import Budgets
from HiggsML.schema import NUISANCES
from HiggsML.submission.value import open_submission

__all__ = ["DEFAULT_IMAGE", "DockerOptions", "read_progress", "run_locally"]

DEFAULT_IMAGE = "higgsml/uncertainty-challenge:0.1"
"""Where there is no competition.yaml to name one."""

_SCRIPTS = ("ingestion_program/run_ingestion.py", "scoring_program/run_scoring.py")
_PROGRESS = re.compile(r"(?:INFO: )?(fit|predict): (\d+) of (\d+)")
_START_UP = 60.0  # s that a container may take beyond the ingestion's own deadline


@dataclass(frozen=True)
class DockerOptions:
    """What to run; the names are those of :class:`HiggsML.ingestion.IngestionOptions`.

    Attributes
    ----------
    submission : Path
        Directory or zip.
    output : Path
        Gets ``predictions/`` and ``scores/``.
    image : str, optional
        By default that of the ``competition.yaml`` beside the programs.
    restrictions : Restrictions
        How the containers are confined.
    budgets : Budgets
        Those of :data:`HiggsML.isolation.budget.budgets.BUDGET_FLAGS` are passed on.
    """

    input_dir: Path
    submission: Path
    output: Path
    num_of_sets: int = 10
    num_pseudo_experiments: int = 100
    systematics: Mapping[str, bool] = field(default_factory=dict)
    seed: int | None = None
    workers: int = 1
    deadline: float | None = None
    isolation: str = "prefer"
    image: str | None = None
    restrictions: Restrictions = field(default_factory=Restrictions)
    budgets: Budgets = field(default_factory=Budgets)


def run_locally(
    options: DockerOptions, *, log: Callable[[str, str], None] = lambda *_: None
) -> dict[str, float]:
    """Run a submission in containers and return its scores.

    Parameters
    ----------
    options : DockerOptions
        What to run.
    log : callable
        Gets the name of a stage ("image", "ingestion", "scoring") and each line of its log.

    Returns
    -------
    dict of str to float
        What is in ``scores.json``.

    Raises
    ------
    ContainerError
        If there is no engine, no image, or a container fails.
    SubmissionError
        If there is no model.py.
    """
    with open_submission(options.submission) as submission:
        return _run_locally(replace(options, submission=submission.folder), log)


def _run_locally(options: DockerOptions, log: Callable[[str, str], None]) -> dict[str, float]:
    project = _project()
    image = options.image or _image_of(project)
    with (
        closing(connect()) as client,
        tempfile.TemporaryDirectory(prefix="higgsml-programs-") as temporary,
    ):
        context = None if options.image else project
        ensure_image(client, image, context=context, log=lambda line: log("image", line))
        place = Path(temporary)
        place.chmod(0o755)
        reference = place / "reference"
        reference.mkdir()
        (reference / "settings.json").write_text(json.dumps(_settings(options)), encoding="utf-8")
        run_on_platform(
            client,
            PlatformRun(
                image=image,
                ingestion_program=_program(project / _SCRIPTS[0], place / "ingestion"),
                ingestion_command=_ingestion_command(options),
                scoring_program=_program(project / _SCRIPTS[1], place / "scoring"),
                scoring_command=("python3", "run_scoring.py", "--codabench"),
                submission=options.submission,
                input_data=_input(options, place),
                reference_data=reference,
                time_limit=None if options.deadline is None else options.deadline + _START_UP,
                restrictions=options.restrictions,
            ),
            predictions=options.output / "predictions",
            scores=options.output / "scores",
            log=log,
        )
    scores = json.loads((options.output / "scores" / "scores.json").read_text(encoding="utf-8"))
    return {name: float(value) for name, value in scores.items()}


def read_progress(line: str) -> tuple[str, int, int] | None:
    """Return stage, steps done and steps in all, if a line of the ingestion's log tells them."""
    match = _PROGRESS.fullmatch(line.strip())
    return None if match is None else (match[1], int(match[2]), int(match[3]))


def _project() -> Path:
    """Return the directory with the two programs: a checkout, or an unpacked starting kit."""
    here = Path.cwd().resolve()
    for directory in (here, *here.parents, PACKAGE.parents[1]):
        if all((directory / script).is_file() for script in _SCRIPTS):
            return directory
    raise ContainerError(
        f"{here} has no ingestion_program and scoring_program: change into a checkout of the "
        "project, or into the starting kit"
    )


def _image_of(project: Path) -> str:
    path = project / "competition.yaml"
    if path.is_file():
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and isinstance(content.get("docker_image"), str):
            return str(content["docker_image"])
    return DEFAULT_IMAGE


def _program(script: Path, target: Path) -> Path:
    """Put a program together as the bundle does: the script with the library beside it."""
    files = {
        f"HiggsML/{name}": entry
        for name, entry in Tree.from_directory(PACKAGE).files.items()
        if not is_junk(name)
    }
    Tree(files).extract(target)
    shutil.copyfile(script, target / script.name)
    return target


def _input(options: DockerOptions, place: Path) -> Path:
    """Return the dataset's directory: a copy where a container may write to it."""
    if not options.restrictions.as_platform:
        return options.input_dir
    return Path(shutil.copytree(options.input_dir, place / "input_data"))


def _ingestion_command(options: DockerOptions) -> tuple[str, ...]:
    flags = {
        "--num-of-sets": options.num_of_sets,
        "--num-pseudo-experiments": options.num_pseudo_experiments,
        "--random-seed": options.seed,
        "--workers": options.workers,
        "--deadline": options.deadline,
        "--isolation": options.isolation,
    }
    enabled = [name for name in NUISANCES if options.systematics.get(name, False)]
    return (
        *("python3", "run_ingestion.py", "--codabench"),
        *(f"--systematics-{name.replace('_', '-')}" for name in enabled),
        *(
            str(word)
            for name, value in flags.items()
            if value is not None
            for word in (name, value)
        ),
        *options.budgets.as_flags(),
    )


def _settings(options: DockerOptions) -> dict[str, object]:
    return {
        "num_of_sets": options.num_of_sets,
        "num_pseudo_experiments": options.num_pseudo_experiments,
        "systematics": {name: bool(options.systematics.get(name, False)) for name in NUISANCES},
    }
