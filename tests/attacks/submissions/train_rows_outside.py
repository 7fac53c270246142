"""Ask for rows of the test set by position. Must: refused."""

from attack import Honest, must_fail


class Model(Honest):
    def fit(self):
        for rows in ([-1], [10**7], [2**62], [-(2**62)], [[0]], [0.5], ["0"]):
            must_fail(repr(rows), self.get_train_set, selected_indices=rows)
