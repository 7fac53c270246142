"""Commands on a terminal, as a person sees them."""

from __future__ import annotations

import os
import re
import signal
import struct
import subprocess
import sys

import pytest

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(*command, columns=80, cwd=None):
    """Run a command on a terminal; return its exit code and all lines that were ever on it."""
    if sys.platform == "win32":
        pytest.skip("Windows has no such terminals")
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        list(map(str, command)),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env=environment | {"TERM": "xterm-256color"},
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    try:
        while True:
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:  # all of its writers have gone
                break
            if not piece:
                break
            shown += piece
        code = process.wait(60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(ours)
    text = _ESCAPES.sub("", shown.decode(errors="replace"))
    return code, [line.rstrip() for line in re.split(r"[\r\n]+", text)]
