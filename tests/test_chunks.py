"""Chunks: every row once, whatever the threads; the first exception comes through."""

import threading

import numpy as np
import pytest

from HiggsML.physics import chunks
from HiggsML.physics.chunks import CHUNK_ROWS, Scratch, run_beside, run_in_chunks


@pytest.mark.parametrize("threads", [None, 1, 3])
@pytest.mark.parametrize(
    ("n_rows", "chunks_expected"),
    [(0, 0), (1, 1), (CHUNK_ROWS, 1), (CHUNK_ROWS + 1, 4), (20 * CHUNK_ROWS, 20)],
)
def test_every_row_belongs_to_one_chunk(n_rows, chunks_expected, threads):
    seen = np.zeros(n_rows, dtype=int)
    numbers = []

    def work(number, rows):
        seen[rows] += 1
        numbers.append(number)

    run_in_chunks(n_rows, lambda: work, threads=threads)
    assert (seen == 1).all()
    assert sorted(numbers) == list(range(chunks_expected))


@pytest.mark.parametrize("n_rows", [CHUNK_ROWS + 1, 949_007, 20 * CHUNK_ROWS - 7])
def test_chunks_can_be_shared_fairly_among_two_and_four_threads(n_rows):
    sizes = []
    run_in_chunks(n_rows, lambda: lambda _, rows: sizes.append(rows.stop - rows.start), threads=1)
    assert len(sizes) % 4 == 0
    assert max(sizes) == sizes[0] <= CHUNK_ROWS  # so that temporary arrays fit from the start on
    assert max(sizes) - min(sizes) <= 1


def test_an_exception_in_a_thread_is_raised():
    def work(number, rows):
        if number == 1:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_in_chunks(3 * CHUNK_ROWS, lambda: work, threads=2)


def test_every_thread_starts_a_worker_of_its_own():
    started = []
    barrier = threading.Barrier(3, timeout=60)

    def start_worker():
        started.append(threading.get_ident())
        barrier.wait()  # the others start too
        return lambda number, rows: None

    run_in_chunks(5 * CHUNK_ROWS, start_worker, threads=3)
    assert len(set(started)) == 3


def test_scratch_arrays_are_kept_grow_and_do_not_overlap():
    scratch = Scratch(np.float64)
    for size, count in ((5, 2), (3, 3), (5, 3), (8, 1), (8, 4)):
        arrays = scratch.take(count, size)
        assert [(array.shape, array.dtype) for array in arrays] == [((size,), float)] * count
        for number, array in enumerate(arrays):
            array.fill(number)
        assert [set(array) for array in arrays] == [{number} for number in range(count)]
    assert scratch.take(1, 8)[0].base is arrays[0].base


@pytest.mark.parametrize(("text", "threads"), [("3", 3), ("0", None), ("", None), ("many", None)])
def test_the_usual_variable_limits_the_threads(monkeypatch, text, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    monkeypatch.setattr(chunks.os, "cpu_count", lambda: 5)
    assert chunks._available_threads() == (threads or 5)


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("n_rows", [10, 10 * CHUNK_ROWS])
def test_what_runs_beside_gives_its_result_or_its_error(monkeypatch, threads, n_rows):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    where, here = [], threading.current_thread()

    def work():
        where.append(threading.current_thread() is here)
        return 7

    assert run_beside(n_rows, work)() == 7
    assert where == [threads == "1" or n_rows == 10]
    with pytest.raises(ZeroDivisionError):
        run_beside(n_rows, lambda: 1 / 0)()
