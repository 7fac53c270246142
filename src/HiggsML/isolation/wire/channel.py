"""The channel between the trusted process and the submission's: small framed messages.

A frame is a fixed header (magic, length of the message, length of the payload), a JSON object and
raw bytes. Nothing that comes from the submission is ever unpickled; sizes are checked before memory
is taken. Bulk data for the submission travel as descriptors of
:mod:`sealed memory <HiggsML.isolation.wire.shared_memory>`.

Standard library only: the submission's process uses this before it has restricted itself, when
nothing may have started a thread yet.
"""

from __future__ import annotations

import contextlib
import json
import math
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any

from HiggsML.errors import HiggsMLError

__all__ = ["Channel", "ChannelClosedError", "ChannelError"]

_HEADER = struct.Struct(">4sIQ")
_MAGIC = b"HML1"
_MAX_MESSAGE = 1 << 18
_MAX_DESCRIPTORS = 1
_PIECE = 1 << 20


class ChannelError(HiggsMLError):
    """A frame that is not as it must be."""


class ChannelClosedError(ChannelError):
    """The other side has gone."""


class Channel:
    """One end of the connection.

    Parameters
    ----------
    connection : socket
        A connected stream socket; the channel owns it.
    max_payload : int, optional
        Largest payload that is accepted [bytes]; none by default.
    """

    def __init__(self, connection: socket.socket, *, max_payload: int = 0) -> None:
        self._socket = connection
        self._max_payload = max_payload

    def send(
        self,
        message: dict[str, Any],
        payload: bytes | memoryview = b"",
        *,
        descriptors: Sequence[int] = (),
        timeout: float | None = None,
    ) -> None:
        """Send one frame.

        Raises
        ------
        ChannelClosedError
            If the other side has gone.
        TimeoutError
            If it does not take the frame in ``timeout`` seconds.
        """
        body = json.dumps(message, allow_nan=False).encode()
        if len(body) > _MAX_MESSAGE:
            raise ChannelError(f"a message of {len(body)} bytes is too long")
        head = _HEADER.pack(_MAGIC, len(body), len(payload)) + body
        self._socket.settimeout(timeout)
        try:
            if descriptors:
                sent = socket.send_fds(self._socket, [head], list(descriptors))
                head = head[sent:]
            self._socket.sendall(head)
            self._socket.sendall(payload)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ChannelClosedError("the other process has gone") from error

    def pending(self) -> bool:
        """Return whether something has arrived that nobody has asked for."""
        poll = select.poll()  # select.select fails for descriptors above 1023
        poll.register(self._socket, select.POLLIN)
        if not poll.poll(0):
            return False
        with _closed_means_gone():
            return bool(self._socket.recv(1, socket.MSG_PEEK))

    def receive(
        self,
        *,
        timeout: float | None = None,
        with_descriptors: bool = False,
        payload_limit: Callable[[dict[str, Any]], int] | None = None,
    ) -> tuple[dict[str, Any], bytes, list[int]]:
        """Receive one frame: message, payload and descriptors.

        Parameters
        ----------
        timeout : float, optional
            Seconds for the whole frame.
        with_descriptors : bool
            Whether descriptors are accepted; else the kernel drops them.
        payload_limit : callable, optional
            Checks the message, before any of its payload is read, and returns the largest payload
            that it may have [bytes].

        Raises
        ------
        ChannelError
            If the frame breaks the rules.
        ChannelClosedError
            If the other side has gone.
        TimeoutError
            If the whole frame is not there in ``timeout`` seconds.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        descriptors: list[int] = []
        head = b""
        if with_descriptors:
            self._arm(end)
            with _closed_means_gone():
                head, descriptors, _, _ = socket.recv_fds(
                    self._socket, _HEADER.size, _MAX_DESCRIPTORS
                )
            if not head:
                raise ChannelClosedError("the other process has gone")
        head += self._exactly(_HEADER.size - len(head), end)
        magic, message_size, payload_size = _HEADER.unpack(head)
        if magic != _MAGIC:
            raise ChannelError("the frame does not start with the magic bytes")
        if message_size > _MAX_MESSAGE:
            raise ChannelError(f"a message of {message_size} bytes is over {_MAX_MESSAGE}")
        message = _parsed(self._exactly(message_size, end))
        limit = self._max_payload if payload_limit is None else payload_limit(message)
        if payload_size > limit:
            raise ChannelError(f"a payload of {payload_size} bytes is over the limit of {limit}")
        return message, self._exactly(payload_size, end), descriptors

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _arm(self, end: float) -> None:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(None if math.isinf(left) else left)

    def _exactly(self, size: int, end: float) -> bytes:
        received = bytearray()
        while len(received) < size:
            self._arm(end)
            with _closed_means_gone():
                piece = self._socket.recv(min(size - len(received), _PIECE))
            if not piece:
                raise ChannelClosedError("the other process has gone")
            received += piece
        return bytes(received)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        # Not the error's own text: it may quote what was sent.
        raise ChannelError(f"the message is not valid JSON ({type(error).__name__})") from None
    if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
        raise ChannelError("the message is not an object with a kind")
    return message


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@contextlib.contextmanager
def _closed_means_gone() -> Any:
    try:
        yield
    except ConnectionError as error:
        raise ChannelClosedError("the other process has gone") from error
