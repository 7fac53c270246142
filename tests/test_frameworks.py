"""Participants' frameworks inside the isolation; the table of docs/how_to/frameworks.md.

Frameworks that are not installed are skipped. Without HIGGSML_FRAMEWORKS=all (``make frameworks``)
each is tried as in the platform's container only; with it as root and as an ordinary user, too, and
the table is written anew.
"""

import functools
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.persons import SRC, ordinary

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")

ROOT = Path(__file__).resolve().parents[1]
RUNNER = ROOT / "tests" / "frameworks" / "run_frameworks.py"
PAGE = ROOT / "docs" / "how_to" / "frameworks.md"
ALL = os.environ.get("HIGGSML_FRAMEWORKS") == "all"
PERSONS = ("container", "root", "user")
TABLE = re.compile(r"(<!-- table -->\n).*?(?=<!-- end -->)", re.DOTALL)

_specification = importlib.util.spec_from_file_location("run_frameworks", RUNNER)
frameworks = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(frameworks)


@functools.cache
def _able(person):
    """Return how to play a person, or why that is not possible."""
    if person != "container" and not ALL:
        return "as in a container only: HIGGSML_FRAMEWORKS=all tries every setting"
    if os.geteuid() != 0:
        return (sys.executable, {}) if person == "user" else "these tests run as an ordinary user"
    return ordinary() if person == "user" else (sys.executable, {})


results = {}


def _result(name, person):
    python, identity = _able(person)
    command = [python, "-B", str(RUNNER), name]
    command += ["--container-like"] if person == "container" else []
    environment = {**os.environ, "PYTHONPATH": str(SRC), "HOME": "/nonexistent"}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd="/", env=environment, timeout=900, **identity
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results[name, person] = json.loads(done.stdout.splitlines()[-1])
    return results[name, person]


@pytest.fixture(scope="module", autouse=True)
def table():
    """Write the page's table when every framework has been tried in every setting."""
    yield
    persons = [person for person in PERSONS if not isinstance(_able(person), str)]
    if not ALL or any((n, p) not in results for n in frameworks.FRAMEWORKS for p in persons):
        return
    steps = [step.replace("_", " ") for step in frameworks.STEPS]
    heading = ["Framework", "Version", "Tried as", *steps]
    rows = [heading, ["---"] * len(heading)]
    for name in frameworks.FRAMEWORKS:
        cells = []
        for step in frameworks.STEPS:
            found = {person: results[name, person]["steps"][step] for person in persons}
            bad = [person for person, outcome in found.items() if outcome != "ok"]
            reason = found[persons[0]].startswith("no: ")
            cells.append("yes" if not bad else "no" if reason else f"not as {', '.join(bad)}")
        rows.append([name, results[name, persons[0]]["version"], ", ".join(persons), *cells])
    text = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(TABLE.sub(lambda found: found[1] + text, page), encoding="utf-8")


@pytest.mark.parametrize("person", PERSONS)
@pytest.mark.parametrize("name", frameworks.FRAMEWORKS)
def test_a_framework_works_inside_the_isolation(name, person):
    if frameworks.version(name) is None:
        pytest.skip(f"{name} is not installed: pip install -e '.[frameworks]'")
    able = _able(person)
    if isinstance(able, str):
        pytest.skip(able)
    result = _result(name, person)
    failed = {s: o for s, o in result["steps"].items() if not o.startswith(("ok", "no: "))}
    assert failed == {}, result["error"]


def test_the_page_has_every_framework():
    names = re.findall(r"^\| (\w+) \|", TABLE.search(PAGE.read_text("utf-8"))[0], re.MULTILINE)
    assert names == ["Framework", *frameworks.FRAMEWORKS]
