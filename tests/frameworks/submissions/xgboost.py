import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import xgboost


def fit(x, y):
    model = xgboost.XGBClassifier(n_estimators=5, max_depth=3, n_jobs=2, tree_method="hist")
    return model.fit(x, y, eval_set=[(x, y)], verbose=False)


def predict(model, x):
    return model.predict_proba(x)[:, 1]


def threads(model, x):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(predict, [model] * 3, np.array_split(x, 3)))


def processes(model, x):
    # Its threads do not survive a fork, as its manual says, so these start afresh.
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return pool.starmap(predict, [(model, part) for part in np.array_split(x, 3)])


def save_and_load(model, x, directory):
    model.save_model(directory / "model.ubj")
    again = xgboost.XGBClassifier()
    again.load_model(directory / "model.ubj")
    return predict(again, x)


class Parts(xgboost.DataIter):
    def __init__(self, x, prefix):
        self.parts, self.next_one = np.array_split(x, 3), 0
        super().__init__(cache_prefix=prefix)

    def next(self, input_data):
        if self.next_one == len(self.parts):
            return False
        part = self.parts[self.next_one]
        input_data(data=part, label=np.zeros(len(part)))
        self.next_one += 1
        return True

    def reset(self):
        self.next_one = 0


def cache(model, x, directory):
    matrix = xgboost.DMatrix(Parts(x, str(directory / "pages")))
    return model.get_booster().predict(matrix)
