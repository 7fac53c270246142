"""Does with framework.py, beside this, what honest submissions do, and says how it went.

Each step is reported as a line: its name and "ok", or the error.
"""

import json
import tempfile
import traceback
from pathlib import Path

import numpy as np

FEATURES = ("DER_mass_vis", "DER_pt_h", "PRI_had_pt", "PRI_lep_pt", "PRI_met")
ANSWER = {"mu_hat": 1.0, "delta_mu_hat": 0.5, "p16": 0.5, "p84": 1.5}


def report(step, outcome):
    print(json.dumps({"step": step, "outcome": outcome}), flush=True)


class Model:
    def __init__(self, get_train_set, systematics):
        train = systematics(get_train_set(train_size=600))
        self.x = train[list(FEATURES)].to_numpy(np.float32) / 100
        self.y = train["labels"].to_numpy(np.int64)

    def fit(self):
        report("import", "begun")
        import framework  # the submission's own folder

        report("import", "ok")
        self.model = self._do("fit", framework.fit, self.x, self.y)
        self.scores = np.asarray(self._do("predict", framework.predict, self.model, self.x))
        assert self.scores.shape == (len(self.x),)
        for step in ("threads", "processes"):
            if reason := getattr(framework, "WITHOUT", {}).get(step):
                report(step, f"no: {reason}")
                continue
            parts = self._do(step, getattr(framework, step), self.model, self.x)
            assert np.allclose(np.concatenate(parts), self.scores, atol=1e-4), step
        for step in (framework.save_and_load, framework.cache):
            directory = Path(tempfile.mkdtemp())
            again = self._do(step.__name__, step, self.model, self.x, directory)
            assert np.allclose(again, self.scores, atol=1e-4), step.__name__

    def _do(self, step, function, *arguments):
        report(step, "begun")
        try:
            result = function(*arguments)
        except BaseException as error:
            lines = "".join(traceback.format_exception_only(error)).strip()
            report(step, lines[-500:])
            raise
        report(step, "ok")
        return result

    def predict(self, test_set):
        """Give the same scores, in a process that got the pickled model, too."""
        import framework

        again = framework.predict(self.model, self.x)
        assert np.allclose(again, self.scores, atol=1e-4)
        return dict(ANSWER)
