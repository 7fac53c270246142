"""What the platform's serializers take for one value: its conversions, and what it refuses.

The platform hands ``competition.yaml`` to Django REST framework, which converts before it checks: a
text may be a number, a number a text, a flag the word "yes". Each function here returns the value
that the platform would store, or raises :class:`Refused`. Tests hold them to the accepted and
refused values that were tried on the platform.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection
from datetime import UTC, date, datetime, time
from ipaddress import ip_address
from typing import Any

from dateutil import parser

__all__ = ["Refused", "email", "flag", "text", "time_of", "whole", "word"]

_TRUE = {"t", "y", "yes", "true", "on", "1", 1}
_FALSE = {"f", "n", "no", "false", "off", "0", 0}
_DECIMALS = re.compile(r"\.0*\s*$")
_LONGEST_WHOLE = 1000

_USER = re.compile(
    r"[-!#$%&'*+/=?^_`{}|~0-9A-Z]+(\.[-!#$%&'*+/=?^_`{}|~0-9A-Z]+)*"
    r'|"([\x01-\x08\x0b\x0c\x0e-\x1f!#-\[\]-\x7f]|\\[\x01-\x09\x0b\x0c\x0e-\x7f])*"',
    re.IGNORECASE,
)
_DOMAIN = re.compile(
    r"(?:[A-Z0-9](?:[A-Z0-9-]{0,61}[A-Z0-9])?\.)+[A-Z0-9-]{2,63}(?<!-)", re.IGNORECASE
)
_LONGEST_EMAIL = 320


class Refused(Exception):  # noqa: N818 (turned into a finding, never raised to a user)
    """A value that the platform refuses: what is wrong with it, and the name of the rule."""

    def __init__(self, message: str, rule: str) -> None:
        super().__init__(message)
        self.rule = rule


def text(
    value: Any, *, longest: int | None = None, null: bool = False, blank: bool = False
) -> str | None:
    """Return a value as the text that is stored.

    Parameters
    ----------
    value : object
        As YAML gives it.
    longest : int, optional
        Characters that are allowed.
    null, blank : bool
        Whether there may be none, or an empty one.
    """
    if value is None:
        if null:
            return None
        raise Refused("this must not be null", "empty")
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise Refused("this must be a text", "type")
    stripped = str(value).strip()
    if not stripped and not blank:
        raise Refused("this must not be empty", "empty")
    if "\x00" in stripped or any("\ud800" <= character <= "\udfff" for character in stripped):
        raise Refused("there is a character in it that can not be stored", "text")
    if longest is not None and len(stripped) > longest:
        message = f"{len(stripped)} characters are more than the {longest} allowed"
        raise Refused(message, "too-long")
    return stripped


def word(
    value: Any, choices: Collection[str], *, null: bool = False, blank: bool = False
) -> str | None:
    """Return one of some words, whose case matters."""
    if value is None and null:
        return None
    if value is None:
        raise Refused("this must not be null", "empty")
    if value == "" and blank:
        return ""
    if str(value) not in choices:
        raise Refused("this value is not known", "choice")
    return str(value)


def whole(value: Any, *, least: int = 0, most: int = 2**31 - 1, null: bool = False) -> int | None:
    """Return a whole number, which may be written as a text or with zeros after the point."""
    if value is None:
        if null:
            return None
        raise Refused("this must not be null", "empty")
    try:
        if isinstance(value, str) and len(value) > _LONGEST_WHOLE:
            raise ValueError
        number = int(_DECIMALS.sub("", str(value)))
    except ValueError:
        raise Refused("this must be a whole number", "type") from None
    if not least <= number <= most:
        raise Refused(f"this must be {least} to {most}", "range")
    return number


def flag(value: Any) -> bool:
    """Return true or false, which may be written as a word or a digit."""
    if value is None:
        raise Refused("this must not be null", "empty")
    try:
        key = value.strip().lower() if isinstance(value, str) else value
        if key in _TRUE:
            return True
        if key in _FALSE:
            return False
    except TypeError:  # a list or a mapping
        pass
    raise Refused("this must be true or false", "type")


def email(value: Any, *, longest: int) -> str | None:
    """Return an address, or nothing if there is none."""
    address = text(value, longest=longest, null=True, blank=True)
    if not address:
        return address
    user, at, domain = address.rpartition("@")
    if not at or len(address) > _LONGEST_EMAIL or not _USER.fullmatch(user):
        raise Refused("this is not an address", "email")
    if domain != "localhost" and not _DOMAIN.fullmatch(domain):
        try:
            if domain.startswith("[") and domain.endswith("]"):
                ip_address(domain[1:-1])
            elif not _DOMAIN.fullmatch(domain.encode("idna").decode("ascii")):
                raise ValueError
        except ValueError:
            raise Refused("this is not an address", "email") from None
    return address


def time_of(value: Any) -> datetime | None:
    """Return the time that the platform makes of a value, in UTC; None if it takes it for none.

    A time that YAML itself reads, since it is not quoted, loses its time of day; a text loses its
    offset.
    """
    if not value:
        return None
    if isinstance(value, date):  # a datetime is one, too
        return datetime.combine(value, time(), UTC)
    if not isinstance(value, str):
        raise Refused("this must be a time", "type")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read: datetime = parser.parse(value)
            return read.replace(tzinfo=UTC)
    except (ValueError, OverflowError, TypeError):
        raise Refused("this is not a time", "time") from None
