"""Answers that depend on other pseudo-experiments are found out; honest ones never are."""

import importlib.util
import math
import pickle
import textwrap
from functools import cache

import numpy as np
import pytest

from HiggsML.datasets import Data
from HiggsML.errors import SubmissionError, TimeLimitError
from HiggsML.generator import generate_dataset
from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.ingestion.repeatability import LEAST, ask_again, chosen, detection_probability
from HiggsML.ingestion.workers import Task
from HiggsML.pseudo_experiments import EventStore, Purpose, draw_mu, draw_order, seed_sequence
from HiggsML.results import Answer
from HiggsML.score import run_scoring

TASKS = [Task(i, j) for i in range(10) for j in range(100)]
ANSWER = Answer(mu_hat=1.0, delta_mu_hat=0.1, p16=0.9, p84=1.1)


def answered(task, **changes):
    return task, ANSWER._replace(**changes)


# --- which, and how they are compared -----------------------------------------------------------


def test_three_percent_are_chosen_at_least_twenty_in_another_order():
    few = chosen(7, TASKS)
    assert len(few) == len(set(few)) == 30
    assert few == chosen(7, reversed(TASKS)) != chosen(8, TASKS)
    assert few != sorted(few)
    assert sorted(chosen(7, TASKS[:12])) == TASKS[:12]
    assert len(chosen(7, TASKS[:400])) == LEAST


def test_what_was_measured_before_all_others_is_not_asked_first():
    # Nothing had been remembered then: a memory that is full after one pseudo-experiment, as that
    # of a test set's leptons, would be the same.
    for seed in range(100):
        first = [Task._make(task) for task in draw_order(seed, 1, 3)]
        assert chosen(seed, first)[0] != first[0]
        assert sorted(chosen(seed, first)) == sorted(first)
        assert chosen(seed, first[1:])[0] == first[2]  # of two, say after an interruption
    assert chosen(1, []) == []
    assert chosen(1, [Task(0, 0)]) == [Task(0, 0)]


def test_the_probability_to_ask_one_of_those_that_are_affected():
    # By hand: 30 of 1000 are drawn without putting back.
    missed = math.prod((900 - k) / (1000 - k) for k in range(30))
    assert detection_probability(1000, 100) == pytest.approx(1 - missed)
    assert detection_probability(1000, 1000) == 1
    rng = np.random.default_rng(1)
    caught = [
        any(task.experiment < 10 for task in chosen(int(seed), TASKS))
        for seed in rng.integers(0, 2**60, 500)
    ]
    assert np.mean(caught) == pytest.approx(1 - missed, abs=0.03)


@pytest.mark.parametrize(
    ("again", "state"),
    [
        ({}, "yes"),
        ({"mu_hat": 1.0 + 0.9e-3 * 0.2}, "yes"),
        ({"mu_hat": 1.0 + 1.1e-3 * 0.2}, "no"),
        ({"delta_mu_hat": 0.11}, "no"),
        ({"p16": 0.89}, "no"),
        ({"p84": 1.11}, "no"),
    ],
)
def test_every_number_is_the_same_within_a_thousandth_of_the_interval(again, state):
    def ask(tasks):
        return [answered(task, **again) for task in tasks]

    found = ask_again(TASKS[:3], dict(map(answered, TASKS)), ask)
    assert found.state == state
    if state == "no":
        assert "3 of 3 answers differ" in found.why
        assert "let predict keep nothing of earlier ones" in found.why


def test_an_interval_without_width_must_be_the_same():
    point = {"p16": 1.0, "p84": 1.0}
    before = {TASKS[0]: ANSWER._replace(**point)}
    assert ask_again(TASKS[:1], before, lambda t: [answered(t[0], **point)]).state == "yes"
    moved = ask_again(TASKS[:1], before, lambda t: [answered(t[0], **point, mu_hat=1.001)])
    assert moved.state == "no"


def test_a_swapped_interval_repeats_as_well_as_any_other():
    swapped = {"p16": 1.1, "p84": 0.9}
    before = {TASKS[0]: ANSWER._replace(**swapped)}

    def again(mu):
        return ask_again(TASKS[:1], before, lambda t: [answered(t[0], **swapped, mu_hat=mu)]).state

    assert again(1.0 + 1e-9) == "yes"
    assert again(1.0 + 1e-3) == "no"


def test_randomness_without_a_seed_is_told_apart():
    rng = np.random.default_rng(3)

    def ask(tasks):
        return [answered(task, mu_hat=rng.normal(1, 0.1)) for task in tasks]

    found = ask_again(TASKS[:3], dict(map(answered, TASKS)), ask)
    assert found.state == "no"
    assert "uses random numbers without a seed" in found.why


@pytest.mark.parametrize("error", [TimeLimitError("the deadline came"), SubmissionError("no file")])
def test_what_can_not_be_asked_is_not_checked(error):
    def ask(tasks):
        raise error

    found = ask_again(TASKS[:3], dict(map(answered, TASKS)), ask)
    assert found.state == "not checked"
    assert str(error) in found.why


# --- Models that remember, on 10 x 100 real pseudo-experiments ----------------------------------


class LeptonMemory:
    """Counts leptons that it has not seen before: what is new is more likely to be signal."""

    share = 1.0

    def __init__(self):
        self.seen = set()

    def predict(self, data):
        leptons = set(data["PRI_lep_pt"])
        new = len(leptons - self.seen)
        old = len(leptons & self.seen)
        self.seen |= leptons
        honest = 0.001 * len(data)
        uses = self.share == 1 or float(data["PRI_met"].iloc[0]) * 1e4 % 1 < self.share
        return honest + 0.1 * new / (new + old) if uses else honest


class EstimateMemory:
    """Averages with the past estimates that are near: those of the same set share one mu."""

    share = 1.0

    def __init__(self):
        self.past = []

    def predict(self, data):
        honest = 0.001 * len(data)
        near = [one for one in self.past if abs(one - honest) < 0.5]
        self.past.append(honest)
        uses = self.share == 1 or float(data["PRI_met"].iloc[0]) * 1e4 % 1 < self.share
        return float(np.mean([*near, honest])) if uses else honest


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    generate_dataset(directory, scenario="mini", events=3000, seed=5)
    return directory


@pytest.fixture(scope="module")
def experiments(dataset):
    store = EventStore.from_data(Data(dataset))
    names = ("PRI_lep_pt", "PRI_met")

    @cache
    def make(task):
        mu = draw_mu(4, task.set_index)
        seed = seed_sequence(4, Purpose.EVENTS, *task)
        # A twentieth of the events: enough to be recognized.
        return store.pseudo_experiment(mu=mu, nuisances={}, seed=seed)["data"][::20][list(names)]

    return make


@pytest.mark.parametrize("share", [1.0, 0.1])
@pytest.mark.parametrize("kind", [LeptonMemory, EstimateMemory])
def test_remembering_models_are_caught(kind, share, experiments):
    model = kind()
    model.share = share
    state = pickle.dumps(model)

    def answer(model, task):
        mu = model.predict(experiments(task))
        return Answer(mu_hat=mu, delta_mu_hat=0.1, p16=mu - 0.1, p84=mu + 0.1)

    def ask(tasks):
        fresh = pickle.loads(state)
        return [(task, answer(fresh, task)) for task in tasks]

    order = [Task(*pair) for pair in draw_order(4, 10, 100)]
    answers = {task: answer(model, task) for task in order}
    alone = {task: answer(pickle.loads(state), task) for task in order}
    affected = [t for t in order if abs(alone[t].mu_hat - answers[t].mu_hat) > 0.2e-3]
    assert len(affected) > 0.75 * share * len(order)
    expected = detection_probability(len(order), len(affected))
    assert expected > (0.999 if share == 1 else 0.9)
    caught = [ask_again(chosen(seed, order), answers, ask).state == "no" for seed in range(40)]
    assert np.mean(caught) >= expected - 3 * math.sqrt(expected * (1 - expected) / 40) - 1e-9


# --- in real processes --------------------------------------------------------------------------

MODEL = """
import numpy as np
{top}

class Model:
    def __init__(self, get_train_set, systematics):
        self.train = get_train_set(train_size=500)

    def fit(self):
        x = self.train.drop(columns=["weights", "labels", "detailed_labels"]).to_numpy()
        y = self.train["labels"].to_numpy()
        {fit}

    def predict(self, test_set):
        data = test_set["data"]
        x = data.to_numpy()
        mu = 1.0
        {predict}
        return {{"mu_hat": mu, "delta_mu_hat": 0.1, "p16": mu - 0.1, "p84": mu + 0.1}}
"""


def write(directory, top="", fit="pass", predict=""):
    directory.mkdir(parents=True, exist_ok=True)
    indented = [
        textwrap.indent(textwrap.dedent(one).strip(), 8 * " ").strip() for one in (fit, predict)
    ]
    text = MODEL.format(top=textwrap.dedent(top), fit=indented[0], predict=indented[1])
    (directory / "model.py").write_text(text)
    return directory


def run(dataset, tmp_path, submission, **keywords):
    defaults = {
        "num_of_sets": 2,
        "num_pseudo_experiments": 6,
        "systematics": {"tes": True},
        "seed": 5,
        "repeatable": "require",
        "workers": 1,
    }
    return run_ingestion(
        IngestionOptions(dataset, submission, tmp_path / "out", **(defaults | keywords))
    )


REMEMBERING = {
    "attributes": ("", "self.n = 0", "self.n += 1; mu += self.n"),
    "a module": ("import math", "pass", "math.n = getattr(math, 'n', 0) + 1; mu += math.n"),
    "a file": (
        "from pathlib import Path",
        "pass",
        """
        file = Path("seen")
        with file.open("a") as log: log.write("x")
        mu += file.stat().st_size
        """,
    ),
    "shared memory": (
        "from multiprocessing.shared_memory import SharedMemory",
        "self.name = 'attack-seen'",
        """
        try: block = SharedMemory(self.name, create=True, size=1)
        except FileExistsError: block = SharedMemory(self.name)
        block.buf[0] += 1
        mu += block.buf[0]
        """,
    ),
    "a process": (
        "import multiprocessing",
        "pass",
        """
        global ask, child
        if "ask" not in globals():
            ask, far = multiprocessing.Pipe()
            def count():
                n = 0
                while far.recv(): n += 1; far.send(n)
            child = multiprocessing.Process(target=count, daemon=True)
            child.start()
        ask.send(1)
        mu += ask.recv()
        """,
    ),
}  # fmt: skip


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", REMEMBERING)
def test_memory_of_every_kind_is_found_out(dataset, tmp_path, name, workers):
    if workers == 2 and name != "shared memory":
        pytest.skip("the same with one worker")
    submission = write(tmp_path / "submission", *REMEMBERING[name])
    with pytest.raises(SubmissionError, match="differ when they are asked for again") as caught:
        run(dataset, tmp_path, submission, workers=workers)
    assert "let predict keep nothing of earlier ones" in str(caught.value)
    assert not (tmp_path / "out" / "test_settings.json").exists()


def test_at_home_memory_is_reported(dataset, tmp_path):
    submission = write(tmp_path / "submission", *REMEMBERING["attributes"])
    settings = run(dataset, tmp_path, submission, repeatable="report")
    assert settings.details["repeatable"] == "no"
    assert any("of 12 answers differ" in notice for notice in settings.notices)
    assert run_scoring(tmp_path / "out", tmp_path / "scores")["repeatable"] == 0
    assert "of 12 answers differ" in (tmp_path / "scores" / "detailed_results.html").read_text()


def test_a_generator_without_a_seed_is_named(dataset, tmp_path):
    submission = write(tmp_path / "submission", predict="mu += np.random.default_rng().normal()")
    with pytest.raises(SubmissionError, match="Seed them, or use the global"):
        run(dataset, tmp_path, submission)


UNPICKLABLE = ("", "self.f = lambda x: x", "mu += float(self.f(x[0, 0]))")


def test_a_model_that_can_not_be_pickled_is_fitted_again(dataset, tmp_path):
    settings = run(dataset, tmp_path, write(tmp_path / "submission", *UNPICKLABLE), workers=2)
    assert settings.details["repeatable"] == "yes"
    remembers = (UNPICKLABLE[0], "self.f = lambda x: x; self.n = 0", "self.n += 1; mu += self.n")
    with pytest.raises(SubmissionError, match="differ when they are asked for again"):
        run(dataset, tmp_path, write(tmp_path / "submission", *remembers))


def test_where_there_is_no_time_the_report_says_so(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("HiggsML.ingestion.stages.repeat._SHORT_FIT", 0.0)
    monkeypatch.setattr("HiggsML.ingestion.stages.repeat._SHARE_FOR_SECOND_FIT", 0.0)
    submission = write(tmp_path / "submission", *UNPICKLABLE)
    settings = run(dataset, tmp_path, submission, repeatable="report")
    assert settings.details["repeatable"] == "not checked"
    assert any("no time was left to ask again" in notice for notice in settings.notices)
    assert run_scoring(tmp_path / "out", tmp_path / "scores")["repeatable"] == 0.5


HONEST = {
    "trees": (
        "from sklearn.ensemble import HistGradientBoostingClassifier",
        "self.m = HistGradientBoostingClassifier(max_iter=5).fit(x, y)",
        "mu += self.m.predict_proba(x)[:, 1].mean()",
    ),
    "a forest in threads": (
        "from sklearn.ensemble import RandomForestClassifier",
        "self.m = RandomForestClassifier(5, max_depth=3, n_jobs=2).fit(np.nan_to_num(x), y)",
        "mu += self.m.predict_proba(np.nan_to_num(x))[:, 1].mean()",
    ),
    "a network": (
        "from sklearn.neural_network import MLPClassifier",
        "self.m = MLPClassifier((8,), max_iter=5).fit(np.nan_to_num(x), y)",
        "mu += self.m.predict_proba(np.nan_to_num(x))[:, 1].mean()",
    ),
    "global randomness": (
        "import random",
        "pass",
        "mu += np.random.normal() + random.random()",
    ),
    "a generator of its own": (
        "",
        "self.rng = np.random.default_rng(3); self.old = np.random.RandomState(4)",
        "mu += self.rng.normal() + self.old.normal()",
    ),
    "a generator of its module, without a seed": (
        "RNG = {'a': [np.random.default_rng()]}",
        "pass",
        "mu += RNG['a'][0].normal()",
    ),
    "a fixed seed in each prediction": (
        "",
        "pass",
        "mu += np.random.default_rng(1).normal(size=len(x)).mean()",
    ),
    "a bootstrap": (
        "",
        "pass",
        "mu += np.std([np.random.choice(x[:, 0], len(x)).mean() for _ in range(20)])",
    ),
    "a cache in memory": (
        "from functools import lru_cache\n@lru_cache\ndef cost(n): return n ** 0.5",
        "self.seen = {}",
        "mu += self.seen.setdefault(len(x), cost(len(x)))",
    ),
    "a cache on disk": (
        "import joblib\nmemory = joblib.Memory('cache', verbose=0)\n"
        "@memory.cache\ndef cost(n): return n ** 0.5",
        "pass",
        "mu += cost(len(x))",
    ),
    "a file that fit has written": (
        "from pathlib import Path",
        "np.save('weights.npy', x[:9]); self.path = Path('weights.npy').resolve()",
        "mu += np.nanmean(np.load(self.path))",
    ),
    "threads": (
        "from concurrent.futures import ThreadPoolExecutor",
        "pass",
        "mu += sum(ThreadPoolExecutor(3).map(np.nanmean, np.array_split(x, 3)))",
    ),
    "own processes": (
        "import multiprocessing",
        "pass",
        """
        with multiprocessing.Pool(2) as pool:
            mu += sum(pool.map(np.nanmean, np.array_split(x, 2)))
        """,
    ),
    "a minimizer": (
        "from scipy.optimize import minimize",
        "pass",
        "mu += minimize(lambda v: ((v - x[:, 0]) ** 2).mean(), [1.0]).x[0] / 100",
    ),
    "torch": (
        "import torch",
        "self.m = torch.nn.Sequential(torch.nn.Linear(28, 4), torch.nn.Dropout(0.5))",
        "mu += float(self.m(torch.nan_to_num(torch.tensor(x.copy()))).mean()) / 100",
    ),
    "xgboost": (
        "import xgboost",
        "self.m = xgboost.XGBClassifier(n_estimators=5).fit(x, y)",
        "mu += float(self.m.predict_proba(x)[:, 1].mean())",
    ),
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_models_are_never_caught(dataset, tmp_path, name):
    if name in ("torch", "xgboost") and importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    settings = run(dataset, tmp_path, write(tmp_path / "submission", *HONEST[name]))
    assert settings.details["repeatable"] == "yes"
