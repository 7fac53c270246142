import joblib
import numpy as np
from sklearn.ensemble import RandomForestClassifier


def fit(x, y):
    return RandomForestClassifier(8, max_depth=3, n_jobs=2, random_state=1).fit(x, y)


def predict(model, x):
    return model.predict_proba(x)[:, 1]


def _parallel(model, x, **how):
    work = (joblib.delayed(predict)(model, part) for part in np.array_split(x, 3))
    return joblib.Parallel(n_jobs=2, **how)(work)


def threads(model, x):
    return _parallel(model, x, prefer="threads")


def processes(model, x):
    _parallel(model, x, backend="multiprocessing")
    return _parallel(model, x, backend="loky", max_nbytes=1000)


def save_and_load(model, x, directory):
    joblib.dump(model, directory / "model.joblib", compress=3)
    return predict(joblib.load(directory / "model.joblib", mmap_mode=None), x)


def cache(model, x, directory):
    remembered = joblib.Memory(directory, verbose=0).cache(predict)
    remembered(model, x)
    return remembered(model, x)
