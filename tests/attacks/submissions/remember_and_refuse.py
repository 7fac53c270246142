"""Remember, and fail in every process but the first. Must: be found out by fitting again."""

from attack import ANSWER, Honest

ALONE = True
REPEATABLE = "require"
EXPECT = "SubmissionError: . of 4 answers differ when they are asked for again"


class Model(Honest):
    calls = 0

    def __getstate__(self):
        return {"restored": True}

    def predict(self, test_set):
        if getattr(self, "restored", False):
            raise MemoryError("when asked again")
        self.calls += 1
        return {**ANSWER, "mu_hat": 1 + 0.01 * self.calls}
