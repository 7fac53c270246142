"""What is not imported: libraries that take seconds, where nobody uses them."""

import sys

import pytest

from tests.pipeline_fixtures import INGESTION, ROOT, SCORING, run_process

HEAVY = {"numpy", "pandas", "pyarrow", "scipy", "sklearn", "matplotlib", "jinja2", "docker"}

CODE = """
import runpy, sys
try:
    {statement}
except SystemExit as end:
    print("ended with", end.code)
print("imported", *sorted(set({heavy!r}) & sys.modules.keys()))
"""


def imported(statement, *arguments):
    """Run a statement; return how it ended, and which of the heavy libraries it has imported."""
    code = CODE.format(statement=statement, heavy=sorted(HEAVY))
    end = run_process(sys.executable, "-c", code, *arguments, cwd=ROOT)
    lines = end.stdout.splitlines()
    assert lines, end.stderr
    assert lines[-1].startswith("imported"), end.stderr
    codes = [line for line in lines if line.startswith("ended with")]
    return codes[-1].split()[-1] if codes else None, set(lines[-1].split()[1:])


COMMAND = "from HiggsML.cli import main; main()"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], "0"),
        (["run", "--help"], "0"),
        (["score", "--help"], "0"),
        *(
            ([*command.split(), "--help"], "0")
            for command in (
                "doctor",
                "bundle",
                "bundle build",
                "bundle validate",
                "compare",
                "dry-run",
                "explore",
                "four-lepton",
                "generate",
                "information",
                "rank",
                "runs",
                "study",
                "submission",
                "submission check",
            )
        ),
        (["rnu"], "2"),
        (["run"], "2"),
        (["run", "no/such/submission"], "2"),
        (["run", "examples/counting", "--sets", "0"], "2"),
        (["run", "examples/counting", "--systematics", "tau"], "2"),
        (["run", "examples/counting", "--memory", "nothing"], "2"),
        (["run", "examples/counting", "--image", "name"], "1"),
        (["run", "examples/counting", "--docker", "--resume"], "1"),
        (["score", "no/such/results"], "2"),
        (["bundle", "biuld"], "2"),
        (["explore", "--input", "no/such/dataset"], "2"),
        (["generate"], "2"),
        (["information", "--events", "1"], "2"),
        (["study", "no/such/submission"], "2"),
        (["submission", "check"], "2"),
    ],
    ids=" ".join,
)
def test_help_and_usage_errors_wait_for_no_library(arguments, code):
    assert imported(COMMAND, *arguments) == (code, set())


@pytest.mark.parametrize("program", [INGESTION, SCORING], ids=["ingestion", "scoring"])
@pytest.mark.parametrize(("argument", "code"), [("--help", "0"), ("--hepl", "2")])
def test_nor_do_the_programs(program, argument, code):
    statement = f"runpy.run_path({str(program)!r}, run_name='__main__')"
    assert imported(statement, argument) == (code, set())


def test_a_run_imports_no_report_before_it_is_drawn():
    _, libraries = imported("import HiggsML.ingestion.run")
    assert not libraries & {"matplotlib", "jinja2", "docker", "sklearn"}


def test_the_sample_submission_needs_no_scikit_learn():
    where = str(ROOT / "sample_submission")
    _, libraries = imported(f"sys.path.append({where!r}); import model")
    assert not libraries & {"sklearn", "matplotlib"}


ALONE = """
import importlib, pathlib, sys, traceback
for path in sorted(pathlib.Path("src/HiggsML").rglob("*.py")):
    name = ".".join(path.relative_to("src").with_suffix("").parts).removesuffix(".__init__")
    for one in [one for one in sys.modules if one.partition(".")[0] == "HiggsML"]:
        del sys.modules[one]
    if not name.endswith("__main__"):
        try:
            importlib.import_module(name)
        except BaseException:
            traceback.print_exc()
        else:
            print("imported", name)
"""


def test_every_module_can_be_imported_first():
    """A circle shows only when a certain one of its modules is the first to be imported."""
    end = run_process(sys.executable, "-c", ALONE, cwd=ROOT)
    assert not end.stderr
    assert end.stdout.count("imported HiggsML.") > 150
