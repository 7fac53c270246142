"""Raw, netlink, vsock and packet sockets. Must: refused."""

import socket

from attack import Honest, must_fail


class Model(Honest):
    def fit(self):
        for family in (16, 17, 40, 31, 38):
            must_fail(str(family), socket.socket, family, socket.SOCK_RAW)
        must_fail("raw", socket.socket, socket.AF_INET, socket.SOCK_RAW, 1)
