"""Recurse without end. Must: RecursionError here, which the model may catch."""

from attack import Honest, must_fail


class Model(Honest):
    def fit(self):
        def deeper():
            deeper()

        must_fail("recursion", deeper)
