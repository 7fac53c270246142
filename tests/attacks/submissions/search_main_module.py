"""Look into __main__ and the arguments. Must: only the start of this process."""

import re
import sys

from attack import Honest, must_be_false


class Model(Honest):
    def fit(self):
        main = sys.modules["__main__"]
        must_be_false(
            "names", [n for n in vars(main) if n.lower() in ("draws", "options", "truth")]
        )
        must_be_false("arguments", re.findall("seed|entropy", " ".join(sys.argv)))
