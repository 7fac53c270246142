"""Change, while predicting, what fresh processes of the Model will load. Must: be found out."""

import contextlib
import os
import pickle
from pathlib import Path

from attack import ANSWER, Honest

ALONE = True
REPEATABLE = "require"
EXPECT = "SubmissionError: . of 4 answers differ when they are asked for again"
FILES = {"weights.txt": "0"}

HERE = Path(__file__).parent


class Model(Honest):
    def fit(self):
        (HERE / "saved.txt").write_text("0")
        self.asked = 0

    def predict(self, test_set):
        from HiggsML.isolation.inside import runner

        self.asked += 1
        for name in ("weights.txt", "saved.txt", "attack.py.new"):
            (HERE / name).write_text(str(self.asked))
        with contextlib.suppress(OSError):
            os.replace(HERE / "attack.py.new", HERE / "helper.py")
        # The file and the pickle that a later process gets were taken before; these come too late.
        runner._Runner.state = lambda *_: ({"kind": "state"}, pickle.dumps(self))
        runner._Runner.restore = lambda *_: ({"kind": "restored"}, b"")
        return {**ANSWER, "mu_hat": 1 + 0.01 * int((HERE / "saved.txt").read_text())}
