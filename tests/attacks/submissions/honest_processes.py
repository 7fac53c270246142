"""Use processes, locks and shared memory as libraries do. Must: work everywhere."""

import mmap
import multiprocessing
import os
import tempfile
from multiprocessing import shared_memory

import joblib
from attack import ANSWER, Honest, must_be_false

ALONE = True
WORKERS = 2


def square(x):
    return x * x


def work(context):
    with context.Pool(2) as pool:
        assert pool.map(abs, range(-3, 0)) == [3, 2, 1]
    lock, value = context.Lock(), context.Value("i", 0)
    with lock:
        value.value += 1
    block = shared_memory.SharedMemory("attack-honest", create=True, size=1000)
    again = shared_memory.SharedMemory("attack-honest")
    block.buf[:3] = b"abc"
    assert bytes(again.buf[:3]) == b"abc"
    again.close()
    block.close()
    block.unlink()


class Model(Honest):
    def predict(self, test_set):
        work(multiprocessing.get_context("fork"))
        for backend in ("loky", "multiprocessing"):
            pool = joblib.Parallel(n_jobs=2, backend=backend)
            assert pool(joblib.delayed(square)(i) for i in range(4)) == [0, 1, 4, 9]
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.map(abs, [-1]) == [1]
        shared = mmap.mmap(-1, 100)
        if os.fork() == 0:
            shared[:1] = b"x"
            os._exit(0)
        os.wait()
        assert shared[:1] == b"x"
        with tempfile.NamedTemporaryFile("w+") as file:
            os.link(file.name, f"{file.name}-2")
            os.unlink(f"{file.name}-2")
        must_be_false("anything unusual", False)
        return dict(ANSWER)
