"""Reach parts of the kernel with a history of holes. Must: refused."""

from attack import Honest, must_fail, syscall


class Model(Honest):
    def fit(self):
        for name in (
            "bpf",
            "userfaultfd",
            "keyctl",
            "perf_event_open",
            "io_uring_setup",
            "add_key",
            "memfd_create",
            "shmget",
            "msgget",
            "name_to_handle_at",
        ):
            must_fail(name, syscall, name, 0, 0, 0, 0, 0)
