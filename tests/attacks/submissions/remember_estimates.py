"""Average with earlier estimates, which a file keeps. Must: be found out."""

import tempfile
from pathlib import Path

from attack import ANSWER, Honest

ALONE = True
WORKERS = 2
REPEATABLE = "require"
EXPECT = "SubmissionError: . of 4 answers differ when they are asked for again"


class Model(Honest):
    def predict(self, test_set):
        path = Path(tempfile.gettempdir(), "estimates")
        estimate = len(test_set["data"]) * 1e-3
        with path.open("a") as file:
            print(estimate, file=file)
        past = [float(line) for line in path.read_text().split()]
        return {**ANSWER, "mu_hat": sum(past) / len(past) + 0.01 * len(past)}
