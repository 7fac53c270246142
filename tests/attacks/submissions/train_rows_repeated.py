"""Ask for one training row very often, to get its whole row group. Must: that row only."""

import numpy as np
from attack import CONFIG, Honest, must_be_false, must_fail


class Model(Honest):
    def fit(self):
        for n in (CONFIG["train_rows"], CONFIG["group_rows"], 3):
            n = min(n, CONFIG["train_rows"])
            got = self.get_train_set(selected_indices=np.zeros(n, int))
            must_be_false(f"{n} times", len(got) != n or len(got.drop_duplicates()) != 1)
        must_fail("too many", self.get_train_set, selected_indices=np.zeros(10**6, int))
