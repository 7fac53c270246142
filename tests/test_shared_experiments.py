"""Runs that measure together: each pseudo-experiment is made once, and nobody holds others up."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from HiggsML.datasets import Data
from HiggsML.errors import SubmissionError
from HiggsML.ingestion.workers import Draws, SharedExperiments, Task, Worker, shared_experiments
from HiggsML.isolation.wire.shared_memory import SharedBlock
from HiggsML.pseudo_experiments import EventStore
from tests.pipeline_fixtures import tiny_dataset

__all__ = ["tiny_dataset"]

ORDER = [Task(k % 2, k // 2) for k in range(12)]
DRAWS = Draws(5, {"jes": True})


class Submission:
    """Answers with the sum of the events; what it does first is given."""

    def __init__(self, first=lambda task: None):
        self.first, self.seen, self.timeouts = first, 0, []
        self.blocks = {}

    def block(self, n_events, number=0):
        self.blocks[number] = SharedBlock(n_events)
        return self.blocks[number].array(n_events)

    def predict(self, n_events, number=0, *, seed, timeout):
        block = self.blocks[number] if isinstance(number, int) else number
        self.timeouts.append(timeout)
        self.first(self.seen)
        self.seen += 1
        with block.opened():
            return {"mu_hat": float(block.array(n_events).sum(dtype=float)), "seed": seed}

    def kill(self):
        pass


@pytest.fixture(scope="module")
def store(tiny_dataset):
    return EventStore.from_data(Data(tiny_dataset))


@pytest.fixture
def shared(store):
    return SharedExperiments(store, DRAWS, order=ORDER, again=ORDER[3:5], workers=2)


def measure(shared, submissions, tasks=None, deadline=None):
    """Have submissions measure in threads of their own; return answers or failures by name."""
    participants = {name: shared.join(name, deadline=deadline) for name in submissions}

    def run(name):
        participant = participants[name]
        try:
            worker = participant.worker(shared.store, submissions[name], DRAWS)
            return dict(worker.run_all((tasks or {}).get(name, ORDER)))
        except SubmissionError as error:
            return error
        finally:
            participant.leave()

    with ThreadPoolExecutor(len(submissions)) as pool:
        return dict(zip(submissions, pool.map(run, submissions), strict=True))


@pytest.fixture
def expected(store):
    return dict(Worker(store, Submission(), DRAWS, None).run_all(ORDER))


def test_each_is_made_once_and_is_the_one_of_a_run_on_its_own(shared, expected):
    found = measure(shared, {name: Submission() for name in "abcde"})
    assert all(answers == expected for answers in found.values())
    assert (shared.made, shared.shown) == (len(ORDER), 5 * len(ORDER))
    assert not shared._kept


def test_one_that_goes_on_where_it_was_is_shown_the_rest(shared, expected):
    found = measure(shared, {"new": Submission(), "resumed": Submission()}, {"resumed": ORDER[7:]})
    assert found["resumed"] == {task: expected[task] for task in ORDER[7:]}
    assert (shared.made, shared.shown) == (len(ORDER), len(ORDER) + 5)


def test_only_so_many_work_at_a_time_and_nobody_is_far_ahead(shared):
    working, most, spread = [], [], []
    positions = dict.fromkeys("abcd", 0)

    def noting(name):
        def first(seen):
            working.append(name)
            most.append(len(working))
            positions[name] = seen
            spread.append(max(positions.values()) - min(positions.values()))
            time.sleep(0.02 if name == "a" else 0.001)
            working.remove(name)

        return Submission(first)

    measure(shared, {name: noting(name) for name in "abcd"})
    assert max(most) <= 2
    assert max(spread) <= 2 * shared_experiments._AHEAD
    assert shared.made == len(ORDER)


def test_one_that_fails_costs_the_others_nothing(shared, expected):
    def fail(seen):
        if seen == 3:
            raise SubmissionError("no")

    found = measure(shared, {"failing": Submission(fail), "a": Submission(), "b": Submission()})
    assert "pseudo-experiment 1: no" in str(found["failing"])
    assert found["a"] == found["b"] == expected
    assert shared.made == len(ORDER)


def test_one_that_hangs_is_left_behind_and_goes_on_alone(shared, expected, monkeypatch):
    monkeypatch.setattr(shared_experiments, "_LEAST_PATIENCE", 0.3)
    monkeypatch.setattr(shared_experiments, "_FIRST_PATIENCE", 0.3)
    monkeypatch.setattr(shared_experiments, "_TIMES_TYPICAL", 0)
    monkeypatch.setattr(shared_experiments, "_LOOK", 0.05)
    others_are_done = threading.Event()
    ended = []

    def hang(seen):
        if seen == 1:
            assert others_are_done.wait(60)

    def count(seen):
        if seen == len(ORDER) - 1:
            ended.append(True)
            if len(ended) == 2:
                others_are_done.set()

    found = measure(
        shared, {"hangs": Submission(hang), "a": Submission(count), "b": Submission(count)}
    )
    assert found == dict.fromkeys(("hangs", "a", "b"), expected)
    assert shared.made > len(ORDER)  # what it was too late for, it made itself
    assert not shared._kept


def test_waiting_for_others_is_not_in_the_time_of_a_run(shared):
    slow = Submission(lambda seen: time.sleep(0.1))
    quick = Submission()
    found = measure(shared, {"slow": slow, "quick": quick}, deadline=100)
    assert not isinstance(found["quick"], SubmissionError)
    # The slow one slept for 1.2 s, of which the quick one has been charged nothing.
    assert min(slow.timeouts) < 100 - 0.1 * (len(ORDER) - 1)
    assert min(quick.timeouts) > min(slow.timeouts)


def test_an_experiment_that_can_not_be_made_fails_all_that_want_it(shared, monkeypatch):
    def broken(*_):
        raise SubmissionError("no memory")

    monkeypatch.setattr(shared.store, "fill", broken)
    found = measure(shared, {"a": Submission(), "b": Submission()})
    assert [str(error) for error in found.values()] == ["no memory", "no memory"]


def test_those_that_are_asked_again_are_made_once_too(shared):
    def again(participant):
        participant.begin_again()
        worker = participant.worker(shared.store, Submission(), DRAWS)
        asked = [task for task, _ in worker.run_all(ORDER[3:5])]
        # One more look at something earlier is its own affair.
        alone = [task for task, _ in worker.run_all(ORDER[:1])]
        participant.leave()
        return asked, alone

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(again, [shared.join(name) for name in "ab"]))
    assert found == [(ORDER[3:5], ORDER[:1])] * 2
    assert (shared.made, shared.shown) == (4, 6)


def test_stopping_ends_those_that_wait(shared):
    killed = []
    waiting = threading.Event()
    slow = Submission(lambda seen: waiting.wait(60))
    slow.kill = lambda: (killed.append(True), waiting.set())
    stopper = threading.Timer(0.3, shared.stop)
    stopper.start()
    participant = shared.join("slow")
    participant.add(slow)
    other = shared.join("other")
    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(lambda p=p, s=s: list(p.worker(shared.store, s, DRAWS).run_all(ORDER)))
            for p, s in ((participant, slow), (other, Submission()))
        ]
        errors = [run.exception() for run in runs]
    assert killed
    assert any("was stopped" in str(error) for error in errors)


def test_memory_that_is_opened_for_a_reader_has_an_offset_of_its_own():
    block = SharedBlock(3)
    block.array(3)[:] = 7
    with block.opened() as one, block.opened() as other:
        assert one != other
        os.lseek(one, 8, os.SEEK_SET)
        assert os.lseek(other, 0, os.SEEK_CUR) == 0
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(one, b"x")
    block.close()
