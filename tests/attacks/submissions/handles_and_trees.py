"""Reach files by handles, detached trees and paths that are held but not opened. Must: refused."""

import os

from attack import CONFIG, Honest, must_fail, syscall


class Model(Honest):
    def fit(self):
        secret = CONFIG["secret"].encode()
        handle = b"\x80" + bytes(199)
        must_fail("handle", syscall, "name_to_handle_at", -100, secret, handle, bytes(4), 0)
        must_fail("by handle", syscall, "open_by_handle_at", 0, bytes(200), 0)
        must_fail("tree", syscall, "open_tree", -100, b"/", 1)
        must_fail("file system", syscall, "fsopen", b"tmpfs", 0)
        must_fail("pick", syscall, "fspick", -100, b"/", 0)
        must_fail("attributes", syscall, "mount_setattr", -100, b"/", 0, bytes(32), 32)
        held = os.open(CONFIG["secret"], os.O_PATH)
        must_fail("held", open, f"/proc/self/fd/{held}")
        must_fail("held, execute", os.execve, held, ["x"], {})
        must_fail("held, link", os.link, f"/proc/self/fd/{held}", "linked", follow_symlinks=True)
        folder = os.open(os.path.dirname(CONFIG["secret"]), os.O_PATH)
        must_fail("in a held folder", os.open, "secret", os.O_RDONLY, dir_fd=folder)
        os.fchdir(folder)
        must_fail("in its directory", open, "secret")
        must_fail("list", os.listdir, ".")
        must_fail("create", open, "planted", "x")
        os.chdir(os.environ["HOME"])
        os.close(held)
        os.close(folder)
