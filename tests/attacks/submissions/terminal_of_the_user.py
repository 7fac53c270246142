"""Type into the terminal from which the run was started. Must: refused."""

import fcntl
import os

from attack import Honest, must_be_false, must_fail, syscall

TIOCSTI, TIOCLINUX, TIOCSCTTY = 0x5412, 0x541C, 0x540E


class Model(Honest):
    def fit(self):
        must_fail("terminal", open, "/dev/tty", "r+")
        must_fail("console", open, "/dev/console", "w")
        must_fail("multiplexer", open, "/dev/ptmx", "r+")
        must_fail("others", os.listdir, "/dev/pts")
        for number in range(3):
            must_be_false(f"{number} is one", os.isatty(number))
            for command in (TIOCSTI, TIOCLINUX, TIOCSCTTY):
                must_fail(f"{number}, {command:#x}", fcntl.ioctl, number, command, b"x")
            high_bits = TIOCSTI | 1 << 32  # the kernel looks at the low half only
            must_fail(f"{number}, high bits", syscall, "ioctl", number, high_bits, b"x")
