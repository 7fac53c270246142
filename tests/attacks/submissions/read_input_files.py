"""Open the dataset itself. Must: every way of opening it is refused."""

import os

import pandas as pd
from attack import CONFIG, Honest, must_fail


class Model(Honest):
    def fit(self):
        for path in (CONFIG["data_file"], "/proc/self/root" + CONFIG["data_file"]):
            must_fail("open", open, path, "rb")
            must_fail("os.open", os.open, path, os.O_RDONLY)
        must_fail("list", os.listdir, CONFIG["input"])
        must_fail("pandas", pd.read_parquet, CONFIG["data_file"])
