import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np


@numba.njit
def slope(x, y):
    return np.array([(x[:, i] * (y - 0.5)).sum() for i in range(x.shape[1])])


@numba.njit(nogil=True)
def linear(w, x):
    return (x * w).sum(axis=1)


@numba.njit(parallel=True)
def in_parallel(w, x):
    result = np.empty(len(x))
    for i in numba.prange(len(x)):
        result[i] = (x[i] * w).sum()
    return result


@numba.njit(cache=True)
def kept(w, x):
    return (x * w).sum(axis=1)


def fit(x, y):
    return slope(x.astype(np.float64), y) / len(x)


def predict(model, x):
    return linear(model, x)


def threads(model, x):
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(predict, [model] * 4, np.array_split(x, 4)))
    return [in_parallel(model, x)]


def processes(model, x):
    with multiprocessing.Pool(2) as pool:
        return pool.starmap(predict, [(model, part) for part in np.array_split(x, 3)])


def save_and_load(model, x, directory):
    return pickle.loads(pickle.dumps(linear))(model, x)


def cache(model, x, directory):
    again = kept(model, x)
    assert kept.stats.cache_misses, "nothing was written"
    return again
