"""Search all Python objects (gc) for draws, plans or event stores. Must: there are none."""

import gc

from attack import Honest, must_be_false


class Model(Honest):
    def fit(self):
        names = {"Draws", "Plan", "EventStore", "Worker", "Data", "Sandbox", "WorkerSettings"}
        must_be_false("objects", [one for one in gc.get_objects() if type(one).__name__ in names])
