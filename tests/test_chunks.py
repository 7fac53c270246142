"""Chunks: every row once, whatever the threads; the first exception comes through."""

import threading

import numpy as np
import pytest

from HiggsML.physics import chunks
from HiggsML.physics.chunks import (
    CHUNK_ROWS,
    PIECE_ROWS,
    pieces,
    run_beside,
    run_in_chunks,
    threads_for,
)


@pytest.mark.parametrize("threads", [1, 3])
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

    run_in_chunks(n_rows, work, threads=threads)
    assert (seen == 1).all()
    assert sorted(numbers) == list(range(chunks_expected))


@pytest.mark.parametrize("n_rows", [CHUNK_ROWS + 1, 949_007, 20 * CHUNK_ROWS - 7])
def test_chunks_can_be_shared_fairly_among_two_and_four_threads(n_rows):
    sizes = []
    run_in_chunks(n_rows, lambda _, rows: sizes.append(rows.stop - rows.start), threads=1)
    assert len(sizes) % 4 == 0
    assert max(sizes) <= CHUNK_ROWS
    assert max(sizes) - min(sizes) <= 1


def test_an_exception_in_a_thread_is_raised():
    def work(number, rows):
        if number == 1:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_in_chunks(3 * CHUNK_ROWS, work, threads=2)


def test_chunks_are_worked_on_at_the_same_time():
    barrier = threading.Barrier(3, timeout=60)
    met = []

    def work(number, rows):
        if number < 3:
            met.append(barrier.wait())  # passes when three threads are here

    run_in_chunks(5 * CHUNK_ROWS, work, threads=3)
    assert sorted(met) == [0, 1, 2]


@pytest.mark.parametrize(("threads", "most"), [(1, PIECE_ROWS), (2, CHUNK_ROWS)])
@pytest.mark.parametrize("size", [0, 1, PIECE_ROWS, PIECE_ROWS + 1, CHUNK_ROWS])
def test_every_row_of_a_chunk_belongs_to_one_piece(size, threads, most):
    rows = slice(1000, 1000 + size)
    found = list(pieces(rows, threads))
    numbers = [number for piece in found for number in range(piece.start, piece.stop)]
    assert numbers == list(range(rows.start, rows.stop))
    sizes = [piece.stop - piece.start for piece in found]
    assert max(sizes, default=0) <= most
    assert max(sizes, default=0) - min(sizes, default=0) <= 1


@pytest.mark.parametrize(("text", "threads"), [("3", 3), ("0", None), ("", None), ("many", None)])
def test_the_usual_variable_limits_the_threads(monkeypatch, text, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    monkeypatch.setattr(chunks.os, "cpu_count", lambda: 5)
    assert threads_for(10 * CHUNK_ROWS) == (threads or 5)
    assert threads_for(10) == 1


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
