import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jax import export


def fit(x, y):
    def loss(w):
        return jnp.mean(jnp.logaddexp(0.0, -(2 * y - 1) * (x @ w)))

    step = jax.jit(lambda w: w - 0.1 * jax.grad(loss)(w))
    w = jnp.zeros(x.shape[1])
    for _ in range(10):
        w = step(w)
    return w


@jax.jit
def score(w, x):
    return jax.nn.sigmoid(x @ w)


def predict(model, x):
    return np.asarray(score(model, x))


def threads(model, x):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(predict, [model] * 3, np.array_split(x, 3)))


def processes(model, x):
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # its threads survive no fork
        return [pool.apply(predict, (np.asarray(model), x))]


def save_and_load(model, x, directory):
    np.save(directory / "w.npy", model)
    (directory / "score").write_bytes(export.export(score)(model, x).serialize())
    again = export.deserialize((directory / "score").read_bytes())
    return again.call(np.load(directory / "w.npy"), x)


def cache(model, x, directory):
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    again = jax.jit(lambda w, x: jax.nn.sigmoid(x @ w))(model, x)
    assert any(directory.iterdir()), "nothing was written"
    return again
