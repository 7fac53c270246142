"""Connect to a server of the machine, and listen. Must: refused."""

import socket
import subprocess
import sys

from attack import CONFIG, Honest, must_fail


class Model(Honest):
    def fit(self):
        must_fail("connect", socket.create_connection, ("127.0.0.1", CONFIG["port"]), 2)
        must_fail("IPv6", socket.create_connection, ("::1", CONFIG["port"]), 2)
        must_fail("listen", socket.create_server, ("127.0.0.1", 0))
        must_fail(
            "curl",
            lambda: subprocess.run(
                [
                    sys.executable,
                    "-c",
                    f"import socket; socket.create_connection(('127.0.0.1', {CONFIG['port']}))",
                ],
                check=True,
                stderr=subprocess.DEVNULL,
            ),
        )
