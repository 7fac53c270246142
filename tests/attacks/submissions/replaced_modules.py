"""Put json.py and numpy.py beside model.py. Must: they are never imported, and a note says so."""

import numpy as np
from attack import Honest, must_be_false

ALONE = True
ONCE = True
EXPECT = "completes"
FILES = {
    "json.py": "raise SystemExit('json')",
    "numpy.py": "raise SystemExit('numpy')",
    "HiggsML.py": "raise SystemExit('HiggsML')",
    "_hashlib.py": "raise SystemExit('hash')",
}


class Model(Honest):
    def fit(self):
        must_be_false("own module", "attack" in (np.__file__ or ""))
