"""Count in objects of the kernel that outlive a process. Must: find no place for a message."""

import ctypes
import os

from attack import Honest, libc, must_fail, syscall

SOURCE = "/usr/bin/env"


class Model(Honest):
    def fit(self):
        must_fail("a key", syscall, "add_key", b"user", b"seen", b"1", 1, -3)
        must_fail("a keyring", syscall, "keyctl", 1, b"seen")
        must_fail("shared memory", syscall, "shmget", 4711, 4096, 0o1600)
        must_fail("a semaphore", syscall, "semget", 4711, 1, 0o1600)
        must_fail("a queue", syscall, "msgget", 4711, 0o1600)
        must_fail("a POSIX queue", syscall, "mq_open", b"seen", os.O_CREAT | os.O_RDWR, 0o600, 0)
        must_fail("an attribute", os.setxattr, __file__, "user.seen", b"1")
        must_fail("an attribute of a library", os.setxattr, os.__file__, "user.seen", b"1")
        must_fail("a second name", os.link, SOURCE, "seen")
        must_fail("a second name of a library", os.link, os.__file__, "seen")
        must_fail("userfaultfd", syscall, "userfaultfd", 0)
        must_fail("a watch", syscall, "inotify_add_watch", 0, SOURCE.encode(), 0xFFF)
        must_fail("the last number of a process", open, "/proc/sys/kernel/ns_last_pid", "w")
        must_fail("the host's name", libc, "sethostname", b"seen", 4)
        must_fail("the time", libc, "clock_settime", 0, ctypes.byref((ctypes.c_long * 2)(1, 1)))
