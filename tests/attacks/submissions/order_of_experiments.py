"""Count predictions and use the number as the set. Must: the same model gains no structure."""

from attack import Honest, must_be_false


class Model(Honest):
    count = 0

    def predict(self, test_set):
        self.count += 1
        must_be_false("names of sets", [k for k in test_set if k not in ("data", "weights")])
        must_be_false("hints", list(test_set["data"].attrs))
        return super().predict(test_set)
