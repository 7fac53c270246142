"""``higgsml run --docker``: one submission in containers, with the options of ``higgsml run``."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import yaml

from HiggsML.codabench.bundle.program import program_files
from HiggsML.codabench.bundle.tree import Tree
from HiggsML.codabench.container.engine import connect, ensure_image
from HiggsML.codabench.container.platform_run import PlatformRun, run_on_platform
from HiggsML.codabench.container.spec import Restrictions
from HiggsML.codabench.container.worker import NEWEST, Worker
from HiggsML.errors import ContainerError
from HiggsML.files import PACKAGE
from HiggsML.ingestion.arguments import words
from HiggsML.ingestion.options import IngestionOptions
from HiggsML.seal import KEY_FILE, new_key
from HiggsML.submission.value import open_submission

__all__ = ["DEFAULT_IMAGE", "confined", "read_progress", "run_in_docker"]

DEFAULT_IMAGE = "higgsml/uncertainty-challenge:0.1"
"""Where there is no competition.yaml to name one."""

_SCRIPTS = ("ingestion_program/run_ingestion.py", "scoring_program/run_scoring.py")
_PROGRESS = re.compile(r"(?:INFO: )?(read|import|fit|training|predict|repeat): (\d+) of (\d+)")
_START_UP = 60.0  # s that a container may take beyond the ingestion's own deadline


def run_in_docker(
    options: IngestionOptions,
    scores: Path,
    *,
    image: str | None = None,
    restrictions: Restrictions | None = None,
    worker: Worker = NEWEST,
    log: Callable[[str, str], None] = lambda *_: None,
) -> dict[str, float]:
    """Run a submission in containers and return its scores.

    Parameters
    ----------
    options : IngestionOptions
        What to run; predictions go to its ``output``.
    scores : Path
        Where scores and report go.
    image : str, optional
        By default that of the ``competition.yaml`` beside the programs.
    restrictions : Restrictions, optional
        How the containers are confined.
    worker : {"2026-03", "2026-06"}
        The generation of the platform's worker.
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
        If there is no model.py. Exactly as the platform does it, the containers find that out.
    """
    project = _project()
    restrictions = restrictions or Restrictions()
    with (
        _submission(options.submission, restrictions) as submission,
        closing(connect()) as client,
        tempfile.TemporaryDirectory(prefix="higgsml-programs-") as temporary,
    ):
        name = image or _image_of(project)
        context = None if image else project
        ensure_image(client, name, context=context, log=lambda line: log("image", line))
        scratch = Path(temporary)
        scratch.chmod(0o755)
        reference = scratch / "reference"
        reference.mkdir()
        (reference / "settings.json").write_text(json.dumps(_settings(options)), encoding="utf-8")
        input_data = _input(options.input_dir, restrictions, scratch)
        if (input_data / KEY_FILE).is_file():
            shutil.copyfile(input_data / KEY_FILE, reference / KEY_FILE)
        run_on_platform(
            client,
            PlatformRun(
                image=name,
                ingestion_program=_program(project / _SCRIPTS[0], scratch / "ingestion"),
                ingestion_command=("python3", "run_ingestion.py", "--codabench", *words(options)),
                scoring_program=_program(project / _SCRIPTS[1], scratch / "scoring"),
                scoring_command=("python3", "run_scoring.py", "--codabench"),
                submission=submission,
                input_data=input_data,
                reference_data=reference,
                worker=worker,
                time_limit=None if options.deadline is None else options.deadline + _START_UP,
                restrictions=restrictions,
            ),
            predictions=options.output,
            scores=scores,
            log=log,
        )
    written = json.loads((scores / "scores.json").read_text(encoding="utf-8"))
    return {name: float(value) for name, value in written.items()}


def confined(
    options: IngestionOptions, restrictions: Restrictions
) -> tuple[IngestionOptions, Restrictions]:
    """Return options and restrictions where the budget of memory is the container's limit.

    A share of it is then the submission's. The platform has no such limit.

    Raises
    ------
    SettingsError
        If an option means nothing in a container.
    """
    options.check_in_container()
    memory = options.budgets.memory_bytes
    if memory is None or restrictions.as_platform:
        return options, restrictions
    unlimited = replace(options, budgets=replace(options.budgets, memory_bytes=None))
    return unlimited, replace(restrictions, memory=f"{int(memory)}b")


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
    Tree(program_files(script, PACKAGE)).extract(target)
    return target


@contextmanager
def _submission(path: Path, restrictions: Restrictions) -> Iterator[Path]:
    """Give the checked folder of a submission; as on the platform, what was uploaded."""
    if restrictions.as_platform:
        yield path
        return
    with open_submission(path) as submission:
        yield submission.folder


def _input(input_dir: Path, restrictions: Restrictions, scratch: Path) -> Path:
    """Return the dataset's directory: a copy, with a key, where a container may write to it."""
    if not restrictions.as_platform:
        return input_dir
    copy = Path(shutil.copytree(input_dir, scratch / "input_data"))
    if not (copy / KEY_FILE).exists():
        (copy / KEY_FILE).write_text(new_key(), encoding="ascii")
    return copy


def _settings(options: IngestionOptions) -> dict[str, object]:
    return {
        "num_of_sets": options.num_of_sets,
        "num_pseudo_experiments": options.num_pseudo_experiments,
        "systematics": options.enabled,
    }
