"""Remember in every place that might outlive a process. Must: be found out."""

import contextlib
import os
import tempfile
from pathlib import Path

from attack import ANSWER, Honest

ALONE = True
REPEATABLE = "require"
EXPECT = "SubmissionError: . of 4 answers differ when they are asked for again"

PLACES = [
    Path(__file__).parent / "seen",
    Path.home() / ".cache-seen",
    Path.home().parent / "higgsml-seen",
    Path(tempfile.gettempdir()).parent / "higgsml-seen",
    *(Path(name) / "higgsml-seen" for name in ("/tmp", "/var/tmp", "/dev/shm", "/run", "/app")),
    Path(os.__file__).parent / "__pycache__" / "seen.pyc",
]


def read():
    counts = [0]
    for place in PLACES:
        with contextlib.suppress(OSError, ValueError):
            counts.append(int(place.read_text()))
    return max(counts)


class Model(Honest):
    """Knows whether it was fitted or restored, how long it lives, and how often it was asked."""

    asked = 0
    restored = False

    def __getstate__(self):
        return {"restored": True}

    def predict(self, test_set):
        self.asked += 1
        count = read() + 1
        for place in PLACES:
            with contextlib.suppress(OSError):
                place.write_text(str(count))
        told = count if not self.restored else max(count - self.asked, 0)
        return {**ANSWER, "mu_hat": 1 + 0.01 * told}
