"""Every attack must come to what its own file says, and gain nothing: see run_attacks.py.

They are run as root, as root without capabilities and namespaces (as in the platform's containers),
as an ordinary user, and in a real container as the platform starts it. Who can not be played on a
machine is skipped with the reason.
"""

import concurrent.futures
import contextlib
import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from HiggsML.codabench.container import Restrictions, connect, ensure_image
from HiggsML.codabench.container.docker_run import DEFAULT_IMAGE
from HiggsML.codabench.container.engine import run_container
from HiggsML.codabench.container.spec import ContainerSpec
from HiggsML.errors import ContainerError
from tests.persons import SRC, ordinary

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")

RUNNER = Path(__file__).with_name("run_attacks.py")
PERSONS = ("root", "container", "ordinary", "docker")
PARTS = 3  # at a time, for two cores: attacks wait half of their time
EXCLUSIVE = PARTS  # the number of the part that runs while no others do

_specification = importlib.util.spec_from_file_location("run_attacks", RUNNER)
run_attacks = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(run_attacks)

PROBES = run_attacks.names(alone=False)
ALONE = run_attacks.names(alone=True)
EVERYWHERE = run_attacks.names(alone=True, once=False)


def _persons():
    """Return who can run attacks here: interpreter and identity, or why not."""
    here, docker = (sys.executable, {}), _docker()
    if os.geteuid() != 0:
        reason = "these tests run as an ordinary user"
        return {"root": reason, "container": reason, "ordinary": here, "docker": docker}
    return {"root": here, "container": here, "ordinary": ordinary(), "docker": docker}


def _docker():
    try:
        with contextlib.closing(connect()) as client:
            ensure_image(client, DEFAULT_IMAGE)
    except ContainerError as error:
        return f"no container: {error}"
    return "python3", {}


def _environment():
    return {**os.environ, "PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1", "HOME": "/nonexistent"}


def _run(person, able, first, part):
    python, keywords = able
    command = [python, "-B", str(RUNNER), "--json", "--part", f"{part}/{PARTS}"]
    command += ["--container-like"] if person == "container" else []
    command += [] if person == first else ["--without-once"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd="/", env=_environment(), **keywords
    )
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {(person, result["name"]): result for result in results} | {
        (person, "errors", part): done.stderr
    }


def _run_in_docker(temporary, part):
    """Run a part in a container that is started as the platform's worker starts it."""
    program, output = temporary / "program", temporary / "output"
    shutil.copytree(RUNNER.parent, program)
    shutil.copytree(SRC / "HiggsML", program / "HiggsML")
    output.mkdir()
    for directory in (program, output):
        directory.chmod(0o777)
    command = ("python3", "run_attacks.py", "--without-once", "--part", f"{part}/{PARTS}")
    spec = ContainerSpec(
        "ingestion",
        DEFAULT_IMAGE,
        (*command, "--json", "/app/output/results"),
        {program: "/app/program", output: "/app/output"},
    )
    lines = []
    with contextlib.closing(connect()) as client:
        run_container(client, spec, Restrictions(as_platform=True), log=lines.append)
    found = output / "results"
    written = found.read_text().splitlines() if found.exists() else []
    return {("docker", result["name"]): result for result in map(json.loads, written)} | {
        ("docker", "errors", part): "\n".join(lines[-50:])
    }


@pytest.fixture(scope="session")
def attacked(tmp_path_factory, container_turn):
    """Results of all attacks by person and name, and why some persons can not be played here."""
    persons = _persons()
    able = {name: how for name, how in persons.items() if not isinstance(how, str)}
    first = next(iter(able))
    in_docker = able.pop("docker", None) is not None

    def run(person, part):
        return _run(person, able[person], first, part)

    def run_in_docker(part):
        return _run_in_docker(tmp_path_factory.mktemp("docker"), part)

    results = {}
    with concurrent.futures.ThreadPoolExecutor(PARTS) as pool:
        jobs = [pool.submit(run, person, part) for person in able for part in range(PARTS)]
        for job in jobs:
            results |= job.result()
        for person in able:
            results |= run(person, EXCLUSIVE)
        if in_docker:  # after the others, whose processes would disturb its time limits
            with container_turn():
                for result in pool.map(run_in_docker, range(PARTS)):
                    results |= result
                results |= run_in_docker(EXCLUSIVE)
    return persons, first, results


def _result(attacked, person, name):
    persons, first, results = attacked
    if isinstance(persons[person], str):
        pytest.skip(persons[person])
    if name in ALONE and name not in EVERYWHERE and person != first:
        pytest.skip(f"the same for every user: run as {first}")
    errors = [results.get((person, "errors", part)) for part in (*range(PARTS), EXCLUSIVE)]
    assert (person, name) in results, errors
    return results[person, name]


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("person", PERSONS)
def test_attack(attacked, person, name):
    assert _result(attacked, person, name)["problems"] == []


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize("person", PERSONS)
def test_probe(attacked, person, name):
    lines = _result(attacked, person, run_attacks.BATCH)["log"].splitlines()
    mine = [line for line in lines if f'["{name}", ' in line or f"BROKEN {name} " in line]
    assert mine, "it did not report that it was tried"
    assert [line for line in mine if '"refused"' not in line] == []


@pytest.mark.parametrize("person", PERSONS)
def test_probes_leave_nothing(attacked, person):
    assert _result(attacked, person, run_attacks.BATCH)["problems"] == []


@functools.cache
def _described(name):
    return run_attacks.describe(run_attacks.SUBMISSIONS / f"{name}.py")


@pytest.mark.parametrize("name", [*PROBES, *ALONE])
def test_every_attack_says_what_it_tries_and_what_must_happen(name):
    assert " Must: " in _described(name)["doc"].replace("\n", " ")


@pytest.mark.parametrize("name", [*PROBES, *ALONE])
def test_every_attack_that_may_complete_says_that_it_was_tried(name):
    if "completes" in _described(name).get("EXPECT", "completes"):
        text = (run_attacks.SUBMISSIONS / f"{name}.py").read_text()
        workers = _described(name).get("WORKERS", 1)  # each has a log of its own
        # The last is what attack.py says for those that change training events.
        says = r"\b(say|must_fail|must_be_false)\(|\"refused\"|\bChangesTrainingEvents\b"
        assert workers > 1 or re.search(says, text)


def test_there_are_enough_attacks():
    assert len(PROBES) + len(ALONE) >= 60
