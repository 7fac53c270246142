"""What a submission's process may say: every kind of message, its keys and their types.

Standard library only, like :mod:`HiggsML.isolation.wire.channel`.
"""

from __future__ import annotations

from typing import Any

from HiggsML.errors import MARK, printable
from HiggsML.isolation.wire.channel import ChannelError

__all__ = ["check_message", "clean_text", "one_line", "quoted"]

_NUMBER = (int, float)
_KINDS: dict[str, dict[str, tuple[type, ...]]] = {
    "ready": {"report": (dict,)},
    "fitted": {},
    "preloaded": {},
    "state": {},
    "no_state": {"reason": (str,)},
    "restored": {},
    "prediction": dict.fromkeys(("mu_hat", "delta_mu_hat", "p16", "p84"), _NUMBER),
    "failed": {"error": (str,), "type": (str,), "ours": (bool,), "traceback": (str,)},
    "train_set": {},
}
_ALWAYS: dict[str, tuple[type, ...]] = {"kind": (str,), "request": (int,)}


def check_message(message: dict[str, Any], *, allowed: tuple[str, ...], request: int) -> str:
    """Check a message from a submission against the schema and return its kind.

    Parameters
    ----------
    message : dict
        A parsed JSON object.
    allowed : tuple of str
        Kinds that are expected now.
    request : int
        Number of the request that it must answer: no answer counts twice, or in advance.

    Raises
    ------
    ChannelError
        If anything is not as it must be.
    """
    kind = message.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS or kind not in allowed:
        raise ChannelError(f"a message of kind {_short(kind)} is not expected now")
    expected = _ALWAYS | _KINDS[kind]
    if message.keys() != expected.keys():
        raise ChannelError(f"a message of kind {kind!r} has other keys than it must have")
    for key, types in expected.items():
        # Exactly these types: True would pass as the integer 1.
        if type(message[key]) not in types:
            type_name = type(message[key]).__name__
            raise ChannelError(f"{key} in a message of kind {kind!r} is of type {type_name}")
    if kind == "ready" and not all(isinstance(value, str) for value in message["report"].values()):
        raise ChannelError("the report of protections holds something else than text")
    if message["request"] != request:
        raise ChannelError(
            f"a message of kind {kind!r} answers another request than the last (an answer in "
            "advance, or a second one)"
        )
    return kind


def clean_text(text: str, limit: int) -> str:
    """Return at most ``limit`` characters of a submission's text, all of them printable."""
    shown = printable(text[:limit])
    return shown if len(text) <= limit else f"{shown} [...]"


def one_line(text: str, limit: int) -> str:
    """Return a submission's text as a part of a sentence of ours: it can not begin a line."""
    return " ".join(clean_text(text, limit).split())


def quoted(text: str, limit: int) -> str:
    """Return a submission's text with a mark on each line, so that none can pose as ours."""
    return "\n".join(f"{MARK} {line}" for line in clean_text(text, limit).split("\n"))


def _short(value: object) -> str:
    return repr(value[:40]) if isinstance(value, str) else type(value).__name__
