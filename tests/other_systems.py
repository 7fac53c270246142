"""Make this interpreter lack what macOS or Windows lacks, before the package is imported.

Not those systems: what is left (the C library, paths, encodings) stays Linux's. Third-party
libraries are imported first, since theirs here are those of Linux.
"""

import builtins
import errno
import importlib
import os
import shutil
import socket
import sys

THIRD_PARTY = (
    *("asyncio", "concurrent.futures.process", "ctypes", "curses", "logging.handlers", "mmap"),
    *("multiprocessing.connection", "multiprocessing.pool", "multiprocessing.spawn"),
    *("multiprocessing.popen_spawn_posix", "sqlite3", "subprocess", "tarfile", "tempfile"),
    *("unittest.mock", "urllib.request", "zipfile", "webbrowser"),
    *("click", "docker", "iminuit", "jinja2", "joblib", "matplotlib.pyplot", "mplhep", "numpy"),
    *("pandas", "PIL.Image", "pyarrow.parquet", "requests", "rich.console", "rich.progress"),
    *("rich.table", "scipy.optimize", "scipy.stats", "sklearn.ensemble", "sklearn.linear_model"),
    *("sklearn.metrics", "sklearn.neural_network", "yaml"),
)
# Python's documentation: availability.
NOT_ON_MACOS = (
    *("memfd_create", "posix_fallocate", "posix_fadvise", "sched_getaffinity", "unshare", "setns"),
    *("sched_setaffinity", "waitid", "pidfd_open", "O_PATH", "copy_file_range", "setresuid"),
    *("WNOWAIT", "WEXITED", "P_PID", "MFD_CLOEXEC", "MFD_ALLOW_SEALING"),
)
NOT_ON_WINDOWS = (
    *NOT_ON_MACOS,
    *("fork", "forkpty", "killpg", "wait3", "wait4", "geteuid", "getuid", "getgid", "getegid"),
    *("setsid", "getsid", "getpgid", "getpgrp", "setpgid", "sysconf", "statvfs", "fstatvfs"),
    *("uname", "register_at_fork", "mkfifo", "mknod", "chown", "fchown", "lchown", "pread"),
    *("pwrite", "O_DIRECTORY", "O_NOFOLLOW", "WNOHANG", "getloadavg", "nice", "fchmod"),
)
NO_MODULES = {
    "darwin": (),
    "win32": ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"),
}


def pretend(system):
    """Take away what ``system``, a value of ``sys.platform``, does not have."""
    for name in THIRD_PARTY:
        importlib.import_module(name)
    for name in NO_MODULES[system]:
        sys.modules[name] = None
    for name in NOT_ON_MACOS if system == "darwin" else NOT_ON_WINDOWS:
        if hasattr(os, name):
            delattr(os, name)
    _without_proc()
    if system == "win32":
        for name in ("AF_UNIX", "SOCK_SEQPACKET", "send_fds", "recv_fds", "SCM_RIGHTS"):
            if hasattr(socket, name):
                delattr(socket, name)
        _like_windows_files()
    else:
        import fcntl

        del socket.SOCK_SEQPACKET
        for name in [name for name in dir(fcntl) if "SEAL" in name]:
            delattr(fcntl, name)
    sys.platform = system


def _without_proc():
    """Let nothing of /proc, /sys and /dev/shm be found."""

    def hidden(path):
        text = path.decode() if isinstance(path, bytes) else os.fspath(path)
        return isinstance(text, str) and text.startswith(("/proc", "/sys", "/dev/shm"))

    def guarded(function):
        def call(path=".", *arguments, **keywords):
            if not isinstance(path, int) and path is not None and hidden(path):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            return function(path, *arguments, **keywords)

        return call

    for module, name in (
        *((os, name) for name in ("open", "listdir", "scandir", "stat", "lstat", "access")),
        (builtins, "open"),
        (sys.modules["io"], "open"),
    ):
        setattr(module, name, guarded(getattr(module, name)))


def _like_windows_files():
    """Refuse to open directories, and to replace or remove a file that is open or mapped."""
    shutil._use_fd_functions = False
    real_open, listdir, readlink = os.open, os.listdir.__closure__, os.readlink
    real_listdir = next(c.cell_contents for c in listdir if callable(c.cell_contents))
    real_file = next(
        c.cell_contents
        for c in builtins.open.__closure__
        if callable(c.cell_contents) and c.cell_contents.__name__ == "open"
    )

    def open_file(path, *arguments, **keywords):
        if os.path.isdir(path):  # noqa: PTH112 (the function that is replaced takes strings)
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real_open(path, *arguments, **keywords)

    os.open = open_file

    def in_use(path):
        path = os.path.realpath(path)
        for number in real_listdir("/proc/self/fd"):
            try:
                if readlink(f"/proc/self/fd/{number}") == path:
                    return True
            except OSError:
                continue
        with real_file("/proc/self/maps") as maps:
            return any(line.rstrip("\n").endswith(f" {path}") for line in maps)

    def guarded(function):
        def call(path, *arguments, **keywords):
            if in_use(path) or (arguments and in_use(arguments[0])):
                raise PermissionError(errno.EACCES, "The file is in use by this process", path)
            return function(path, *arguments, **keywords)

        return call

    for name in ("replace", "rename", "unlink", "remove"):
        setattr(os, name, guarded(getattr(os, name)))
