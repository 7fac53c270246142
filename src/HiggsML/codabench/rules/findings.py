"""What validation reports: a finding says where, what is there, why it is wrong, and the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from HiggsML.codabench.rules.located_yaml import Item

__all__ = ["Finding", "Findings", "Place", "Severity", "errors_of", "shown"]

Severity = Literal["error", "warning"]
_MAX_SHOWN = 80


@dataclass(frozen=True)
class Finding:
    """One mistake.

    Attributes
    ----------
    severity : {"error", "warning"}
        An error makes the bundle fail, or judge wrongly; a warning may be intended.
    rule : str
        Short stable name of the rule.
    file : str
        File in the bundle.
    line : int or None
        Line in it, counted from 1, where there is one.
    key : str
        Where in the file, such as ``phases[1].start``; empty for the file as a whole.
    value : str
        What is there; empty if nothing is.
    message, remedy : str
        What is wrong, and what to do.
    """

    severity: Severity
    rule: str
    file: str
    line: int | None
    key: str
    value: str
    message: str
    remedy: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        parts = [place, *([self.key] if self.key else [])]
        value = f" (found {self.value})" if self.value else ""
        return f"{': '.join(parts)}: {self.message}{value}. {self.remedy}"

    def as_dict(self) -> dict[str, Any]:
        """Return all fields, for JSON."""
        return asdict(self)


def errors_of(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that are errors."""
    return [finding for finding in findings if finding.severity == "error"]


def shown(value: Any) -> str:
    """Return a value as a message shows it: short, on one line."""
    text = value if isinstance(value, str) else repr(value)
    text = " ".join(text.split())
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."


@dataclass
class Findings:
    """Collects findings about one file after the other."""

    found: list[Finding]

    def error(self, rule: str, place: Place, message: str, remedy: str, value: Any = "") -> None:
        """Add an error; ``value`` replaces the one that the place has."""
        self._add("error", rule, place, message, remedy, value)

    def warning(self, rule: str, place: Place, message: str, remedy: str, value: Any = "") -> None:
        """Add a warning."""
        self._add("warning", rule, place, message, remedy, value)

    def _add(
        self, severity: Severity, rule: str, place: Place, message: str, remedy: str, value: Any
    ) -> None:
        text = shown(value if value != "" else place.value)
        self.found.append(
            Finding(severity, rule, place.file, place.line, place.key, text, message, remedy)
        )


@dataclass(frozen=True)
class Place:
    """Where a finding is: a file and, in it, line, key and value."""

    file: str
    line: int | None = None
    key: str = ""
    value: Any = ""

    @classmethod
    def of(cls, file: str, item: Item) -> Place:
        """Return the place of a YAML value; collections are not repeated in messages."""
        value = "" if isinstance(item.value, (dict, list)) else item.value
        return cls(file, item.line, item.key, repr(value) if value is None else value)
