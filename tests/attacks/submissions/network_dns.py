"""Resolve a name, which could carry data out. Must: refused."""

import socket
import urllib.request

from attack import Honest, must_fail


class Model(Honest):
    def fit(self):
        must_fail("resolve", socket.getaddrinfo, "example.org", 80)
        must_fail("download", urllib.request.urlopen, "http://example.org/", timeout=2)
