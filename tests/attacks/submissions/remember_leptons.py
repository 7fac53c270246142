"""Remember the leptons of earlier pseudo-experiments. Must: be found out."""

from attack import ANSWER, Honest

ALONE = True
REPEATABLE = "require"
EXPECT = "SubmissionError: . of 4 answers differ when they are asked for again"


class Model(Honest):
    def fit(self):
        self.seen = set()

    def predict(self, test_set):
        leptons = set(test_set["data"]["PRI_lep_pt"])
        new = len(leptons - self.seen) / len(leptons)
        self.seen.update(leptons)
        return {**ANSWER, "mu_hat": 0.9 + new}
