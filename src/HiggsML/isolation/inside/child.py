"""Start of the submission's process: restrict it, then hand over to the runner.

Started by :mod:`HiggsML.isolation.sandbox`. Only the standard library is imported before the
restrictions hold: NumPy would start threads, which they would not cover.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

from HiggsML.isolation.cage.restrict import Limits, Policy, restrict_self
from HiggsML.isolation.wire.channel import Channel

__all__ = ["main"]

_MAX_PAYLOAD = 1 << 40  # what the trusted side sends is not limited here


def main() -> NoReturn:
    """Serve the trusted process until it hangs up."""
    channel = Channel(socket.socket(fileno=int(sys.argv[1])), max_payload=_MAX_PAYLOAD)
    start, _, _ = channel.receive()
    report: dict[str, str] = {}
    listener = None
    _be_first_to_die()
    _fork_by_default()
    if start["restricted"]:
        policy = Policy(
            readable=tuple(Path(name) for name in start["readable"]),
            writable=tuple(Path(name) for name in start["writable"]),
            limits=Limits(**start["limits"]),
            parent=os.getppid(),
        )
        report, listener = restrict_self(policy)
    descriptors = [] if listener is None else [listener]
    ready = {"kind": "ready", "request": start["request"], "report": report}
    channel.send(ready, descriptors=descriptors)
    for descriptor in descriptors:
        os.close(descriptor)

    from HiggsML.isolation.inside import mappings, refusals, rendezvous
    from HiggsML.isolation.inside.joblib_workers import do_without_psutil
    from HiggsML.isolation.inside.runner import serve

    if start["restricted"]:
        do_without_psutil()
    if "on" in (report.get("system-call-filter"), report.get("landlock-files")):
        rendezvous.install()
        mappings.map_files_instead()
        refusals.explain()
    serve(channel, Path(start["model_file"]))


def _fork_by_default() -> None:
    """Start processes of the submission by fork, whatever this version of Python would do.

    From 3.14 on it is "forkserver", which needs a named socket, and the restrictions refuse those.
    A submission may still choose, so this is not ``set_start_method``, which can be called once.
    """
    if sys.platform == "linux":
        contexts: Any = multiprocessing.context
        contexts._default_context._default_context = multiprocessing.get_context("fork")


def _be_first_to_die() -> None:
    """Where memory runs out, the kernel shall end this process and not the trusted one."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
