"""Fill buffers of sockets, some on their way in a message. Must: be ended by the budget."""

import array
import os
import socket
import time

from attack import Honest

ALONE = True
EXCLUSIVE = True  # the kernel limits how many descriptors of a user are on their way
EXPECT = "BudgetError: the submission used .* of memory; its budget is 1.0 GB"
HOLDERS = 40


def fill(kind):
    kept = []
    for _ in range(200):
        try:
            left, right = socket.socketpair(socket.AF_UNIX, kind)
        except OSError:
            break
        left.setblocking(False)
        try:
            while True:
                left.send(bytes(1 << 17))
        except OSError:
            pass
        kept += [left, right]
    return kept


def hide(kept):
    """Send each full socket through another and close it here."""
    carrier, far = socket.socketpair()
    for one in kept:
        try:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [one.fileno()]))
            carrier.sendmsg([b"x"], [rights])
        except OSError:
            break
        one.close()
    return carrier, far


class Model(Honest):
    def fit(self):
        for number in range(HOLDERS):
            if os.fork() == 0:
                kept = fill(socket.SOCK_STREAM if number % 2 else socket.SOCK_SEQPACKET)
                carried = hide(kept[:100])
                time.sleep(60)
                os._exit(0)
        time.sleep(60)
