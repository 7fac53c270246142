"""Send something that is no frame. Must: refused."""

import time

from attack import Honest, send

ALONE = True
ONCE = True
EXPECT = "magic bytes"


class Model(Honest):
    def fit(self):
        send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(60)
