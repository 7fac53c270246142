"""YAML with line numbers: every value knows where it was written and whether it was quoted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

__all__ = ["Item", "YamlProblem", "load_located"]

_MAX_DEPTH = 50


@dataclass(frozen=True)
class Item:
    """A value of a YAML document.

    Attributes
    ----------
    value : object
        A scalar, a ``dict`` of str to Item, or a ``list`` of Item.
    line : int
        Where it starts; of a mapping's entry, the line of its key.
    key : str
        Path from the top, such as ``tasks[0].name``.
    quoted : bool
        Whether a scalar was written in quotes.
    """

    value: Any
    line: int
    key: str
    quoted: bool = False

    def plain(self) -> Any:
        """Return the value without places."""
        if isinstance(self.value, dict):
            return {name: item.plain() for name, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value


class YamlProblem(Exception):  # noqa: N818 (turned into a finding, never raised to a user)
    """Something that can not be read, and where."""

    def __init__(self, message: str, line: int, key: str = "") -> None:
        super().__init__(message)
        self.line, self.key = line, key


def load_located(text: str) -> tuple[Item, list[YamlProblem]]:
    """Return a document, and the keys that are written twice (of which YAML keeps the last).

    Raises
    ------
    YamlProblem
        If the text is not one YAML document.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise YamlProblem("the file is empty", 1)
        doubles: list[YamlProblem] = []
        document = _convert(loader, node, "", node.start_mark.line + 1, doubles, 0)
        yaml.safe_load(text)  # tags and keys that can not be made into values
        return document, doubles
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(str(part) for part in (error.context, error.problem) if part)
        last = max(1, len(text.splitlines()))  # a file that ends too early is marked beyond its end
        raise YamlProblem(reason, min(mark.line + 1, last) if mark else 1) from error
    except (yaml.YAMLError, ValueError) as error:
        raise YamlProblem(" ".join(str(error).split()), 1) from error
    finally:
        loader.dispose()


def _convert(
    loader: yaml.SafeLoader,
    node: yaml.Node,
    key: str,
    line: int,
    doubles: list[YamlProblem],
    depth: int,
) -> Item:
    if depth > _MAX_DEPTH:
        raise YamlProblem("an alias contains itself", line, key)
    if isinstance(node, yaml.MappingNode):
        _note_doubles(node, key, doubles)
        loader.flatten_mapping(node)
        entries = {}
        for name_node, value_node in node.value:
            name = str(getattr(name_node, "value", name_node.start_mark.line))
            location = f"{key}.{name}" if key else name
            at = name_node.start_mark.line + 1
            entries[name] = _convert(loader, value_node, location, at, doubles, depth + 1)
        return Item(entries, line, key)
    if isinstance(node, yaml.SequenceNode):
        return Item(
            [
                _convert(
                    loader,
                    child,
                    f"{key}[{index}]",
                    child.start_mark.line + 1,
                    doubles,
                    depth + 1,
                )
                for index, child in enumerate(node.value)
            ],
            line,
            key,
        )
    try:
        value = loader.construct_object(node)
    except ValueError as error:  # such as a date with a month 13
        raise YamlProblem(f"{node.value} can not be read: {error}", line, key) from error
    return Item(value, line, key, quoted=bool(getattr(node, "style", None)))


def _note_doubles(node: yaml.MappingNode, key: str, doubles: list[YamlProblem]) -> None:
    seen: dict[str, int] = {}
    for name_node, _ in node.value:
        name, line = str(name_node.value), name_node.start_mark.line + 1
        if name in seen and name != "<<":
            location = f"{key}.{name}" if key else name
            doubles.append(
                YamlProblem(f"the key was written in line {seen[name]} too", line, location)
            )
        seen[name] = line
