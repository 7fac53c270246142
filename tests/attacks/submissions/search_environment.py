"""Look for secrets in the variables of this process. Must: nothing of the trusted one's."""

import os
import re

from attack import CONFIG, Honest, must_be_false


class Model(Honest):
    def fit(self):
        text = repr(dict(os.environ)) + open("/proc/self/environ").read()
        must_be_false("canary", re.findall(CONFIG["canary_pattern"], text))
        must_be_false(
            "other variables", [name for name in os.environ if name.startswith("HIGGSML")]
        )
