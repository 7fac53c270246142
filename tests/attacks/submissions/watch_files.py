"""Learn from the times at which files are written. Must: no watch, and nothing is written yet."""

import os

from attack import CONFIG, Honest, libc, must_be_false, must_fail


class Model(Honest):
    def predict(self, test_set):
        must_fail("inotify", libc, "inotify_add_watch", 0, CONFIG["output"].encode(), 0xFFF)
        must_fail("list", os.listdir, CONFIG["output"])
        names = ("result_0.json", "test_settings.json", "ingestion_duration.json")
        paths = [os.path.join(CONFIG["output"], name) for name in names]
        must_be_false("exists", [path for path in paths if os.path.exists(path)])
        return super().predict(test_set)
