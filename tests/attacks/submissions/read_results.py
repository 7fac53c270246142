"""Read results, settings and the truth where they will be written. Must: refused."""

import os

from attack import CONFIG, Honest, must_fail


class Model(Honest):
    def fit(self):
        must_fail("list", os.listdir, CONFIG["output"])
        for name in ("test_settings.json", "result_0.json"):
            must_fail(name, open, os.path.join(CONFIG["output"], name))
