"""What validation reports: a finding says where, what is there, why it is wrong, and the remedy.

There are three kinds, told apart everywhere:

===============  ==================================================================================
``"platform"``   the platform refuses the upload; exactly that, and nothing that it accepts
``"challenge"``  the platform takes it, but this challenge would fail or judge wrongly
``"advice"``     what may be intended, or is lost without a word
===============  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from HiggsML.codabench.rules.located_yaml import Item

__all__ = [
    "KINDS",
    "Finding",
    "Findings",
    "Kind",
    "Location",
    "Severity",
    "errors_of",
    "exit_code",
    "refusals_of",
    "shown",
]

Kind = Literal["platform", "challenge", "advice"]
Severity = Literal["error", "warning"]
KINDS: dict[Kind, str] = {
    "platform": "the platform refuses this",
    "challenge": "this challenge needs this",
    "advice": "advice",
}
"""What a text says before a finding of each kind; the gravest first."""

_MAX_SHOWN = 80


@dataclass(frozen=True)
class Finding:
    """One mistake.

    Attributes
    ----------
    kind : {"platform", "challenge", "advice"}
        Who minds.
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

    kind: Kind
    rule: str
    file: str
    line: int | None
    key: str
    value: str
    message: str
    remedy: str

    @property
    def severity(self) -> Severity:
        """Whether this must be mended before an upload ("error") or may be intended ("warning")."""
        return "warning" if self.kind == "advice" else "error"

    def __str__(self) -> str:
        location = self.file if self.line is None else f"{self.file}:{self.line}"
        parts = [location, *([self.key] if self.key else [])]
        value = f" (found {self.value})" if self.value else ""
        return f"{': '.join(parts)}: {self.message}{value}. {self.remedy}"

    def as_dict(self) -> dict[str, Any]:
        """Return all fields, for JSON."""
        return {"severity": self.severity, **asdict(self)}


def errors_of(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that are more than advice."""
    return [finding for finding in findings if finding.kind != "advice"]


def refusals_of(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings for which the platform refuses an upload."""
    return [finding for finding in findings if finding.kind == "platform"]


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 1 if the platform refuses something, 3 if only the challenge needs something, else 0.

    2 is left to wrong options of a command.
    """
    kinds = {finding.kind for finding in findings}
    return 1 if "platform" in kinds else 3 if "challenge" in kinds else 0


def shown(value: Any) -> str:
    """Return a value as a message shows it: short, on one line."""
    text = value if isinstance(value, str) else repr(value)
    text = " ".join(text.split())
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."


@dataclass
class Findings:
    """Collects findings about one file after the other.

    Attributes
    ----------
    found : list of Finding
        In the order in which they were found.
    ours : bool
        Whether the bundle is of this challenge; if not, nothing is reported that only it needs.
    """

    found: list[Finding]
    ours: bool = True

    def refuse(
        self, rule: str, location: Location, message: str, remedy: str, value: Any = ""
    ) -> None:
        """Add what the platform refuses; ``value`` replaces the one that the location has."""
        self._add("platform", rule, location, message, remedy, value)

    def need(
        self, rule: str, location: Location, message: str, remedy: str, value: Any = ""
    ) -> None:
        """Add what only this challenge needs."""
        if self.ours:
            self._add("challenge", rule, location, message, remedy, value)

    def fault(
        self, rule: str, location: Location, message: str, remedy: str, value: Any = ""
    ) -> None:
        """Add what would go wrong after the upload: it may be meant in another competition."""
        self._add("challenge" if self.ours else "advice", rule, location, message, remedy, value)

    def advise(
        self, rule: str, location: Location, message: str, remedy: str, value: Any = ""
    ) -> None:
        """Add advice."""
        self._add("advice", rule, location, message, remedy, value)

    def _add(
        self, kind: Kind, rule: str, location: Location, message: str, remedy: str, value: Any
    ) -> None:
        text = shown(value if value != "" else location.value)
        self.found.append(
            Finding(kind, rule, location.file, location.line, location.key, text, message, remedy)
        )


@dataclass(frozen=True)
class Location:
    """Where a finding is: a file and, in it, line, key and value."""

    file: str
    line: int | None = None
    key: str = ""
    value: Any = ""

    @classmethod
    def of(cls, file: str, item: Item) -> Location:
        """Return the location of a YAML value; collections are not repeated in messages."""
        value = "" if isinstance(item.value, (dict, list)) else item.value
        return cls(file, item.line, item.key, repr(value) if value is None else value)
