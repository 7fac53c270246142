"""What a submission prints, copied to the log: marked, harmless to a terminal, and limited."""

from __future__ import annotations

import os
from typing import IO

from HiggsML.errors import MARK
from HiggsML.files import size_text
from HiggsML.isolation.wire.messages import clean_text

__all__ = ["OutputLog"]

_PIECE = 1 << 16
_MAX_LINE = 8000  # characters


class OutputLog:
    """Writes a submission's lines, each with a mark that the submission can not forge.

    Parameters
    ----------
    log : text stream
        Where the lines go.
    limit : int
        Bytes that are kept.
    """

    def __init__(self, log: IO[str], limit: int) -> None:
        self._log = log
        self._limit = self._left = limit

    def note(self, text: str) -> None:
        """Write one line."""
        line = clean_text(text, _MAX_LINE).replace("\n", " ")
        try:
            print(f"{MARK} {line}", file=self._log, flush=True)
        except (OSError, ValueError):
            self._left = 0  # the log's reader has gone: that is no reason to fail

    def copy(self, descriptor: int) -> None:
        """Copy all that comes from a pipe, until it is closed."""
        rest = b""
        while piece := os.read(descriptor, _PIECE):
            if self._left <= 0:
                continue  # what is not read would block the submission
            kept = piece[: self._left]
            self._left -= len(kept)
            *lines, rest = (rest + kept).split(b"\n")
            if len(rest) >= _PIECE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self.note(line.rstrip(b"\r").decode(errors="replace"))
            if self._left <= 0:
                self.note(rest.decode(errors="replace"))
                rest = b""
                self.note(f"... more than {size_text(self._limit)} of output: the rest is dropped")
        if rest:
            self.note(rest.decode(errors="replace"))
