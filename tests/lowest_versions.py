"""Print the lowest versions that pyproject.toml allows, as constraints for pip."""

import re
import sys
import tomllib
from pathlib import Path

text = (Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8")
for dependency in tomllib.loads(text)["project"]["dependencies"]:
    name, version = re.fullmatch(r"([\w-]+)>=([\d.]+)(?:,.*)?", dependency).groups()
    sys.stdout.write(f"{name}=={version}\n")
