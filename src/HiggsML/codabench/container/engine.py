"""The Docker engine: connect to it, have an image, run one container; each failure in a sentence.

The SDK is imported when it is needed: the platform's image does without it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from HiggsML.codabench.container.spec import ContainerSpec, Restrictions, engine_arguments
from HiggsML.errors import ContainerError

__all__ = ["Outcome", "connect", "ensure_image", "run_container"]

Log = Callable[[str], None]

_DEFAULT_HOST = "unix:///var/run/docker.sock"
_GRACE = 5  # s between the request to stop and the kill
_KEPT_LINES = 400
_LOG_WAIT = 10.0  # s


@dataclass(frozen=True)
class Outcome:
    """How a container ended.

    Attributes
    ----------
    exit_code : int or None
        None if it was killed at its time limit.
    seconds : float
        How long it ran.
    out_of_memory : bool
        Whether the kernel ended a process of it for lack of memory.
    log : tuple of str
        The last lines that it printed.
    """

    exit_code: int | None
    seconds: float
    out_of_memory: bool
    log: tuple[str, ...]


def connect() -> Any:
    """Return a client of the engine that ``DOCKER_HOST`` names, or of the local one; close it.

    Raises
    ------
    ContainerError
        If there is no SDK, no engine, or no right to use it.
    """
    try:
        import docker
        from docker.errors import DockerException
    except ImportError as error:
        raise ContainerError(
            "the Docker SDK is missing: pip install docker, or run without --docker"
        ) from error
    host = os.environ.get("DOCKER_HOST") or _DEFAULT_HOST
    try:
        _reach(host)
        client = docker.from_env()
    except PermissionError as error:
        raise ContainerError(
            f"this user may not use the Docker engine at {host}: join the group docker, and log in "
            "again"
        ) from error
    except (OSError, DockerException) as error:
        raise ContainerError(
            f"no Docker engine answers at {host} ({_first_line(error)}): start it, or set "
            "DOCKER_HOST"
        ) from error
    url = urlsplit(client.api.base_url)
    if url.scheme in ("http", "https") and url.hostname not in ("localhost", "127.0.0.1", "::1"):
        client.close()
        raise ContainerError(
            f"the Docker engine on {url.hostname} is on another machine, which can not see the "
            "directories of this one: unset DOCKER_HOST"
        )
    return client


def _reach(host: str) -> None:
    """Try a local engine's socket: the SDK's own error says less, and leaves its socket open."""
    if host.startswith("unix://"):
        if not hasattr(socket, "AF_UNIX"):
            raise OSError("from Windows, run this in the Linux of WSL 2: wsl --install")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_LOG_WAIT)
            probe.connect(host.removeprefix("unix://"))


def ensure_image(
    client: Any,
    name: str,
    *,
    context: Path | None = None,
    base_image: str | None = None,
    network: str | None = None,
    log: Log = lambda _: None,
) -> None:
    """Find an image, or build it where there is a Dockerfile to do that with.

    Parameters
    ----------
    client : docker.DockerClient
        From :func:`connect`.
    name : str
        Name and tag.
    context : Path, optional
        Directory with the Dockerfile.
    base_image : str, optional
        Replaces the one that the Dockerfile names.
    network : str, optional
        Network of the build, such as "host".
    log : callable
        Gets the lines of the build.

    Raises
    ------
    ContainerError
        If the image is not there and can not be built.
    """
    from docker.errors import APIError, ImageNotFound

    try:
        client.images.get(name)
    except ImageNotFound:
        if context is None or not (context / "Dockerfile").is_file():
            raise ContainerError(
                f"there is no image {name} here: `docker pull {name}` fetches it, `make image` in "
                "a checkout builds it"
            ) from None
        with (context / "Dockerfile").open("rb") as file:
            request = {
                "fileobj": file,  # the Dockerfile alone: datasets need not travel to the engine
                "buildargs": {"BASE_IMAGE": base_image} if base_image else {},
                "network_mode": network,
            }
            _build_image(client, name, request, log)
    except APIError as error:
        raise ContainerError(f"the image {name} can not be used: {_first_line(error)}") from error


def _build_image(client: Any, name: str, request: dict[str, Any], log: Log) -> None:
    """Build an image; ``request`` is for the engine, besides what every build asks for."""
    from docker.errors import APIError

    log(f"Building the image {name}")
    last = ""
    try:
        stream = client.api.build(tag=name, decode=True, rm=True, forcerm=True, **request)
        for part in stream:
            if "error" in part:
                raise ContainerError(
                    f"the image {name} could not be built: {part['error'].strip()} "
                    f"(last step: {last})"
                )
            if text := str(part.get("stream", "")).strip():
                last = text.splitlines()[0] if text.startswith("Step") else last
                log(text)
    except APIError as error:
        raise ContainerError(
            f"the image {name} could not be built: {_first_line(error)}"
        ) from error


def run_container(
    client: Any,
    spec: ContainerSpec,
    restrictions: Restrictions,
    *,
    time_limit: float | None = None,
    log: Log = lambda _: None,
) -> Outcome:
    """Run a container to its end and remove it, whatever happens.

    Parameters
    ----------
    client : docker.DockerClient
        From :func:`connect`.
    spec, restrictions : ContainerSpec, Restrictions
        What runs, and how it is confined.
    time_limit : float, optional
        Seconds after which it is asked to stop, then killed.
    log : callable
        Gets every line that the container prints, as it comes.

    Raises
    ------
    ContainerError
        If the engine can not run it.
    """
    from docker.errors import APIError, ImageNotFound

    rootless = any("rootless" in str(option) for option in client.info().get("SecurityOptions", ()))
    with _terminable():
        container = None
        try:
            container = client.containers.create(
                **engine_arguments(spec, restrictions, rootless=rootless)
            )
            return _watch(container, time_limit, log)
        except ImageNotFound as error:
            raise ContainerError(f"there is no image {spec.image} here") from error
        except APIError as error:
            raise ContainerError(f"{spec.name} can not run: {_first_line(error)}") from error
        finally:
            if container is not None:
                with contextlib.suppress(APIError):
                    container.remove(force=True, v=True)


def _watch(container: Any, time_limit: float | None, log: Log) -> Outcome:
    lines: list[str] = []

    def follow() -> None:
        stream = container.logs(stream=True, follow=True)
        with contextlib.closing(stream):
            for line in _lines(stream):
                lines.append(line)
                del lines[:-_KEPT_LINES]
                log(line)

    started = time.monotonic()
    container.start()
    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    exit_code: int | None = None
    # Asked for in short steps rather than waited for in one: Ctrl-C then acts at once, and a
    # client's own time limit on an open request does not matter.
    while True:
        container.reload()
        if container.status in ("exited", "dead"):
            exit_code = int(container.attrs["State"]["ExitCode"])
            break
        if time_limit is not None and time.monotonic() - started > time_limit:
            container.stop(timeout=_GRACE)
            break
        time.sleep(0.2)
    seconds = time.monotonic() - started
    reader.join(_LOG_WAIT)
    container.reload()
    state = container.attrs["State"]
    return Outcome(exit_code, seconds, bool(state.get("OOMKilled")), tuple(lines))


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Cut a stream into lines; the engine cuts it anywhere."""
    left = b""
    for chunk in chunks:
        *whole, left = (left + chunk).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace").rstrip("\r")
    if left:
        yield left.decode("utf-8", "replace")


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Have a request to terminate raise, as Ctrl-C does, so that containers are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    former = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _first_line(error: Exception) -> str:
    text = str(getattr(error, "explanation", None) or error)
    text = " ".join(text.split())
    return re.sub(r"^Error while fetching server API version: ", "", text)[:300]
