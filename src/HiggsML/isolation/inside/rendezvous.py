"""Let processes of a submission find each other without sockets that have a name.

:mod:`multiprocessing` binds a socket to a name where a process that is not a child must be reached:
for ``Manager()``, and to send a file descriptor, which is how PyTorch's ``DataLoader`` hands over
tensors. The system-call filter refuses named sockets. Pairs of connected sockets are allowed, so a
thread of the submission's first process introduces the others: it holds one end of a pair whose
other end every process inherits. A listener sends one end of a new pair there, under its address;
a client one end of another, which the thread passes on to the listener of that address.

Nothing here is a wall, and nothing can be reached but what the submission started itself.
"""

from __future__ import annotations

import contextlib
import multiprocessing.connection
import multiprocessing.popen_spawn_posix
import multiprocessing.spawn
import multiprocessing.util
import os
import socket
import threading
from typing import Any

__all__ = ["install"]

_MAX_REQUEST = 4096  # bytes of an address
_LISTEN, _CONNECT, _INTRODUCED = b"L", b"C", b"I"
_to_hub: socket.socket | None = None  # what every process inherits
_at_hub: socket.socket | None = None  # the other end, until the thread serves it


def install(descriptor: int | None = None) -> None:
    """Have multiprocessing meet here, in this process and in all that it starts.

    Parameters
    ----------
    descriptor : int, optional
        The end of the pair that a process started by "spawn" was given. By default there is no
        pair yet, and this process becomes the one that introduces the others.
    """
    global _to_hub, _at_hub
    if _to_hub is not None:
        return
    if descriptor is None:
        _at_hub, _to_hub = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        os.register_at_fork(before=_serve)
    else:
        _to_hub = socket.socket(fileno=descriptor)
    connection: Any = multiprocessing.connection
    connection.SocketListener = _Listener
    connection.SocketClient = _client
    util: Any = multiprocessing.util
    spawn: Any = multiprocessing.spawn
    inherited, prepared = util.spawnv_passfds, spawn.get_preparation_data
    own = _to_hub.fileno()

    def start(path: Any, args: Any, descriptors: Any) -> Any:
        _serve()
        return inherited(path, args, [*descriptors, own])

    util.spawnv_passfds = start
    spawn.get_preparation_data = lambda name: {**prepared(name), "higgsml": _Installed(own)}


class _Installed:
    """Installs this in a process started by "spawn", when that unpickles it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        # By its file: the directory of the package can not be listed, so not be imported from.
        code = (
            "import importlib.util, sys\n"
            f"spec = importlib.util.spec_from_file_location({__name__!r}, {__file__!r})\n"
            "module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)\n"
            "spec.loader.exec_module(module)\n"
            f"module.install({self._descriptor})"
        )
        return exec, (code,)


class _Listener:
    """In place of multiprocessing's own listener at a named socket."""

    def __init__(self, address: Any, family: str, backlog: int = 1) -> None:
        self._family, self._address, self._last_accepted = family, address, None
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            _ask(_LISTEN, address, theirs)

    def accept(self) -> Any:
        _, descriptors, _, _ = socket.recv_fds(self._socket, 1, 1)
        if not descriptors:
            raise ConnectionAbortedError("the listener is closed")
        return multiprocessing.connection.Connection(descriptors[0])

    def close(self) -> None:
        self._socket.close()


def _client(address: Any) -> Any:
    ours, theirs = socket.socketpair()
    with theirs:
        _ask(_CONNECT, address, theirs)
    if not ours.recv(1):  # closed by the thread
        ours.close()
        raise ConnectionRefusedError(f"no process of the submission listens at {address!r}")
    return multiprocessing.connection.Connection(ours.detach())


def _ask(kind: bytes, address: Any, theirs: socket.socket) -> None:
    assert _to_hub is not None  # noqa: S101 (it was installed)
    _serve()
    socket.send_fds(_to_hub, [kind + repr(address).encode()[:_MAX_REQUEST]], [theirs.fileno()])


def _serve() -> None:
    """Start the thread, once and in the first process only: before the first fork or use."""
    global _at_hub
    if _at_hub is not None:
        hub, _at_hub = _at_hub, None
        threading.Thread(target=_introduce, args=(hub,), daemon=True).start()


def _introduce(hub: socket.socket) -> None:
    listeners: dict[bytes, socket.socket] = {}
    while True:
        request, descriptors, _, _ = socket.recv_fds(hub, 1 + _MAX_REQUEST, 1)
        if not descriptors:
            if not request:
                return
            continue
        end = socket.socket(fileno=descriptors[0])
        kind, address = request[:1], request[1:]
        if kind == _LISTEN:
            end.setblocking(False)
            listeners[address] = end
            continue
        with end, contextlib.suppress(OSError):  # a client that has gone, a listener too busy
            if address in listeners and _is_open(listeners[address]):
                end.send(_INTRODUCED)  # first: from then on the listener may speak
                socket.send_fds(listeners[address], [_INTRODUCED], [end.fileno()])


def _is_open(listener: socket.socket) -> bool:
    try:
        return bool(listener.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return True
