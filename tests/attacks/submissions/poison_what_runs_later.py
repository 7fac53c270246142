"""Leave code where scoring, or the user's next Python, would import it. Must: refused."""

import os
import pwd
import site
import sys
import sysconfig
from pathlib import Path

from attack import CONFIG, Honest, must_be_false, must_fail

import HiggsML


class Model(Honest):
    def fit(self):
        package, libraries = Path(HiggsML.__file__).parent, Path(sysconfig.get_paths()["purelib"])
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
        for folder in (
            *(package, package / "__pycache__", package.parent, libraries, Path(sys.prefix)),
            *(home, home / ".config", Path(CONFIG["input"]), Path(CONFIG["output"]), Path("/tmp")),
        ):
            must_fail(str(folder), (folder / "sitecustomize.py").write_text, "")
            must_fail(f"{folder}, folder", (folder / "higgsml-poison").mkdir)
        must_fail("source", (package / "score.py").open, "r+")
        must_be_false("user site", not site.getusersitepackages().startswith(os.environ["HOME"]))
