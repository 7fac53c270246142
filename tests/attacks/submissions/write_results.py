"""Write results, settings and scores. Must: refused."""

import os

from attack import CONFIG, Honest, must_fail


class Model(Honest):
    def fit(self):
        for name in ("result_0.json", "test_settings.json", "scores.json", "metadata", ".x.part"):
            must_fail(name, open, os.path.join(CONFIG["output"], name), "w")
        must_fail("directory", os.mkdir, os.path.join(CONFIG["output"], "d"))
        must_fail("pipe", os.mkfifo, os.path.join(CONFIG["output"], "f"))
        must_fail("remove", os.rmdir, CONFIG["output"])
