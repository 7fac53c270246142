"""Executors: whoever runs the pseudo-experiments, the result is the same byte for byte.

Clusters are real ones, of processes on this machine.
"""

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from HiggsML.datasets import Data
from HiggsML.errors import (
    ClusterError,
    DataError,
    SettingsError,
    SubmissionError,
    TimeLimitError,
)
from HiggsML.generator import generate_dataset
from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.ingestion.identity import packed_files
from HiggsML.ingestion.stages import processes
from HiggsML.ingestion.workers import Draws, Task, Worker, check_cluster, cluster
from HiggsML.isolation.budget import budgets
from HiggsML.isolation.cage.restrict import probe
from HiggsML.pseudo_experiments import EventStore
from HiggsML.results import load_predictions, load_settings
from HiggsML.submission.value import Submission
from tests.pipeline_fixtures import ENVIRONMENT, HIGGSML

psutil = pytest.importorskip("psutil", reason="Dask is not installed")
distributed = pytest.importorskip("distributed", reason="Dask is not installed")

SETS, EXPERIMENTS, SEED = 2, 6, 8

HELPER = """
def interval(mu, delta):
    return {"mu_hat": mu, "delta_mu_hat": delta, "p16": mu - delta, "p84": mu + delta}
"""

# Answers depend on every event; the pause gives others the time to be killed.
MODEL = """
import time

import numpy as np
from helper import interval


class Model:
    def __init__(self, get_train_set, systematics):
        self.get_train_set = get_train_set

    def fit(self):
        self.mean = float(self.get_train_set()["PRI_met"].mean())

    def predict(self, test_set):
        time.sleep(0.05)
        mean = float(test_set["data"]["PRI_met"].to_numpy().mean(dtype=np.float64))
        return interval(mean / self.mean, len(test_set["data"]) / 1e5)
"""


def write_submission(directory, model=MODEL):
    (directory / "tools").mkdir(parents=True)
    (directory / "model.py").write_text(model)
    (directory / "tools" / "helper.py").write_text(HELPER)
    return directory


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("executors") / "data"
    generate_dataset(directory, scenario="mini", events=4_000, seed=1)
    return directory


@pytest.fixture(scope="module")
def submission(tmp_path_factory):
    return write_submission(tmp_path_factory.mktemp("executors") / "submission")


def options(dataset, submission, output, **more):
    return IngestionOptions(
        input_dir=dataset,
        submission=submission,
        output=output,
        num_of_sets=SETS,
        num_pseudo_experiments=EXPERIMENTS,
        systematics={"tes": True, "soft_met": True},
        **({"seed": SEED, "workers": 1} | more),
    )


def results(directory):
    """The bytes of all result files; the duration is no result, nor is the record of it."""
    return {path.name: path.read_bytes() for path in sorted(directory.glob("[rt]*_*.json"))}


@pytest.fixture(scope="module")
def expected(dataset, submission, tmp_path_factory):
    output = tmp_path_factory.mktemp("executors") / "expected"
    run_ingestion(options(dataset, submission, output))
    return results(output)


@contextlib.contextmanager
def local_cluster():
    """A scheduler, and two worker processes with one thread each."""
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",  # its port need not be free
        memory_limit=0,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def dask_cluster():
    with local_cluster() as running:
        yield running


def worker_pids(running):
    with distributed.Client(running.scheduler_address, set_as_default=False) as client:
        return list(client.run(os.getpid).values())


def below(pid):
    """Processes that a worker has started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)


@pytest.fixture
def cleans_up(dask_cluster):
    """Afterwards no submission runs on the cluster and nothing is left to do."""
    pids = worker_pids(dask_cluster)
    yield
    wait_until(lambda: not any(below(pid) for pid in pids))
    wait_until(lambda: not dask_cluster.scheduler.tasks)
    assert worker_pids(dask_cluster) == pids, "a worker was lost"


def test_two_processes_give_the_same_bytes(dataset, submission, expected, tmp_path):
    run_ingestion(options(dataset, submission, tmp_path / "out", workers=2))
    assert results(tmp_path / "out") == expected


@pytest.mark.usefixtures("cleans_up")
def test_a_cluster_gives_the_same_bytes(dataset, submission, expected, dask_cluster, tmp_path):
    address = dask_cluster.scheduler_address
    run_ingestion(options(dataset, submission, tmp_path / "out", scheduler=address))
    assert results(tmp_path / "out") == expected
    assert len(expected) == SETS + 1


@pytest.mark.usefixtures("cleans_up")
def test_a_relative_dataset_is_found_by_workers(
    dataset, submission, expected, dask_cluster, tmp_path, monkeypatch
):
    monkeypatch.chdir(dataset.parent)
    address = dask_cluster.scheduler_address
    run_ingestion(options(Path(dataset.name), submission, tmp_path / "out", scheduler=address))
    assert results(tmp_path / "out") == expected


def test_what_a_lost_worker_had_is_done_again(dataset, submission, expected, tmp_path):
    with local_cluster() as running:
        killed = []

        def kill_one(stage, done, total):
            if stage == "predict" and not killed:
                busy = [pid for pid in worker_pids(running) if below(pid)]
                os.kill(busy[0], signal.SIGKILL)
                killed.append(busy[0])

        address = running.scheduler_address
        run_ingestion(options(dataset, submission, tmp_path / "out", scheduler=address), kill_one)
        assert killed
        assert not psutil.pid_exists(killed[0])
    assert results(tmp_path / "out") == expected


@pytest.mark.usefixtures("cleans_up")
def test_a_failure_on_the_cluster_reaches_the_user(dataset, dask_cluster, tmp_path):
    failing = MODEL.replace("time.sleep(0.05)", "raise ValueError('too few events of mine')")
    wrong = write_submission(tmp_path / "submission", failing)
    with pytest.raises(SubmissionError, match=r"set \d, pseudo-experiment \d") as caught:
        run_ingestion(
            options(dataset, wrong, tmp_path / "out", scheduler=dask_cluster.scheduler_address)
        )
    assert "too few events of mine" in str(caught.value)
    assert "model.py" in str(caught.value)
    assert not results(tmp_path / "out")


@pytest.mark.usefixtures("cleans_up")
def test_a_model_that_hangs_on_the_cluster_meets_the_deadline(dataset, dask_cluster, tmp_path):
    hanging = write_submission(tmp_path / "submission", MODEL.replace("sleep(0.05)", "sleep(600)"))
    address = dask_cluster.scheduler_address
    with pytest.raises(TimeLimitError):
        run_ingestion(options(dataset, hanging, tmp_path / "out", scheduler=address, deadline=15.0))


@pytest.mark.usefixtures("cleans_up")
def test_the_submission_is_isolated_on_the_cluster_too(dataset, dask_cluster, tmp_path):
    if (state := probe()["landlock-files"]) != "on":
        pytest.skip(f"Landlock does not restrict files here: {state}")
    curious = MODEL.replace("time.sleep(0.05)", f"open({str(Data(dataset).path)!r}, 'rb')")
    wrong = write_submission(tmp_path / "submission", curious)
    progress = []
    with pytest.raises(SubmissionError, match="PermissionError"):
        run_ingestion(
            options(dataset, wrong, tmp_path / "out", scheduler=dask_cluster.scheduler_address),
            lambda *step: progress.append(step),
        )
    assert [step for step in progress if step[0] == "predict"] == []


@pytest.mark.usefixtures("cleans_up")
def test_workers_must_have_the_same_dataset(dataset, dask_cluster, tmp_path, monkeypatch):
    address = dask_cluster.scheduler_address
    check_cluster(address, Data(dataset), 0.3)
    real = cluster.data_identity(Data(dataset))
    monkeypatch.setattr(cluster, "data_identity", lambda _: real | {"parquet footer": "0" * 64})
    with pytest.raises(DataError, match=r"another dataset than here .*parquet footer is \w{8}"):
        check_cluster(address, Data(dataset), 0.3)
    monkeypatch.undo()
    # The client has it open; for the workers it is gone.
    copy = shutil.copytree(dataset, tmp_path / "copy")
    data = Data(copy)
    requirements = cluster._Requirements.of(data, 0.3)
    monkeypatch.setattr(cluster._Requirements, "of", lambda *_: requirements)
    shutil.rmtree(copy)
    with pytest.raises(DataError, match="must be readable there under the same path"):
        check_cluster(address, data, 0.3)


@pytest.mark.usefixtures("cleans_up")
def test_workers_must_have_the_same_software(dataset, dask_cluster, monkeypatch):
    ours = cluster.software_identity()
    monkeypatch.setattr(cluster, "software_identity", lambda: ours | {"numpy": "1.0"})
    with pytest.raises(ClusterError, match=r"numpy is [\d.]+ instead of 1\.0.*same everywhere"):
        check_cluster(dask_cluster.scheduler_address, Data(dataset), 0.3)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere"])
def test_no_scheduler_there(dataset, submission, tmp_path, monkeypatch, address):
    monkeypatch.setattr(cluster, "_CONNECT_TIMEOUT", 1)
    with pytest.raises(ClusterError, match="no Dask scheduler answers"):
        run_ingestion(options(dataset, submission, tmp_path / "out", scheduler=address))


def test_dask_is_an_extra(dataset, submission, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SettingsError, match=r"pip install 'dask\[distributed\]'"):
        run_ingestion(options(dataset, submission, tmp_path / "out", scheduler="tcp://there:1"))


def test_workers_and_a_cluster_exclude_each_other(dataset, submission, tmp_path):
    with pytest.raises(SettingsError, match="exclude each other"):
        options(dataset, submission, tmp_path, workers=2, scheduler="tcp://there:1")


def test_what_is_sent_to_the_cluster(submission, tmp_path):
    copy = shutil.copytree(submission, tmp_path / "copy")
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "model.pyc").write_bytes(b"old")
    assert Submission.of(copy).identity == Submission.of(submission).identity
    assert packed_files(Submission.of(copy)) == packed_files(Submission.of(submission))
    assert sorted(Submission.of(copy).identity) == ["model.py", "tools/helper.py"]
    (copy / "model.py").write_text("x = 1")
    assert packed_files(Submission.of(copy)) != packed_files(Submission.of(submission))


def test_workers_end_when_the_run_is_killed(dataset, submission, tmp_path):
    """The processes of the submission are ended with the one that serves them."""
    code = (
        "import sys; from pathlib import Path; "
        "from HiggsML.ingestion import IngestionOptions, run_ingestion; "
        "run_ingestion(IngestionOptions(*map(Path, sys.argv[1:]), workers=2, num_of_sets=9), "
        "lambda stage, *_: stage == 'predict' and print('started', flush=True))"
    )
    with psutil.Popen(
        [sys.executable, "-c", code, str(dataset), str(submission), str(tmp_path / "out")],
        stdout=-1,
    ) as running:
        assert running.stdout.readline() == b"started\n"
        family = running.children(recursive=True)
        assert len(family) >= 2  # each a process of the submission
        running.kill()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive


# --------------------------------------------------------------------------------------------
# No idle cores.


class Overlapping:
    """A store and a sandbox whose first prediction ends only when the second events are made."""

    def __init__(self):
        self.second_made = threading.Event()
        self.filled, self.measured = [], []

    def plan(self, **_):
        return SimpleNamespace(n_events=len(self.filled))

    def block(self, n_events, number):
        return number

    def fill(self, plan, block, *, threads):
        assert threads == 3, "as many threads as the worker has"
        self.filled.append(block)
        if len(self.filled) == 2:
            self.second_made.set()

    def predict(self, n_events, number, *, seed, timeout):
        if not self.measured:
            assert self.second_made.wait(60), "the next events are not made during a prediction"
        assert len(self.filled) - len(self.measured) <= 2, "no block is filled that is in use"
        self.measured.append((n_events, number))
        return {"mu_hat": float(n_events)}


def test_the_next_events_are_made_while_one_experiment_is_measured():
    both = Overlapping()
    worker = Worker(both, both, Draws(1, {}), None, threads=3)
    tasks = [Task(0, number) for number in range(5)]
    assert [task for task, _ in worker.run_all(tasks)] == tasks
    assert both.measured == [(0, 0), (1, 1), (2, 0), (3, 1), (4, 0)]


NEVER_PICKLED = MODEL.replace("self.mean =", "self.keep = lambda: 0; self.mean =")


@pytest.mark.parametrize(
    ("model", "workers", "threads"), [(MODEL, 1, 4), (MODEL, 2, 2), (NEVER_PICKLED, 2, 4)]
)
def test_those_who_measure_share_all_processors_to_make_events(
    dataset, tmp_path, monkeypatch, expected, model, workers, threads
):
    used, fill = set(), EventStore.fill

    def recorded(*arguments, threads):
        used.add(threads)
        fill(*arguments, threads=threads)

    monkeypatch.setattr(EventStore, "fill", recorded)
    monkeypatch.setattr(processes, "available_processors", lambda: 4)
    submission = write_submission(tmp_path / "submission", model)
    output = tmp_path / "output"
    run_ingestion(options(dataset, submission, output, workers=workers, repeatable="off"))
    assert used == {threads}
    for number in range(SETS):
        name = f"result_{number}.json"
        assert (output / name).read_bytes() == expected[name]


WAITS_FOR_OTHERS = """
import os, time
from pathlib import Path

PLACE = Path({place!r})
(PLACE / str(os.getpid())).touch()


class Model:
    def __init__(self, get_train_set, systematics):
        pass

    def fit(self):
        for _ in range(600):
            if len(list(PLACE.iterdir())) == 3:
                return
            time.sleep(0.1)
        raise TimeoutError("the workers have not imported this module")

    def predict(self, test_set):
        return dict(mu_hat=1.0, delta_mu_hat=0.1, p16=0.9, p84=1.1)
"""


def test_workers_import_the_submission_while_the_first_one_fits(dataset, tmp_path):
    place = tmp_path / "imported"
    place.mkdir()
    submission = tmp_path / "submission"
    submission.mkdir()
    (submission / "model.py").write_text(WAITS_FOR_OTHERS.format(place=str(place)))
    run_ingestion(
        options(dataset, submission, tmp_path / "out", workers=2, isolation="off", repeatable="off")
    )
    assert len(list(place.iterdir())) == 3, "each process imports it once"


def test_a_cluster_gets_tasks_as_it_finishes_others(
    dataset, submission, expected, dask_cluster, tmp_path, monkeypatch
):
    monkeypatch.setattr(cluster, "_AT_A_TIME", 3)
    sent = []
    submit = cluster._submit
    monkeypatch.setattr(
        cluster, "_submit", lambda *parts: sent.append(len(parts[-1])) or submit(*parts)
    )
    run_ingestion(
        options(
            dataset,
            submission,
            tmp_path,
            scheduler=dask_cluster.scheduler_address,
            repeatable="off",  # which the settings tell of, but no result
        )
    )
    without = {name: text for name, text in expected.items() if name.startswith("result_")}
    assert results(tmp_path).items() >= without.items()
    assert sum(sent) == SETS * EXPERIMENTS
    assert max(sent) == 3


def test_processors_are_those_that_this_process_may_use(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    limit = tmp_path / "cpu.max"
    monkeypatch.setattr(budgets, "_CGROUP_PROCESSORS", ((str(limit),),))
    assert budgets.available_processors() == 6
    for text, expected in (("max 100000", 6), ("250000 100000", 2), ("50000 100000", 1)):
        limit.write_text(text)
        assert budgets.available_processors() == expected
    few = IngestionOptions(tmp_path, tmp_path, tmp_path, num_of_sets=1, num_pseudo_experiments=3)
    limit.write_text("max 100000")
    assert few.processes == 3, "no more than there are pseudo-experiments"


SLOW = """
import os, time
from pathlib import Path


class Model:
    def __init__(self, get_train_set, systematics):
        pass

    def fit(self):
        pass

    def predict(self, test_set):
        if os.fork() == 0:
            time.sleep(600)
        Path({marker!r}).touch()
        time.sleep(600)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_nothing_stays_after_a_signal_that_ends_the_run(dataset, tmp_path, name):
    marker, temporary, submission = (tmp_path / part for part in ("marker", "tmp", "submission"))
    temporary.mkdir()
    submission.mkdir()
    (submission / "model.py").write_text(SLOW.format(marker=str(marker)))
    command = [HIGGSML, "run", submission, "--input", dataset, "--output", tmp_path / "out"]
    with psutil.Popen(
        [*map(str, command), "--isolation", "off", "--workers", "2"],
        env=ENVIRONMENT | {"TMPDIR": str(temporary)},
        stderr=-1,
        # A shell has what it starts in the background ignore SIGINT, and nohup SIGHUP.
        preexec_fn=partial(signal.signal, getattr(signal, name), signal.SIG_DFL),
    ) as running:
        deadline = time.monotonic() + 200
        while not marker.exists():
            assert time.monotonic() < deadline
            assert running.poll() is None, running.stderr.read()
            time.sleep(0.1)
        started = running.children(recursive=True)
        assert started
        running.send_signal(getattr(signal, name))
        assert running.wait(100) != 0
    _, alive = psutil.wait_procs(started, timeout=20)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
    assert list(temporary.iterdir()) == []
    assert not list((tmp_path / "out").glob("predictions/*"))


SAVES = """
from pathlib import Path
import tempfile
class Model:
    def __init__(self, get_train_set, systematics): ...
    def fit(self):
        self.place = {place}
        (self.place / "trained.txt").write_text("1.5")
    def predict(self, test_set):
        place = Path(__file__).parent if {beside} else self.place
        mu = float((place / "trained.txt").read_text())
        return {{"mu_hat": mu, "delta_mu_hat": 0.5, "p16": mu - 0.5, "p84": mu + 0.5}}
"""


@pytest.mark.parametrize("isolation", ["prefer", "off"])
@pytest.mark.parametrize("beside", [True, False])
def test_what_fit_saves_is_found_by_every_worker(dataset, tmp_path, caplog, beside, isolation):
    """Files beside model.py go along with the Model; where others are missed, one does all."""
    place = "Path(__file__).parent" if beside else "Path(tempfile.mkdtemp())"
    submission = tmp_path / "saves"
    submission.mkdir()
    (submission / "model.py").write_text(SAVES.format(place=place, beside=beside))
    run_ingestion(options(dataset, submission, tmp_path / "out", workers=2, isolation=isolation))
    results = load_predictions(
        tmp_path / "out", load_settings(tmp_path / "out" / "test_settings.json", with_truth=True)
    )
    assert all((one.mu_hat == 1.5).all() for one in results.values())
    one_worker = "one worker makes all predictions" in caplog.text
    assert one_worker == (not beside and isolation != "off")
    if isolation != "off":
        assert [path.name for path in submission.iterdir()] == ["model.py"]
