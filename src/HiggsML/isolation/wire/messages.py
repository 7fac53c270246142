"""What a submission's process may say: every kind of message, its keys and their types.

Standard library only, like :mod:`HiggsML.isolation.wire.channel`.
"""

from __future__ import annotations

from typing import Any

from HiggsML.isolation.wire.channel import ChannelError

__all__ = ["check_message", "clean_text"]

_NUMBER = (int, float)
_NONE = type(None)
_KINDS: dict[str, dict[str, tuple[type, ...]]] = {
    "ready": {"report": (dict,)},
    "fitted": {},
    "state": {},
    "no_state": {"reason": (str,)},
    "restored": {},
    "prediction": dict.fromkeys(("mu_hat", "delta_mu_hat", "p16", "p84"), _NUMBER),
    "failed": {"error": (str,), "type": (str,), "ours": (bool,), "traceback": (str,)},
    "train_set": {
        "train_size": (*_NUMBER, _NONE),
        "selected": (bool,),
        "seed": (int, _NONE),
    },
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
            found = type(message[key]).__name__
            raise ChannelError(f"{key} in a message of kind {kind!r} is of type {found}")
    if kind == "ready" and not all(isinstance(value, str) for value in message["report"].values()):
        raise ChannelError("the report of protections holds something else than text")
    if message["request"] != request:
        raise ChannelError(
            f"a message of kind {kind!r} answers another request than the last (an answer in "
            "advance, or a second one)"
        )
    return kind


def clean_text(text: str, limit: int) -> str:
    """Return a submission's text without what could deceive a reader, or fail to print.

    Control characters move a terminal's cursor, others reverse the direction of writing, and lone
    surrogates can not be encoded.
    """
    kept = text[:limit]
    shown = "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in kept
    )
    return shown if len(text) <= limit else f"{shown} [...]"


def _short(value: object) -> str:
    return repr(value[:40]) if isinstance(value, str) else type(value).__name__
