"""What works on macOS and Windows, in interpreters that lack what those systems lack."""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from HiggsML.ingestion import IngestionOptions, run_ingestion
from tests.pipeline_fixtures import model_text, tiny_dataset, write_submission

__all__ = ["tiny_dataset"]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")

ROOT = Path(__file__).resolve().parents[1]
PRELUDE = f"""
import sys
sys.path[:0] = [{str(ROOT / "src")!r}, {str(ROOT / "tests")!r}]
from other_systems import pretend
"""
HELPERS = """
import contextlib, importlib, io, json, logging, os, pkgutil, traceback
from pathlib import Path
data, submission, results, output = map(Path, sys.argv[2:])
outcomes = {}

def command(*words):
    "Run a command; keep its exit code and what it said."
    from HiggsML.cli import main
    sys.argv = ["higgsml", *map(str, words)]
    logging.getLogger().handlers.clear()  # those of the last command
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            code = "crashed"
            traceback.print_exc()
    outcomes[" ".join(map(str, words[:2])) if words[0] in GROUPS else words[0]] = [
        code, " ".join(text.getvalue().split())
    ]

GROUPS = ("bundle", "submission")
"""
EVERYWHERE = f"""
import HiggsML
modules = pkgutil.walk_packages(HiggsML.__path__, "HiggsML.")
for name in [m.name for m in modules if ".pythia" not in m.name and "__main__" not in m.name]:
    importlib.import_module(name)
command("generate", "--events", 4000, "--seed", 1, "--output", output / "data")
command("doctor")
command("submission", "check", submission, "--input", data, "--pseudo-experiments", 2)
command("submission", "pack", submission, "--output", output / "s.zip")
command("bundle", "validate", {str(ROOT)!r})
command("four-lepton", "--output", output / "four", "--events", 300)
command("study", submission, "--input", data, "--output", output / "study", "--mus", 1,
        "--nuisances", "none", "--pseudo-experiments", 3)
command("score", results, "--output", output / "scores")

from HiggsML.datasets import Data
from HiggsML.ingestion import Ingestion
from HiggsML.pseudo_experiments import EventStore, store_file
from HiggsML.score import Scoring
sys.path.insert(0, str(submission))
from model import Model
dataset = Data(data)
dataset.load_test_set()
settings = {{"systematics": {{"tes": True}}, "num_of_sets": 2, "num_pseudo_experiments": 2,
            "ground_truth_mus": [0.8, 2.1]}}
ingestion = Ingestion(dataset)
ingestion.init_submission(Model)
ingestion.fit_submission()
ingestion.predict_submission(settings, initial_seed=3)
ingestion.process_results_dict()
(output / "by hand").mkdir()
ingestion.save_result(str(output / "by hand"))
scoring = Scoring()
scoring.load_ingestion_results(str(output / "by hand"), str(output / "by hand"))
scoring.compute_scores(settings)
path = output / "events"
store_file.convert(dataset, path)  # as for a test set above a million rows
outcomes["stored"] = [0, str(len(store_file.open_file(path).rows))]
"""
RUN_ON_WINDOWS = """
command("run", submission, "--input", data, "--output", output / "docker", "--docker")
outcomes["run --docker"] = outcomes.pop("run")
command("rank", submission.parent, "--input", data, "--output", output / "board")
command("score", results, "--output", results.parent / "scores")
command("compare", results.parent, results.parent)
command("runs", results.parent.parent)
command("explore", "--input", data, "--output", output / "explore.html")
"""
RUN = """
command("run", submission, "--input", data, "--output", output / "run", "--sets", 1,
        "--pseudo-experiments", 2, "--seed", 1, "--memory", "1g")
"""
RUN_ON_MACOS = """
import HiggsML.isolation.sandbox as sandbox
*first, code = sandbox._COMMAND
sandbox._COMMAND = (*first, PRELUDE + f"pretend({system!r})\\ndel sys.path[:2]\\n" + code)
command("run", submission, "--input", data, "--output", output / "run", "--sets", 1,
        "--pseudo-experiments", 2, "--seed", 1, "--workers", 2, "--memory", "1g")
from HiggsML.errors import HiggsMLError
for name in ("exit", "signal", "children"):
    try:
        with sandbox.Sandbox(submission.parent / name) as box:
            box.fit(Data(data), timeout=60)
        said = "it did not fail"
    except HiggsMLError as error:
        said = str(error)
    outcomes[name] = [0, said]
"""
DYING = {
    "exit": "os._exit(3)",
    "signal": "os.abort()",
    "children": ("import subprocess\nchild = subprocess.Popen(['sleep', '987'])\nos._exit(4)"),
}


def outcomes(system, script, *places):
    """Run a script in an interpreter like that system's and return what it found."""
    text = "\n".join(
        (
            PRELUDE,
            f"system, PRELUDE = {system!r}, {PRELUDE!r}",
            f"pretend({system!r})",
            HELPERS,
            script,
            "print('OUTCOMES', json.dumps(outcomes))",
        )
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(text), system, *map(str, places)],
        capture_output=True,
        text=True,
        timeout=900,
        cwd=ROOT,
    )
    found = re.search("^OUTCOMES (.*)$", done.stdout, re.MULTILINE)
    assert found, done.stderr[-3000:]
    return json.loads(found[1])


@pytest.fixture(scope="module")
def places(tiny_dataset, tmp_path_factory):
    base = tmp_path_factory.mktemp("systems")
    submission = shutil.copytree(ROOT / "examples" / "counting", base / "counting")
    for name, text in DYING.items():
        write_submission(base / name, model_text(fit=text))
    results = base / "outputs" / "run" / "predictions"
    results.parent.mkdir(parents=True)
    run_ingestion(IngestionOptions(tiny_dataset, submission, results, 1, 3, seed=1))
    return tiny_dataset, submission, results


WORK = {
    *("generate", "doctor", "submission check", "submission pack", "bundle validate"),
    *("four-lepton", "study", "score"),
}


def check_the_rest(found):
    assert {name: found[name] for name in WORK if found[name][0] != 0} == {}
    assert int(found["stored"][1]) > 100
    assert "are not enforced" in found["doctor"][1]


def test_windows(places, tmp_path):
    found = outcomes("win32", EVERYWHERE + RUN_ON_WINDOWS + RUN, *places, tmp_path)
    check_the_rest(found)
    for name in ("compare", "runs", "explore"):
        assert found[name][0] == 0, found[name]
    for name in ("run", "rank", "run --docker"):
        code, said = found[name]
        assert code == 1, said
        assert "the Linux of WSL 2" in said
        assert "Traceback" not in said
    assert "No trial run: " in found["submission check"][1]
    assert "by default: no limit of memory, " in found["doctor"][1]


def running(command):
    """Return whether a process of this command is there; the dead have no command any more."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes() == command:
                return True
    return False


def test_macos(places, tmp_path):
    found = outcomes("darwin", EVERYWHERE + RUN_ON_MACOS, *places, tmp_path)
    check_the_rest(found)
    code, said = found["run"]
    assert code == 0, said
    assert "budgets of memory (--memory), processes and open files are not enforced" in said
    assert "Trial run: fine" in found["submission check"][1]
    assert "exited with code 3 during fit" in found["exit"][1]
    assert "ended by SIGABRT" in found["signal"][1]
    assert "exited with code 4 during fit" in found["children"][1]
    assert not running(b"sleep\x00987\x00")
