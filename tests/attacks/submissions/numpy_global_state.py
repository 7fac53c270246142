"""Seed NumPy's global state and replace its generators. Must: the trusted draws do not follow."""

import random
import sys

import numpy as np
from attack import Honest, must_be_false

ALONE = True
ONCE = True


class Model(Honest):
    def fit(self):
        np.random.seed(1)
        np.random.SeedSequence = np.random.default_rng = lambda *a, **k: 1 / 0
        random.seed(1)
        must_be_false("draws in this process", "HiggsML.ingestion.workers" in sys.modules)
