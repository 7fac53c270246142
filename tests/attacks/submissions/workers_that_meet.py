"""Tell another worker's process something by files and locks. Must: find nobody."""

import fcntl
import os
import time
from multiprocessing import shared_memory

from attack import ANSWER, Honest, must_be_false

ALONE = True
WORKERS = 2


def taken(lock, path):
    with open(path, "rb") as file:
        try:
            lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        time.sleep(0.5)
    return False


def read_lock_seen(path):
    """Hold a read lock, and ask whether another process holds one."""
    with open(path, "rb") as file:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        asked = fcntl.fcntl(file, fcntl.F_GETLK, bytes([1, 0]) + bytes(30))
        time.sleep(0.5)
    return asked[0] != 2 and any(asked[24:28])


class Model(Honest):
    def predict(self, test_set):
        for path in (__file__, os.__file__, "/usr/bin/env"):
            must_be_false(f"flock on {path}", taken(fcntl.flock, path))
            must_be_false(f"read lock on {path}", read_lock_seen(path))
        try:
            block = shared_memory.SharedMemory("attack-meeting", create=True, size=10)
        except FileExistsError:
            block = shared_memory.SharedMemory("attack-meeting")
        found = bytes(block.buf[:4]) not in (bytes(4), str(os.getpid()).encode()[:4].ljust(4))
        block.buf[:4] = str(os.getpid()).encode()[:4].ljust(4)
        must_be_false("a name in /dev/shm", found)
        must_be_false("seen from outside", os.path.exists("/dev/shm/attack-meeting-other"))
        return dict(ANSWER)
