"""Send datagrams. Must: refused."""

import socket

from attack import Honest, must_fail


class Model(Honest):
    def fit(self):
        for family in (socket.AF_INET, socket.AF_INET6):
            must_fail(str(family), socket.socket, family, socket.SOCK_DGRAM)
        must_fail("pair", socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM)
