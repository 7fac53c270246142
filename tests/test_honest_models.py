"""An honest model sees no difference between the restricted process and any other."""

import shutil
import subprocess
import sys
import textwrap

import pytest

from HiggsML.generator import generate_dataset
from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.results import load_predictions

MODEL = """
import asyncio, json, logging, multiprocessing, os, pickle, sqlite3, subprocess
import tempfile, threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

import helper

LABELS = ["weights", "labels", "detailed_labels"]


def square(x):
    return x * x


def lend(queue, connection):
    queue.put(connection)
    connection.recv()


class Model:
    def __init__(self, get_train_set, systematics):
        self.train = get_train_set(train_size=800)
        again = get_train_set(selected_indices=[0, 5, 5, 7])
        assert len(again) == 4 and again.iloc[1].equals(again.iloc[2])
        self.shifted = systematics(self.train, tes=1.01, seed=3)

    def fit(self):
        x, y = self.train.drop(columns=LABELS).to_numpy(), self.train["labels"].to_numpy()
        self.trees = HistGradientBoostingClassifier(max_iter=3).fit(x, y)
        self.line = LogisticRegression(max_iter=5).fit(np.nan_to_num(x[:, :3]), y)
        {body}

    def predict(self, test_set):
        data = test_set["data"]
        data["PRI_met"] += 0.0  # models may work in place
        score = float(self.trees.predict_proba(data.to_numpy())[:, 1].mean())
        low, half = np.array([score - 1]), np.float32(0.5)
        return {{"mu_hat": score, "delta_mu_hat": half, "p16": low, "p84": 3}}
"""

BODIES = {
    "libraries and files": """
weights = np.load(Path(__file__).parent / "weights" / "w.npy")
assert weights.sum() == helper.TOTAL
assert json.loads((Path(__file__).parent / "settings.json").read_text()) == {"a": 1}
with tempfile.TemporaryDirectory() as directory:
    path = Path(directory) / "x"
    path.write_bytes(bytes(1 << 20))
    shutil_copy = __import__("shutil").copy(path, Path(directory) / "y")
    self.train.to_parquet(Path(directory) / "t.parquet")
    assert len(pd.read_parquet(Path(directory) / "t.parquet")) == len(self.train)
    joblib.dump(self.trees, Path(directory) / "m")
    np.memmap(Path(directory) / "m.dat", dtype="f4", mode="w+", shape=(100, 100))[:] = 1
    sqlite3.connect(Path(directory) / "db").execute("create table t (x)")
Path("in the working directory").write_text("x")
(Path.home() / ".config").mkdir(exist_ok=True)
logging.getLogger("mine").warning("a line of the log")
assert subprocess.run(["uname"], capture_output=True, check=True).stdout
from scipy.optimize import minimize
minimize(lambda v: ((v - 1) ** 2).sum(), np.zeros(3))
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
plt.plot([1, 2])
plt.savefig("plot.png")
""",
    "threads and processes": """
with ThreadPoolExecutor(4) as pool:
    assert list(pool.map(square, range(4))) == [0, 1, 4, 9]
with multiprocessing.Pool(2) as pool:
    assert pool.map(square, range(4)) == [0, 1, 4, 9]
with ProcessPoolExecutor(2) as pool:
    assert list(pool.map(square, range(4))) == [0, 1, 4, 9]
queue = multiprocessing.Queue()
process = multiprocessing.Process(target=queue.put, args=(5,))
process.start()
assert queue.get(timeout=30) == 5
process.join()
lock, value = multiprocessing.Lock(), multiprocessing.Value("i", 0)
from multiprocessing import shared_memory
block = shared_memory.SharedMemory(create=True, size=1000)
block.close()
block.unlink()
for backend in ("loky", "multiprocessing"):
    pool = joblib.Parallel(n_jobs=2, backend=backend)
    assert pool(joblib.delayed(square)(i) for i in range(4)) == [0, 1, 4, 9]
forest = RandomForestClassifier(n_estimators=4, max_depth=2, n_jobs=2, random_state=1)
values = np.nan_to_num(x[:, :3])
assert len(cross_val_score(forest, values, y, cv=2, n_jobs=2)) == 2
for method in ("fork", "spawn"):
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        assert pool.map(abs, range(-3, 0)) == [3, 2, 1]
    with context.Manager() as manager:  # a process that others find, by a socket or without one
        shared = manager.dict()
        process = context.Process(target=shared.update, args=({"a": 7},))
        process.start()
        process.join()
        assert dict(shared) == {"a": 7}
    queue, (mine, theirs) = context.Queue(), context.Pipe()
    process = context.Process(target=lend, args=(queue, theirs))
    process.start()
    borrowed = queue.get(timeout=60)  # a descriptor of the other process
    borrowed.send(8)
    assert mine.recv() == 8
    mine.send("thanks")
    process.join()
try:
    shared.copy()
    raise AssertionError("the manager has ended")
except (OSError, EOFError):
    pass
asyncio.run(asyncio.sleep(0))
threads = joblib.Parallel(n_jobs=2, prefer="threads")
assert threads(joblib.delayed(square)(i) for i in range(3)) == [0, 1, 4]
""",
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    generate_dataset(directory, scenario="mini", events=3000, seed=5)
    return directory


def write(folder, body):
    (folder / "weights").mkdir(parents=True)
    indented = textwrap.indent(body, " " * 8).strip()
    (folder / "model.py").write_text(MODEL.format(body=indented))
    (folder / "helper.py").write_text("TOTAL = 10")
    (folder / "settings.json").write_text('{"a": 1}')
    import numpy as np

    np.save(folder / "weights" / "w.npy", np.arange(5))


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_the_same_answers_with_and_without_isolation(dataset, tmp_path, body):
    write(tmp_path / "submission", body)
    answers = {}
    for isolation in ("off", "require"):
        options = IngestionOptions(
            dataset,
            tmp_path / "submission",
            tmp_path / isolation,
            1,
            2,
            seed=4,
            workers=1,
            isolation=isolation,
        )
        settings = run_ingestion(options)
        answers[isolation] = load_predictions(tmp_path / isolation, settings)
    assert answers["off"][0].mu_hat.tolist() == answers["require"][0].mu_hat.tolist()


def test_a_zip_and_two_workers_give_the_same(dataset, tmp_path):
    write(tmp_path / "submission", "pass")
    shutil.make_archive(str(tmp_path / "s"), "zip", tmp_path, "submission")
    results = {}
    for name, submission, workers in (
        ("directory", tmp_path / "submission", 1),
        ("zip", tmp_path / "s.zip", 2),
    ):
        options = IngestionOptions(
            dataset, submission, tmp_path / name, 1, 3, seed=4, workers=workers
        )
        settings = run_ingestion(options)
        results[name] = load_predictions(tmp_path / name, settings)[0].mu_hat.tolist()
    assert results["zip"] == results["directory"]


CHOICES = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from HiggsML.isolation.inside.child import _fork_by_default

contexts = multiprocessing.context
contexts._default_context._default_context = multiprocessing.get_context("forkserver")
_fork_by_default()
if sys.argv[1] == "ask":
    assert ProcessPoolExecutor(1)._mp_context.get_start_method() == "fork"
    assert multiprocessing.get_start_method() == "fork"
else:
    multiprocessing.set_start_method("spawn")
    assert multiprocessing.get_start_method() == "spawn"
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
@pytest.mark.parametrize("what", ["ask", "choose"])
def test_processes_are_forked_by_default_whatever_the_version_of_python(what):
    subprocess.run([sys.executable, "-c", CHOICES, what], check=True)


WHEREVER = """
import multiprocessing, sys
from pathlib import Path
from HiggsML.ingestion import IngestionOptions, run_ingestion

if __name__ == "__main__":
    multiprocessing.set_start_method("forkserver")  # the default of Python 3.14
    dataset, submission, output = map(Path, sys.argv[1:])
    run_ingestion(IngestionOptions(dataset, submission, output, 1, 2, workers=2))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
def test_workers_do_not_depend_on_the_default_way_to_start_processes(dataset, tmp_path):
    write(tmp_path / "submission", "pass")
    (tmp_path / "script.py").write_text(WHEREVER)
    places = [str(dataset), str(tmp_path / "submission"), str(tmp_path / "output")]
    subprocess.run([sys.executable, str(tmp_path / "script.py"), *places], check=True)
    assert (tmp_path / "output" / "result_0.json").exists()
