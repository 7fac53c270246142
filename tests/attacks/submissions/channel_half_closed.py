"""Close the reading half of the channel. Must: noticed."""

import socket
import time

from attack import Honest, channel

ALONE = True
ONCE = True
EXPECT = "during"


class Model(Honest):
    def fit(self):
        channel()[0].shutdown(socket.SHUT_RDWR)
        time.sleep(60)
