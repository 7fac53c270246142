"""What a container is given: mounts, environment, restrictions; as data, without an engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["ContainerSpec", "Restrictions", "engine_arguments"]

WORKING_DIRECTORY = "/app/program"

DEFAULT_CAPABILITIES = (
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
    *("NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
)
"""What Docker gives a container, and the platform's worker takes away again."""

LABEL = "higgsml.run"


@dataclass(frozen=True)
class Restrictions:
    """How a container is confined.

    Attributes
    ----------
    as_platform : bool
        Exactly what the platform's worker does: all default capabilities dropped, no new
        privileges, and nothing else. The network is on there, and there is no memory limit.
    memory : str
        Memory and swap together, as Docker writes it; not applied ``as_platform``.
    pids : int
        Processes and threads; not applied ``as_platform``.
    temporary : str
        Size of the temporary directory, which is in memory; not applied ``as_platform``.
    """

    as_platform: bool = False
    memory: str = "8g"
    pids: int = 1024
    temporary: str = "2g"


@dataclass(frozen=True)
class ContainerSpec:
    """One container: what runs in it, and which directories it sees.

    Attributes
    ----------
    name : str
        "ingestion" or "scoring", for messages.
    image : str
        Its image.
    command : tuple of str
        Words of the command; no shell runs them.
    mounts : mapping of Path to str
        Directories of this machine, and where the container sees them.
    read_only : frozenset of str
        Those of the container's paths that it can not write.
    """

    name: str
    image: str
    command: tuple[str, ...]
    mounts: Mapping[Path, str]
    read_only: frozenset[str] = field(default=frozenset())


def engine_arguments(
    spec: ContainerSpec, restrictions: Restrictions, *, rootless: bool = False
) -> dict[str, Any]:
    """Return the keywords of the Docker SDK's ``containers.create``.

    Parameters
    ----------
    spec : ContainerSpec
        What to run.
    restrictions : Restrictions
        How to confine it.
    rootless : bool
        Whether the engine runs without root; the container's root is then the caller already.
    """
    arguments: dict[str, Any] = {
        "image": spec.image,
        "command": list(spec.command),
        "working_dir": WORKING_DIRECTORY,
        "environment": {"PYTHONUNBUFFERED": "1"},
        "volumes": {
            str(path): {"bind": target, "mode": "ro" if target in spec.read_only else "rw"}
            for path, target in spec.mounts.items()
        },
        "cap_drop": list(DEFAULT_CAPABILITIES),
        "security_opt": ["no-new-privileges"],
        "labels": {LABEL: spec.name},
        "detach": True,
    }
    if restrictions.as_platform:
        return arguments
    if os.getuid() != 0 and not rootless:
        # The results then belong to the caller, and need no rights of root to be written.
        arguments["user"] = f"{os.getuid()}:{os.getgid()}"
    return arguments | {
        "cap_drop": ["ALL"],
        "network_mode": "none",
        "read_only": True,
        "tmpfs": {"/tmp": f"rw,nosuid,nodev,mode=1777,size={restrictions.temporary}"},  # noqa: S108
        "mem_limit": restrictions.memory,
        "memswap_limit": restrictions.memory,
        "pids_limit": restrictions.pids,
    }
