import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import lightgbm
import numpy as np


def fit(x, y):
    settings = {"objective": "binary", "num_threads": 2, "verbose": -1, "num_leaves": 7}
    return lightgbm.train(settings, lightgbm.Dataset(x, y), num_boost_round=5)


def predict(model, x):
    return model.predict(x)


def threads(model, x):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(predict, [model] * 3, np.array_split(x, 3)))


def processes(model, x):
    # OpenMP's threads do not survive a fork, so these start afresh.
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return pool.starmap(predict, [(model, part) for part in np.array_split(x, 3)])


def save_and_load(model, x, directory):
    model.save_model(directory / "model.txt")
    return predict(lightgbm.Booster(model_file=directory / "model.txt"), x)


def cache(model, x, directory):
    path = str(directory / "train.bin")
    lightgbm.Dataset(x, np.zeros(len(x)), params={"verbose": -1}).save_binary(path)
    assert lightgbm.Dataset(path, params={"verbose": -1}).construct().num_data() == len(x)
    return predict(model, x)
