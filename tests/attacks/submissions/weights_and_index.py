"""Look for the process in weights, index and types. Must: ones, a plain index, float32."""

import numpy as np
import pandas as pd
from attack import Honest, must_be_false


class Model(Honest):
    def predict(self, test_set):
        frame_ = test_set["data"]
        must_be_false("weights", bool((np.asarray(test_set["weights"]) != 1).any()))
        must_be_false("index", not frame_.index.equals(pd.RangeIndex(len(frame_))))
        must_be_false(
            "labels", [c for c in frame_ if "label" in c.lower() or "weight" in c.lower()]
        )
        return super().predict(test_set)
