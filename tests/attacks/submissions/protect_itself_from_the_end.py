"""Lower the own rank for the kernel's memory killer. Must: refused."""

from pathlib import Path

from attack import Honest, must_be_false, must_fail


class Model(Honest):
    def fit(self):
        must_fail("oom", Path("/proc/self/oom_score_adj").write_text, "-1000")
        must_be_false("rank", open("/proc/self/oom_score_adj").read().strip() != "1000")
