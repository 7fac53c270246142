"""Ask for impossible numbers of rows. Must: an error in this process, never in the trusted one."""

from attack import CONFIG, Honest, must_be_false, must_fail


class Model(Honest):
    def fit(self):
        for size in (-1, 1.5, float("nan"), float("inf"), "all", [1], True, -(10**30)):
            must_fail(repr(size), self.get_train_set, train_size=size)
        rows = len(self.get_train_set(train_size=10**30, seed=10**40))
        must_be_false("more than there are", rows > CONFIG["train_rows"])
