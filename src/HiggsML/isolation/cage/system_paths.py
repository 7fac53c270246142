"""Files that an honest submission's libraries open: Python, shared libraries, a few facts.

Landlock refuses with "permission denied" where a file exists but is not listed, and some libraries
take that worse than "no such file". So this lists small public files generously, and never a
directory in which something of the user could lie.
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from pathlib import Path

from HiggsML.files import PACKAGE

__all__ = ["opening", "system_listable", "system_readable", "system_writable"]

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_LIBRARIES = ("site-packages", "dist-packages")
_STORES = ("/nix/store", "/gnu/store")  # systems whose libraries live elsewhere

# No passwords, keys, host names or resolvers: there is no network to use them for.
_ETC = (
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ld.so.preload", "ld-musl-x86_64.path"),
    *("ld-musl-aarch64.path", "localtime", "timezone", "nsswitch.conf", "passwd", "group"),
    *("mime.types", "os-release", "lsb-release", "debian_version", "locale.alias", "terminfo"),
    *("ssl/openssl.cnf", "ssl/certs", "pki/tls/openssl.cnf", "pki/tls/certs", "crypto-policies"),
    *("fonts", "OpenCL"),
)

# Never a file of another process. /proc/self is this process's own only: what it starts does not
# see its own one.
_PROC = (
    *("self", "cpuinfo", "meminfo", "stat", "filesystems", "loadavg", "uptime", "version"),
    *("vmstat", "zoneinfo", "devices", "cgroups", "sys/kernel/osrelease", "sys/kernel/ostype"),
    *("sys/kernel/version", "sys/kernel/pid_max", "sys/kernel/threads-max", "sys/kernel/random"),
    *("sys/kernel/cap_last_cap", "sys/kernel/ngroups_max", "sys/kernel/numa_balancing"),
    *("sys/vm/overcommit_memory", "sys/vm/max_map_count", "sys/vm/nr_hugepages"),
)
_SYS = (*("devices/system", "fs/cgroup", "kernel/mm/transparent_hugepage", "kernel/mm/hugepages"),)

# Not "zero": mapped shared it is memory that no process's account shows.
_DEVICES = ("null", "full")
_RANDOM = ("random", "urandom")

# With an NVIDIA driver (not tested by this project): what its libraries ask about the cards.
_NVIDIA_DEVICES = ("nvidia[0-9]*", "nvidiactl", "nvidia-uvm*", "nvidia-modeset", "nvidia-caps/*")
_NVIDIA_FACTS = ("/proc/driver/nvidia", "/proc/modules", "/sys/bus/pci", "/sys/devices/pci*")


def system_readable() -> tuple[Path, ...]:
    """Return what is readable and executable for every submission: interpreter and libraries."""
    paths = [Path(name) for name in _SYSTEM]
    paths += _python()
    paths += [Path("/etc", name) for name in _ETC]
    paths += [Path("/proc", name) for name in _PROC]
    paths += [Path("/sys", name) for name in _SYS]
    paths += [Path("/dev", name) for name in _RANDOM]
    if _nvidia():
        facts = [name.lstrip("/") for name in _NVIDIA_FACTS]
        paths += [path for name in facts for path in Path("/").glob(name)]
    return tuple(dict.fromkeys(paths))


def system_listable() -> tuple[Path, ...]:
    """Return directories of which the names, not the files, are open to every submission.

    Programs such as lscpu, which scikit-learn asks for the number of cores, open ``/proc`` itself
    first. The names there, numbers of processes and threads, are no secret: ``stat`` finds them.
    """
    return (Path("/proc"),)


def system_writable(*, shared_memory: bool = True) -> tuple[Path, ...]:
    """Return what is writable for every submission: harmless devices and POSIX shared memory.

    ``/dev/shm`` is among them because every lock of :mod:`multiprocessing` is a file there. In a
    mount namespace it is private; elsewhere the trusted process serves it, and it is closed
    (``shared_memory=False``). On a kernel that knows neither it is the machine's own (a
    container's), can not be listed, and trusted code must not keep anything there under a name.
    """
    names = (*_DEVICES, "shm") if shared_memory else _DEVICES
    devices = [Path("/dev", name) for name in names]
    return (*devices, *_nvidia())


def opening(directory: Path, *others: Path) -> Path | None:
    """Return what opens a directory to a submission: one of its directories, or None.

    Parameters
    ----------
    directory : Path
        Whether or not it exists.
    *others : Path
        What is open besides that which is open to every submission.
    """
    resolved = directory.resolve()
    for path in (*others, *system_readable(), *system_writable()):
        # "self" in /proc is another directory for each process, and never one of files of ours.
        if resolved.is_relative_to(path.resolve()):
            return path
    return None


def _nvidia() -> list[Path]:
    return [path for pattern in _NVIDIA_DEVICES for path in sorted(Path("/dev").glob(pattern))]


def _python() -> list[Path]:
    """Return the interpreter's directories, and this package's own source."""
    installed = {name: path for name, path in sysconfig.get_paths().items() if name != "data"}
    paths = [PACKAGE, Path(sys.executable), *map(Path, installed.values())]
    # Where an installation outside the prefix (CUDA, ROOT) has its libraries.
    paths += [Path(name) for name in os.environ.get("LD_LIBRARY_PATH", "").split(":") if name]
    for prefix in map(Path, (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)):
        if (prefix / "pyvenv.cfg").exists():
            # A virtual environment may be made in a directory that holds other things too.
            parts = ("bin", "lib", "lib64", "include", "share", "etc", "pyvenv.cfg")
            paths += [prefix / part for part in parts]
        else:
            paths.append(prefix)
    # Libraries that a .pth file adds.
    paths += [path for path in map(Path, sys.path) if path.name in _LIBRARIES]
    if site.ENABLE_USER_SITE:
        paths.append(Path(site.getusersitepackages()))
    for store in map(Path, _STORES):
        if Path(sys.base_prefix).resolve().is_relative_to(store):
            paths.append(store)
    # A relative path means nothing here, and "/" (a Python installed at the root) everything.
    return [path for path in paths if path.is_absolute() and path.resolve() != Path("/")]
