"""Runs in real containers. Without an engine, or without the image, they are skipped and say so."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import docker
import pytest
import yaml
from docker.errors import DockerException

from HiggsML.cli.run import run as run_command
from HiggsML.codabench.container import (
    Restrictions,
    connect,
    ensure_image,
    run_in_docker,
)
from HiggsML.codabench.container import engine as engine_module
from HiggsML.codabench.container.docker_run import DEFAULT_IMAGE, read_progress
from HiggsML.codabench.container.engine import run_container
from HiggsML.codabench.container.platform_run import PlatformRun, run_on_platform
from HiggsML.codabench.container.spec import LABEL, ContainerSpec, engine_arguments
from HiggsML.codabench.container.worker import WORKERS
from HiggsML.errors import ContainerError
from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.results import load_settings
from HiggsML.schema import NUISANCES
from tests.pipeline_fixtures import model_text
from tests.test_planted import PLANTED, write_zip

ROOT = Path(__file__).resolve().parent.parent
COUNTING = ROOT / "examples" / "counting"
ALL_ON = dict.fromkeys(NUISANCES, True)
AS_PLATFORM = Restrictions(as_platform=True)


@pytest.fixture(scope="module")
def engine(container_turn):
    try:
        client = connect()
    except ContainerError as error:
        pytest.skip(f"no container tests: {error}")
    with container_turn():
        yield client
    client.close()


@pytest.fixture(scope="module")
def image(engine):
    name = yaml.safe_load((ROOT / "competition.yaml").read_text())["docker_image"]
    try:
        ensure_image(engine, name)
    except ContainerError as error:
        pytest.skip(f"no container tests: {error}")
    return name


@pytest.fixture
def none_left(engine, tmp_path_factory):
    """Check that a test leaves no container behind; those of other runs do not count."""
    here = str(tmp_path_factory.getbasetemp())

    def ours():
        found = engine.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True)
        mounts = {c.id: [mount["Source"] for mount in c.attrs["Mounts"]] for c in found}
        return {
            name
            for name, sources in mounts.items()
            if not sources or any(source.startswith(here) for source in sources)
        }

    before = ours()
    yield
    assert ours() <= before


def python(image, code, mounts=None, read_only=()):
    command = ("python3", "-c", textwrap.dedent(code))
    return ContainerSpec("ingestion", image, command, mounts or {}, frozenset(read_only))


# Without an engine -----------------------------------------------------------------------------


def test_the_platforms_arguments_are_the_workers_and_no_others(tmp_path):
    spec = ContainerSpec("x", "i", ("a",), {tmp_path: "/app/output", Path("/d"): "/app/data"})
    arguments = engine_arguments(spec, AS_PLATFORM)
    assert set(arguments) == {
        *("image", "command", "working_dir", "environment", "volumes", "cap_drop"),
        *("security_opt", "labels", "detach"),
    }
    assert arguments["working_dir"] == "/app/program"
    assert arguments["environment"] == {"PYTHONUNBUFFERED": "1"}
    assert arguments["security_opt"] == ["no-new-privileges"]
    assert len(arguments["cap_drop"]) == 14


def test_the_default_is_stricter(tmp_path, monkeypatch):
    spec = ContainerSpec("x", "i", ("a",), {tmp_path: "/app/output"})
    arguments = engine_arguments(spec, Restrictions(memory="1g", pids=7))
    assert arguments["network_mode"] == "none"
    assert arguments["read_only"] is True
    assert arguments["cap_drop"] == ["ALL"]
    assert (arguments["mem_limit"], arguments["memswap_limit"]) == ("1g", "1g")
    assert arguments["pids_limit"] == 7
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    assert engine_arguments(spec, Restrictions())["user"].startswith("1234:")
    assert "user" not in engine_arguments(spec, Restrictions(), rootless=True)
    assert "user" not in engine_arguments(spec, AS_PLATFORM)


def test_no_engine_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/absent.sock")
    with pytest.raises(ContainerError, match=r"no Docker engine answers .* set DOCKER_HOST"):
        connect()


def test_no_right_to_use_the_engine(monkeypatch):
    def refuse(host):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(engine_module, "_reach", refuse)
    with pytest.raises(ContainerError, match="join the group docker"):
        connect()


def test_an_engine_that_does_not_speak_docker(monkeypatch):
    def fail():
        raise DockerException("Error while fetching server API version: what?")

    monkeypatch.setattr(engine_module, "_reach", lambda host: None)
    monkeypatch.setattr(docker, "from_env", fail)
    with pytest.raises(ContainerError, match=r"no Docker engine answers at .* \(what\?\)"):
        connect()


def test_no_sdk(monkeypatch):
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(ContainerError, match="pip install docker"):
        connect()


def test_the_library_imports_without_the_sdk():
    code = "import sys; sys.modules['docker'] = None; import HiggsML.codabench.dry_run"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_progress_is_read_from_the_log():
    assert read_progress("INFO: predict: 50 of 1000") == ("predict", 50, 1000)
    assert read_progress("fit: 1 of 1\n") == ("fit", 1, 1)
    assert read_progress("INFO: 6 pseudo-experiments measured") is None


def test_lines_are_put_together():
    chunks = iter([b"on", b"e\ntwo\r\n", b"thr", b"ee"])
    assert list(engine_module._lines(chunks)) == ["one", "two", "three"]


def test_a_submission_with_a_command_is_refused(tmp_path):
    """Exactly as on the platform it would run; otherwise nothing of it does."""
    submission = tmp_path / "submission"
    submission.mkdir()
    (submission / "metadata").write_text("command: python3 model.py\n")
    run = PlatformRun("i", tmp_path, (), tmp_path, (), submission, tmp_path, worker="2026-03")
    with pytest.raises(ContainerError, match=r"metadata.*program of its own"):
        run_on_platform(None, run, predictions=tmp_path / "p", scores=tmp_path / "s")


# In containers ---------------------------------------------------------------------------------


STATE = r"""
import json, os, pathlib, socket
lines = open("/proc/self/status").read().splitlines()
status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
def writable(path):
    try:
        pathlib.Path(path, "probe").write_text("x")
        return True
    except OSError:
        return False
print(json.dumps({
    "capabilities": status["CapEff"], "no_new_privileges": status["NoNewPrivs"],
    "directory": os.getcwd(), "unbuffered": os.environ.get("PYTHONUNBUFFERED"),
    "interfaces": [name for _, name in socket.if_nameindex()],
    "root": writable("/"), "tmp": writable("/tmp"),
    "output": writable("/app/output"), "data": writable("/app/data"),
}))
"""


@pytest.mark.parametrize("as_platform", [False, True])
def test_what_a_container_can_do(engine, image, tmp_path, none_left, as_platform):
    output, data = tmp_path / "output", tmp_path / "data"
    for directory in (output, data):
        directory.mkdir(mode=0o777)
    spec = python(image, STATE, {output: "/app/output", data: "/app/data"}, ["/app/data"])
    lines = []
    restrictions = Restrictions(as_platform=as_platform)
    outcome = run_container(engine, spec, restrictions, log=lines.append)
    assert outcome.exit_code == 0, outcome.log
    state = yaml.safe_load(lines[-1])
    assert int(str(state["capabilities"]), 16) == 0
    assert state["no_new_privileges"] == "1"
    assert (state["directory"], state["unbuffered"]) == ("/app/program", "1")
    assert (state["output"], state["data"], state["tmp"]) == (True, False, True)
    assert state["root"] is as_platform
    if not as_platform:
        assert state["interfaces"] == ["lo"]


def test_an_arbitrary_user_can_use_the_image(engine, image):
    code = "import matplotlib.pyplot, sklearn.ensemble, pyarrow.parquet, iminuit, pandas, mplhep"
    engine.containers.run(
        image,
        ["python3", "-W", "error::UserWarning", "-c", code],
        user="12345:12345",
        network_mode="none",
        read_only=True,
        tmpfs={"/tmp": "rw,mode=1777"},
        remove=True,
    )


def test_time_limit_waits_then_kills(engine, image, none_left):
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(99)"
    started = time.monotonic()
    outcome = run_container(engine, python(image, code), Restrictions(), time_limit=1.0)
    assert outcome.exit_code is None
    assert time.monotonic() - started < 60


def test_out_of_memory_is_one_sentence(engine, image, tmp_path, none_left):
    if not engine.info().get("MemoryLimit"):
        pytest.skip("this engine can not limit memory")
    with pytest.raises(ContainerError, match=r"memory limit of 64m .* raise --memory"):
        tiny_run(engine, image, tmp_path, "x = bytearray(512 << 20)", Restrictions(memory="64m"))


def tiny_run(
    engine,
    image,
    place,
    ingestion,
    restrictions=AS_PLATFORM,
    scoring="",
    limit=None,
    worker="2026-03",
    files=None,
):
    """Run two programs of a line each."""
    for name in ("program", "submission", "input"):
        (place / name).mkdir(exist_ok=True)
    for name, text in (files or {"model.py": "planted = 1\n", "result_0.json": "{}\n"}).items():
        (place / "submission" / name).write_text(text)
    run = PlatformRun(
        image=image,
        ingestion_program=place / "program",
        ingestion_command=("python3", "-c", textwrap.dedent(ingestion)),
        scoring_program=place / "program",
        scoring_command=("python3", "-c", textwrap.dedent(scoring)),
        submission=place / "submission",
        input_data=place / "input",
        reference_data=place / "input",
        worker=worker,
        restrictions=restrictions,
        time_limit=limit,
    )
    return run_on_platform(engine, run, predictions=place / "p", scores=place / "s")


LOOK = """
import json, os, pathlib
def writable(path):
    try:
        pathlib.Path(path, "probe").write_text("x")
        pathlib.Path(path, "probe").unlink()
        return True
    except OSError:
        return False
def files(path):
    return sorted(str(p.relative_to(path)) for p in pathlib.Path(path).rglob("*") if p.is_file())
found = sorted(str(p) for p in pathlib.Path("/app").iterdir())
print(json.dumps({
    "mounts": found,
    "read_only": [path for path in found if not writable(path)],
    "files": {path: files(path) for path in found},
}))
"""
ALWAYS = ["/app/data", "/app/output", "/app/program"]


@pytest.mark.parametrize("worker", WORKERS)
def test_what_the_programs_see_is_what_each_worker_gives_them(
    engine, image, tmp_path, none_left, worker
):
    """Mounts, what is read-only, and the copies before ingestion and before scoring."""
    if os.getuid() != 0:
        pytest.skip("root of a container without capabilities writes what its own root owns")
    write = f"{LOOK}\nopen('/app/output/result_0.json', 'w').write('genuine')"
    show = f"{LOOK}\nprint(open('/app/input/res/metadata').read().replace(chr(10), '; '))"
    show += "\nprint(open('/app/input/res/result_0.json').read().strip())"
    result = tiny_run(engine, image, tmp_path, write, scoring=show, worker=worker)
    before = yaml.safe_load(result.ingestion.log[-1])
    *_, looked, metadata, answer = result.scoring.log
    after = yaml.safe_load(looked)
    submission = ["model.py", "result_0.json"]
    assert before["mounts"] == sorted([*ALWAYS, "/app/ingested_program", "/app/input_data"])
    assert before["files"]["/app/ingested_program"] == submission
    expected = sorted([*ALWAYS, "/app/input", "/app/shared"])
    if worker == "2026-03":
        assert before["files"]["/app/output"] == submission
        assert before["read_only"] == ["/app/data"]
        assert after["mounts"] == expected
        assert after["read_only"] == ["/app/data"]
        assert answer == "genuine"
    else:
        assert before["files"]["/app/output"] == []
        assert before["read_only"] == ["/app/data", "/app/ingested_program"]
        assert after["mounts"] == sorted([*expected, "/app/ingested_program"])
        assert after["read_only"] == ["/app/data", "/app/ingested_program"]
        assert answer == "{}", "the submission's file has replaced the genuine one"
    assert {f"res/{name}" for name in (*submission, "metadata")} <= set(
        after["files"]["/app/input"]
    )
    content = yaml.safe_load(metadata.replace("; ", "\n"))
    assert set(content) == {
        *("exitCode", "elapsedTime", "ingestionExitCode", "ingestionElapsedTime")
    }
    assert (content["exitCode"], content["ingestionExitCode"]) == (None, 0)
    assert content["elapsedTime"] == content["ingestionElapsedTime"] > 0


@pytest.mark.parametrize("worker", WORKERS)
def test_a_command_of_the_submission_runs_on_the_older_worker_alone(
    engine, image, tmp_path, none_left, worker
):
    files = {
        "model.py": "open('/app/output/by_the_submission', 'w'); raise SystemExit(3)",
        "metadata": "command: python3 /app/program/model.py\n",
    }
    wait = "import time; time.sleep(2)"
    show = "import os; print(sorted(os.listdir('/app/input/res')))\n"
    show += "print(open('/app/input/res/metadata').read().replace(chr(10), '; '))"
    result = tiny_run(engine, image, tmp_path, wait, scoring=show, worker=worker, files=files)
    listed, metadata = result.scoring.log[-2:]
    if worker == "2026-03":
        assert listed == "['by_the_submission', 'metadata']"
        assert "exitCode: 3" in metadata
    else:
        assert listed == "['metadata', 'model.py']"
        assert "command: python3" in metadata, "the submission's has replaced the worker's"


def test_scoring_runs_after_a_failed_ingestion_and_must_refuse(engine, image, tmp_path, none_left):
    with pytest.raises(ContainerError, match=r"scoring accepted .* exit code 3"):
        tiny_run(engine, image, tmp_path, "raise SystemExit(3)")
    refuse = "raise SystemExit(1)"
    with pytest.raises(ContainerError, match="ingestion program ended with exit code 3: why"):
        tiny_run(engine, image, tmp_path, "print('why'); raise SystemExit(3)", scoring=refuse)


def test_results_with_links_or_metadata_are_refused(engine, image, tmp_path, none_left):
    with pytest.raises(ContainerError, match="symbolic link, out"):
        tiny_run(engine, image, tmp_path, "import os; os.symlink('/etc', '/app/output/out')")
    with pytest.raises(ContainerError, match="left a file named metadata"):
        tiny_run(engine, image, tmp_path, "open('/app/output/metadata', 'w')")


def test_time_limit_of_a_run_is_one_sentence(engine, image, tmp_path, none_left):
    with pytest.raises(ContainerError, match="killed at its time limit of 1 s"):
        tiny_run(engine, image, tmp_path, "import time; time.sleep(99)", limit=1.0)


def test_wrong_permissions_are_one_sentence(engine, image, tmp_path, none_left):
    denied = "raise PermissionError(13, 'Permission denied', '/app/output/x')"
    with pytest.raises(ContainerError, match="may not write or read one of its directories"):
        tiny_run(engine, image, tmp_path, denied, Restrictions())


def test_a_missing_image_is_one_sentence(engine, tmp_path):
    with pytest.raises(ContainerError, match=r"no image nobody/absent:1 here: .*docker pull"):
        ensure_image(engine, "nobody/absent:1")
    with pytest.raises(ContainerError, match="no image nobody/absent:1 here"):
        run_container(engine, python("nobody/absent:1", ""), Restrictions())


def test_a_build_that_fails_is_one_sentence(engine, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY absent /\n")
    with pytest.raises(ContainerError, match=r"could not be built: .*absent"):
        ensure_image(engine, "nobody/absent:1", context=tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_container(engine, image, none_left, number):
    code = f"""
    import signal
    # Where the tests run in the background, a shell may have told them to ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from HiggsML.codabench.container import Restrictions, connect
    from HiggsML.codabench.container.engine import run_container
    from HiggsML.codabench.container.spec import ContainerSpec
    command = ("python3", "-c", "import time; print('up'); time.sleep(99)")
    spec = ContainerSpec("ingestion", {image!r}, command, {{}})
    run_container(connect(), spec, Restrictions(), log=lambda line: print(line, flush=True))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "up\n"
        assert engine.containers.list(filters={"label": LABEL})
        process.send_signal(number)
        process.wait(timeout=60)
    assert process.returncode != 0


@pytest.mark.parametrize(
    ("restrictions", "worker"),
    [(Restrictions(), "2026-06"), *((AS_PLATFORM, worker) for worker in WORKERS)],
    ids=["strict", *WORKERS],
)
def test_same_seed_same_bytes_with_and_without_docker(
    engine, image, tmp_path, none_left, monkeypatch, restrictions, worker
):
    monkeypatch.chdir(ROOT)
    submission = tmp_path / "submission"
    (submission / "weights").mkdir(parents=True)
    (submission / "model.py").write_bytes((COUNTING / "model.py").read_bytes())
    # Workers copy these into the output, or between the results; neither may count.
    (submission / "weights" / "result_1.json").write_text('{"mu_hats": [1, 1]}')
    (submission / "scores.json").write_text('{"quantiles_score": 99}')
    here, inside = tmp_path / "here", tmp_path / "inside"
    run = {"num_of_sets": 2, "num_pseudo_experiments": 2, "systematics": ALL_ON, "seed": 5}
    run |= {"input_dir": ROOT / "input_data", "submission": submission}
    run_ingestion(IngestionOptions(output=here, **run))
    scores = run_in_docker(
        IngestionOptions(output=inside / "predictions", **run),
        inside / "scores",
        image=image,
        restrictions=restrictions,
        worker=worker,
    )
    found = sorted(path.name for path in (inside / "predictions").iterdir())
    assert [name for name in found if name.startswith("result")] == [
        *("result_0.json", "result_1.json")
    ]
    assert "scores.json" not in found
    for index in range(2):
        name = f"result_{index}.json"
        assert (inside / "predictions" / name).read_bytes() == (here / name).read_bytes()
    settings = [
        load_settings(path / "test_settings.json", with_truth=True)
        for path in (here, inside / "predictions")
    ]
    assert settings[0].mus == settings[1].mus
    assert scores["quantiles_score"] < 50
    assert (inside / "scores" / "detailed_results.html").stat().st_size > 1000


@pytest.mark.parametrize("worker", WORKERS)
@pytest.mark.parametrize(
    "name",
    [
        *("all, with metadata", "the duration as a folder with the model"),
        *("metadata.yaml with a command", "a model that fails, and all results"),
    ],
)
def test_what_is_planted_is_refused_in_containers_too(
    engine, image, tmp_path, none_left, monkeypatch, worker, name
):
    """And the reason reaches the page and the last line, with an exit code that is not 0."""
    monkeypatch.chdir(ROOT)
    last, reason = planted_run(engine, image, tmp_path, worker, PLANTED[name])
    assert re.match("Error: the ingestion failed: .* has this name", last), last
    assert "has this name" in reason


@pytest.mark.parametrize("worker", WORKERS)
def test_the_reason_of_a_failure_reaches_the_participant(
    engine, image, tmp_path, none_left, monkeypatch, worker
):
    monkeypatch.chdir(ROOT)
    files = {"model.py": model_text(fit="raise ValueError('\\x1b[31m<b>on purpose</b>')")}
    last, page = planted_run(engine, image, tmp_path, worker, files)
    assert re.match(
        r"Error: the ingestion failed: .*ValueError: \ufffd\[31m<b>on purpose</b>", last
    )
    assert "ValueError: \ufffd[31m&lt;b&gt;on purpose&lt;/b&gt;" in page


def planted_run(engine, image, place, worker, files):
    """Run a submission that gets no score; return the scoring's last line, and its page."""
    lines, scores = [], place / "scores"
    options = IngestionOptions(
        input_dir=ROOT / "input_data",
        submission=write_zip(place / "s.zip", files),
        output=place / "predictions",
        num_of_sets=2,
        num_pseudo_experiments=1,
        systematics=ALL_ON,
    )
    with pytest.raises(ContainerError, match="ended with exit code 1"):
        run_in_docker(
            options,
            scores,
            image=image,
            restrictions=AS_PLATFORM,
            worker=worker,
            log=lambda stage, line: lines.append((stage, line)),
        )
    assert not (scores / "scores.json").exists()
    last = [line for stage, line in lines if stage == "scoring"][-1]
    return last, (scores / "detailed_results.html").read_text()


def test_the_command_offers_the_workers():
    (option,) = [option for option in run_command.params if option.name == "worker"]
    assert tuple(option.type.choices) == WORKERS


def test_the_default_image_is_the_competitions():
    content = yaml.safe_load((ROOT / "competition.yaml").read_text())
    assert content["docker_image"] == DEFAULT_IMAGE
