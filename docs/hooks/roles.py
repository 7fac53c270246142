"""Turn the roles of docstrings into links, and show the figures of plotting functions."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).parent))
from figures import FIGURES

_ROLE = re.compile(r":(?:func|mod|class|meth|attr|data|exc):`~?([\w.]+)`")
# The place as seen from every page of the reference.
_FIGURE = (
    "\n\nNotes\n-----\n"
    '<img src="../../figures/{name}.png" alt="A figure of {name}" loading="lazy">\n'
)


class Roles(griffe.Extension):
    """Rewrite docstrings before they are rendered."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Replace the roles in the docstring of one object."""
        if obj.docstring is not None:
            if obj.is_function and obj.name in FIGURES:
                obj.docstring.value += _FIGURE.format(name=obj.name)
            obj.docstring.value = _ROLE.sub(
                lambda match: self._link(match[1], obj), obj.docstring.value
            )

    @staticmethod
    def _link(name: str, obj: griffe.Object) -> str:
        target = name
        if not name.startswith("HiggsML"):
            home = obj if obj.is_module or obj.is_class else obj.parent
            while home is not None and name.split(".")[0] not in home.members:
                home = home.parent
            target = f"{home.path}.{name}" if home is not None else name
        shown = name.removeprefix("HiggsML.")
        return f'<autoref optional identifier="{target}"><code>{shown}</code></autoref>'
