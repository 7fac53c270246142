"""Leave System V and POSIX objects for the next submission to find. Must: refused."""

from attack import Honest, must_fail, syscall

CREATE = 0o1000 | 0o666


class Model(Honest):
    def fit(self):
        must_fail("memory", syscall, "shmget", 0x48494747, 4096, CREATE)
        must_fail("semaphores", syscall, "semget", 0x48494747, 1, CREATE)
        must_fail("messages", syscall, "msgget", 0x48494747, CREATE)
        must_fail("queue", syscall, "mq_open", b"higgsml", 0o102, 0o666, None)
        must_fail("key", syscall, "add_key", b"user", b"higgsml", b"1", 1, -4)
        must_fail("lists", open, "/proc/sysvipc/shm")
