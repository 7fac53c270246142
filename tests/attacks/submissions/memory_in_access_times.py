"""Leave a message in the times at which libraries' files were last read. Must: leave none."""

import os
import sysconfig
from itertools import islice
from pathlib import Path

from attack import CONFIG, Honest, must_be_false


def stale():
    """Yield files whose time of access the next reading would change."""
    for path in Path(sysconfig.get_paths()["stdlib"]).rglob("*.py"):
        status = path.stat()
        if status.st_atime <= max(status.st_mtime, status.st_ctime):
            yield path


class Model(Honest):
    def fit(self):
        if not CONFIG["access_times_kept"]:
            return must_be_false("a place that keeps no times", False)
        for path in islice(stale(), 20):
            before = path.stat().st_atime_ns
            path.read_bytes()
            must_be_false(f"the time of {path.name}", path.stat().st_atime_ns != before)
        directory = os.path.dirname(os.__file__)
        before = os.stat(directory).st_atime_ns
        os.listdir(directory)
        must_be_false("the time of a directory", os.stat(directory).st_atime_ns != before)
