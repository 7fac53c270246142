"""Reach services of the machine by named and abstract sockets. Must: refused."""

import socket

from attack import CONFIG, Honest, must_fail


class Model(Honest):
    def fit(self):
        def connect(name):
            with socket.socket(socket.AF_UNIX) as one:
                one.connect(name)

        for name in (
            CONFIG["unix"],
            CONFIG["abstract"],
            "/var/run/docker.sock",
            "/run/dbus/socket",
        ):
            must_fail(name, connect, name)
