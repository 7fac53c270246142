"""Truncate, remove and rename files of the trusted user. Must: refused."""

import os

from attack import CONFIG, Honest, must_fail


class Model(Honest):
    def fit(self):
        must_fail("truncate", os.truncate, CONFIG["secret"], 0)
        must_fail("remove", os.unlink, CONFIG["secret"])
        must_fail("rename", os.rename, CONFIG["secret"], CONFIG["secret"] + "2")
        must_fail("write", open, CONFIG["secret"], "r+")
        must_fail("remove data", os.unlink, CONFIG["data_file"])
