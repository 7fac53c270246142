"""Fill the temporary directory with strange names, pipes, sockets and loops. Must: removed."""

import os
import socket

from attack import Honest, must_be_false, must_fail

ALONE = True


class Model(Honest):
    def fit(self):
        for name in (b"\xff\xfe", b"a\nb", b"-rf", b"\x1b[2J", b"x" * 255, "\u202e".encode()):
            os.mkdir(name)
            with open(os.path.join(name, name), "wb") as file:
                file.write(b"x")
        os.mkfifo("pipe")
        os.symlink("loop", "loop")
        os.symlink("/", "root")
        os.symlink("..", "up")
        must_fail("device", os.mknod, "device", 0o20666, os.makedev(1, 1))
        must_fail("socket", lambda: socket.socket(socket.AF_UNIX).bind("socket"))
        must_be_false("nothing", False)
