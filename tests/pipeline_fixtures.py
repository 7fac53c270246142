"""What the tests of ingestion, scoring and the command line share: a tiny dataset and processes."""

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from HiggsML.generator import generate_dataset
from HiggsML.schema import NUISANCES

ROOT = Path(__file__).resolve().parents[1]
SUBMISSIONS = Path(__file__).resolve().parent / "submissions"
INGESTION = ROOT / "ingestion_program" / "run_ingestion.py"
SCORING = ROOT / "scoring_program" / "run_scoring.py"
HIGGSML = Path(sys.executable).with_name("higgsml")

TINY_EVENTS = 4_000
TINY_TRAINING_EVENTS = 2_800

ALL_OFF = dict.fromkeys(NUISANCES, False)
ALL_ON = dict.fromkeys(NUISANCES, True)

# One thread per process: these machines are shared, and the arrays are small.
ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "LANG": "C.UTF-8",
    "MPLCONFIGDIR": str(Path(tempfile.gettempdir()) / "higgsml-tests-matplotlib"),
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class Finished(NamedTuple):
    """How a process ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


class Doors:
    """Runs scripts in processes of their own without paying for the imports each time.

    One process imports the package once; for each run it forks a copy of itself, which executes
    the unchanged script as ``__main__`` with its arguments, output files and working directory.
    """

    _SERVER = """
import json, os, runpy, sys, traceback
import HiggsML.cli.run, HiggsML.ingestion.run, HiggsML.score

for line in sys.stdin:
    request = json.loads(line)
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), flush=True)
        continue
    code = 0
    try:
        for number, path in enumerate([os.devnull, request["stdout"], request["stderr"]]):
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, number)
            os.close(file)
        os.chdir(request["cwd"])
        os.environ.update(request["environment"])
        sys.argv = [request["script"], *request["arguments"]]
        sys.path[0] = os.path.dirname(request["script"])
        runpy.run_path(request["script"], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
"""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=directory,
            env=ENVIRONMENT,
            text=True,
        )

    def run(self, script, *arguments, cwd=None, environment=None) -> Finished:
        out, err = self._directory / "stdout", self._directory / "stderr"
        request = {
            "script": str(script),
            "arguments": [str(argument) for argument in arguments],
            "stdout": str(out),
            "stderr": str(err),
            "cwd": str(cwd or self._directory),
            "environment": environment or {},
        }
        print(json.dumps(request), file=self._process.stdin, flush=True)
        code = json.loads(self._process.stdout.readline())
        return Finished(code, out.read_text(), err.read_text())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="session")
def doors(tmp_path_factory):
    """Runs scripts: ``doors.run(SCORING, "--prediction", ...)``."""
    server = Doors(tmp_path_factory.mktemp("doors"))
    yield server
    server.close()


def run_process(*command, cwd=None, environment=None, timeout=600) -> Finished:
    """Run a command in an ordinary process, started from nothing."""
    finished = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=ENVIRONMENT | (environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Finished(finished.returncode, finished.stdout, finished.stderr)


@functools.cache
def _generate(directory: Path) -> Path:
    return generate_dataset(directory / "tiny", events=TINY_EVENTS, seed=1)


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory):
    """Directory of a dataset of 4,000 simulated events; its test split is far too small to score
    a method, and just right to run one."""
    base = tmp_path_factory.getbasetemp()
    return _generate(base)


def write_submission(directory: Path, model: str, **others: str) -> Path:
    """Write a submission: the text of ``model.py``, and other files by stem."""
    directory.mkdir(parents=True, exist_ok=True)
    for stem, text in {"model": model, **others}.items():
        (directory / f"{stem}.py").write_text(text, encoding="utf-8")
    return directory


def model_text(*, top="", init="pass", fit="pass", predict="return ANSWER") -> str:
    """Return a ``model.py`` with the given lines in its places."""

    def block(lines):
        return "\n        ".join(lines.splitlines())

    return f"""import os, signal, sys, time

{top}

ANSWER = {{"mu_hat": 1.0, "delta_mu_hat": 0.5, "p16": 0.5, "p84": 1.5}}


class Model:
    def __init__(self, get_train_set, systematics):
        self.get_train_set = get_train_set
        {block(init)}

    def fit(self):
        {block(fit)}

    def predict(self, test_set):
        {block(predict)}
"""


def result_files(directory: Path) -> dict[str, bytes]:
    """Return the content of all files in a directory but the duration, and the record of it."""
    return {
        path.name: path.read_bytes()
        for path in sorted(directory.iterdir())
        if path.name not in ("ingestion_duration.json", "ingestion_record.json")
    }
