"""Restrictions of a submission's process, proven by real processes that try what is forbidden.

Every test starts a trusted parent, which guards a secret file and listens on sockets, and a child
that restricts itself and then runs one function of this file. This is done as three persons:
`root` on a bare machine, `container` (root without capabilities and namespaces, as the platform
starts its containers) and `ordinary` (any other user).
"""

import ctypes
import errno
import fcntl
import functools
import inspect
import json
import mmap
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from HiggsML.errors import IsolationError
from HiggsML.isolation.cage import kernel, restrict
from HiggsML.isolation.cage.restrict import ESSENTIAL, MECHANISMS, Limits, Policy

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")

SRC = Path(__file__).resolve().parents[1] / "src"
NOBODY = 65534
SECRET = "mu = 1.618"
DENIED = {"EACCES", "EPERM", "EROFS"}

_IMPORTS = """
import ctypes, errno, fcntl, json, mmap, os, resource, shutil, signal, socket, struct
import subprocess, sys, tempfile, threading, time
from pathlib import Path
"""

_PARENT = """
sys.path[:0] = [config["src"]]
from HiggsML.isolation.cage import kernel, privileges, restrict
if config["person"] == "container":
    privileges.drop_capabilities()
    kernel.prctl(38, 1)
restrict.protect_parent()
outside = Path(config["outside"])
(outside / "secret").write_text(config["secret"])
with open(outside / "secret", "a") as held:
    held.flush()
tcp = socket.create_server(("127.0.0.1", 0))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
named, abstract, datagrams = (
    socket.socket(socket.AF_UNIX, kind)
    for kind in (socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_DGRAM)
)
named.bind(str(outside / "socket"))
abstract.bind(f"\\0higgsml-test-{os.getpid()}")
datagrams.bind(str(outside / "datagrams"))
named.listen()
abstract.listen()
threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
thread = max(int(name) for name in os.listdir("/proc/self/task"))
config |= {
    "tcp": tcp.getsockname()[1], "udp": udp.getsockname()[1], "parent": os.getpid(),
    "abstract": f"\\0higgsml-test-{os.getpid()}", "thread": thread, "address": id(config["secret"]),
}
limits = (resource.getrlimit(resource.RLIMIT_NOFILE), os.sched_getaffinity(0))
# Another interpreter's libraries have to be found by what joblib starts, too.
flags = ["-s", "-P"] if config["site"] else ["-I"]
child = subprocess.Popen(
    [sys.executable, *flags, "-B", "-c", config["child"], json.dumps(config)],
    start_new_session=True, stdout=subprocess.PIPE, cwd=config["private"],
    env={"TMPDIR": config["private"], "HOME": config["private"], "PATH": "/usr/bin:/bin",
         "PYTHONPATH": ":".join(config["site"]), "OMP_WAIT_POLICY": "PASSIVE"},
)
if config.get("abandon"):
    print(child.pid, flush=True)
    child.stdout.readline()
    os._exit(0)
answer = child.communicate()[0].decode()
assert child.returncode == 0, child.returncode
assert limits == (resource.getrlimit(resource.RLIMIT_NOFILE), os.sched_getaffinity(0))
udp.setblocking(False)
datagrams.setblocking(False)
for receiver in (udp, datagrams):
    try:
        raise AssertionError(f"arrived: {receiver.recv(100)}")
    except BlockingIOError:
        pass
assert (outside / "secret").read_text() == config["secret"]
print(answer)
"""

_CHILD = """
sys.path[:0] = [config["src"]]
sys.path += config["site"]
from HiggsML.isolation.cage import kernel, restrict, seccomp

limits = restrict.Limits(**config["limits"])
readable = tuple(map(Path, [config["readable"], *config["site"]]))
policy = restrict.Policy(readable, (Path(config["private"]),), limits, config["parent"])
if config["person"] == "container":
    refused = dict.fromkeys(restrict.NAMESPACES, "refused for this test")
    restrict.enter_namespaces = lambda *_, **__: dict(refused)
    restrict._redirect = lambda: None  # nobody would serve it here
if config["filter_only"]:
    kernel.prctl(38, 1)
    protected, groups = restrict._aims_to_refuse(policy.parent)
    report = {"system-call-filter": seccomp.restrict(protected=protected, groups=groups)}
else:
    report, _ = restrict.restrict_self(policy)
if any(report.get(name, "on") != "on" for name in config["needs"]):
    print(json.dumps([report, None]))
    sys.exit()
"""


def attempt(function, *arguments, **keywords):
    """Return "done", or the name of the error."""
    try:
        function(*arguments, **keywords)
    except OSError as error:
        return errno.errorcode.get(error.errno, repr(error))
    except Exception as error:
        return type(error).__name__
    return "done"


def raw(number, *arguments):
    """Call the kernel by number (of x86_64, or the pair with that of aarch64)."""
    if isinstance(number, tuple):
        number = number[0 if kernel.machine() == "x86_64" else 1]
    kernel.call("syscall", number, *arguments)


@dataclass(frozen=True)
class Person:
    name: str
    python: str
    user: int
    site: tuple[str, ...]


@functools.cache
def _person(name: str) -> Person | str:
    """Return how to run Python as this person, or why that is impossible here."""
    root = os.geteuid() == 0
    if name != "ordinary":
        here = Person(name, sys.executable, os.geteuid(), ())
        return here if root else f"{name}: these tests run as an ordinary user"
    if not root:
        return Person(name, sys.executable, os.geteuid(), ())
    # Another user may not reach this interpreter (a home directory); the system's own one can use
    # the same libraries if it has the same version.
    site = sysconfig.get_paths()["platlib"]
    system = shutil.which(f"python{sys.version_info[0]}.{sys.version_info[1]}", path=os.defpath)
    for python, extra in ((sys.executable, ()), (system, (site,))):
        if python is None:
            continue
        code = f"import sys; sys.path[:0] = ['{SRC}', *{extra}]; import HiggsML.errors, numpy"
        command = [python, "-I", "-B", "-c", code]
        try:
            done = subprocess.run(
                command, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, cwd="/"
            )
        except PermissionError:
            continue
        if done.returncode == 0:
            return Person(name, python, NOBODY, extra)
    return f"ordinary: user {NOBODY} can run neither {sys.executable} nor {system} with NumPy"


@pytest.fixture(params=["root", "container", "ordinary"])
def person(request):
    found = _person(request.param)
    if isinstance(found, str):
        pytest.skip(found)
    return found


class Case:
    """Directories of one parent and child, owned by the person."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.base = Path(tempfile.mkdtemp(prefix="higgsml-test-"))
        self.directories = {}
        for name in ("private", "readable", "outside"):
            self.directories[name] = self.base / name
            self.directories[name].mkdir()
        (self.directories["readable"] / "weights").write_text("0.5")
        for path in (self.base, *self.base.iterdir(), self.directories["readable"] / "weights"):
            os.chown(path, person.user, -1)

    def start(self, body, *, needs=ESSENTIAL, limits=None, filter_only=False, abandon=False):
        source = "\n".join(map(inspect.getsource, (attempt, raw, body)))
        final = f"print(json.dumps([report, {body.__name__}(config)]))"
        load = "import json, sys\nconfig = json.loads(sys.argv[1])\n"
        config = {
            **{name: str(path) for name, path in self.directories.items()},
            "src": str(SRC),
            "site": list(self.person.site),
            "person": self.person.name,
            "secret": SECRET,
            "needs": needs,
            "limits": limits or {},
            "filter_only": filter_only,
            "abandon": abandon,
            "child": f"{_IMPORTS}{load}{_CHILD}\n{source}\n{final}",
        }
        command = [self.person.python, "-I", "-B", "-c", f"{_IMPORTS}{load}{_PARENT}"]
        identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        other = os.geteuid() != self.person.user
        return subprocess.Popen(
            [*command, json.dumps(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            start_new_session=True,
            **(identity if other else {}),
        )

    def run(self, body, *, needs=ESSENTIAL, **keywords):
        """Return what the body returned in the restricted process."""
        process = self.start(body, needs=needs, **keywords)
        answer, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        report, result = json.loads(answer.strip().splitlines()[-1])
        for name in needs:
            if report.get(name, "on") != "on":
                pytest.skip(f"{name}: {report[name]}")
        return result


@pytest.fixture
def case(person):
    made = Case(person)
    yield made
    shutil.rmtree(made.base)


# --- files ------------------------------------------------------------------------------------


def read_outside(config):
    secret, private = Path(config["outside"], "secret"), Path(config["private"])
    (private / "link").symlink_to(secret)
    outcome = {
        "open": attempt(secret.read_text),
        "through a link": attempt((private / "link").read_text),
        "through /proc": attempt(Path(f"/proc/self/root{secret}").read_text),
        "relative": attempt(Path("../outside/secret").read_text),
        "for writing only": attempt(os.open, secret, os.O_WRONLY),
        "list": attempt(os.listdir, config["outside"]),
        "watch": attempt(raw, (254, 27), 0, config["outside"].encode(), 2),
        "hard link": attempt(os.link, secret, private / "hard"),
        "program": attempt(subprocess.run, ["/bin/cat", str(secret)], check=True, stderr=-3),
    }
    for path in ("/", "/tmp", "/root", "/home", "/var/log", "/sys", "/dev", "/dev/shm", "/etc"):
        if Path(path).is_dir():
            outcome[f"list {path}"] = attempt(os.listdir, path)
    for path in ("/etc/shadow", "/etc/hostname", "/proc/1/cmdline", "/proc/kallsyms", "/dev/mem"):
        if Path(path).exists():
            outcome[f"read {path}"] = attempt(os.open, path, os.O_RDONLY)
    return outcome


def test_nothing_outside_can_be_read(case):
    outcome = case.run(read_outside)
    assert outcome.pop("program") == "CalledProcessError"
    assert outcome.pop("hard link") in {*DENIED, "EXDEV"}
    assert set(outcome.values()) <= DENIED, outcome


def write_outside(config):
    outside, readable = Path(config["outside"]), Path(config["readable"])
    secret, private = outside / "secret", Path(config["private"])
    (private / "plant").write_text("planted")
    before = secret.stat()
    refused = {
        "overwrite": attempt(secret.write_text, "1"),
        "append": attempt(os.open, secret, os.O_WRONLY | os.O_APPEND),
        "truncate": attempt(os.truncate, secret, 0),
        "remove": attempt(secret.unlink),
        "create": attempt((outside / "new").write_text, "1"),
        "make a directory": attempt((outside / "new").mkdir),
        "move away": attempt(secret.rename, private / "taken"),
        "move in": attempt((private / "plant").rename, outside / "secret"),
        "link in": attempt((outside / "new").symlink_to, private / "plant"),
        "hard link in": attempt(os.link, private / "plant", outside / "new"),
        "write to readable": attempt((readable / "weights").write_text, "1"),
        "create in readable": attempt((readable / "new").write_text, "1"),
        "write to libraries": attempt(os.open, json.__file__, os.O_WRONLY),
        "extended attribute": attempt(os.setxattr, secret, "user.note", b"1"),
        "owner": attempt(os.chown, secret, os.getuid(), os.getgid()),
        "oom score": attempt(Path("/proc/self/oom_score_adj").write_text, "-1000"),
    }
    pretended = [attempt(secret.chmod, 0), attempt(os.utime, secret, (0, 0))]
    after = secret.stat()
    changed = (before.st_mode, before.st_mtime_ns) != (after.st_mode, after.st_mtime_ns)
    return [refused, pretended, changed]


def test_nothing_outside_can_be_written_or_changed(case):
    refused, pretended, changed = case.run(write_outside)
    assert set(refused.values()) <= {*DENIED, "EXDEV"}, refused
    assert pretended == ["done", "done"]
    assert not changed


def use_private(config):
    private, readable = Path(config["private"]), Path(config["readable"])
    (private / "a" / "b").mkdir(parents=True)
    (private / "a" / "file").write_text("1")
    (private / "a" / "file").rename(private / "a" / "b" / "moved")
    os.truncate(private / "a" / "b" / "moved", 0)
    (private / "a" / "link").symlink_to("b")
    os.link(private / "a" / "b" / "moved", private / "a" / "hard")
    shutil.copy2(readable / "weights", private / "weights")
    mode = (private / "a" / "b" / "moved").stat().st_mode & 0o777
    shutil.rmtree(private / "a")
    with tempfile.NamedTemporaryFile() as file, tempfile.TemporaryDirectory() as directory:
        inside = [Path(name).is_relative_to(private) for name in (file.name, directory)]
    return [
        (private / "weights").read_text(),
        mode,
        inside,
        [path.name for path in private.iterdir()],
    ]


def test_the_private_directory_has_every_right(case):
    assert case.run(use_private) == ["0.5", 0o600, [True, True], ["weights"]]


def own_facts(config):
    paths = ["/proc/self/status", "/proc/self/maps", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat"]
    paths += ["/sys/devices/system/cpu/online", "/dev/urandom", "/etc/passwd"]
    for path in paths:
        with Path(path).open("rb") as file:
            assert file.read(4), path
    Path("/dev/null").write_text("1")
    assert list(Path("/proc/self/task").iterdir())
    assert list(Path("/proc/self/fd").iterdir())
    return [os.getuid(), Path(config["private"]).stat().st_uid]


def test_facts_about_itself_and_the_machine_are_readable(case):
    user, owner = case.run(own_facts)
    assert user == owner == case.person.user


# --- network ----------------------------------------------------------------------------------


def use_network(config):
    def datagrams_of_a_pair():
        ours, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.sendto(b"1", config["outside"] + "/datagrams")

    stream, _ = socket.socketpair()
    refused = {
        "TCP": attempt(socket.create_connection, ("127.0.0.1", config["tcp"])),
        "TCP server": attempt(socket.create_server, ("127.0.0.1", 0)),
        "UDP": attempt(socket.socket, socket.AF_INET, socket.SOCK_DGRAM),
        "UDP v6": attempt(socket.socket, socket.AF_INET6, socket.SOCK_DGRAM),
        "raw": attempt(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1),
        "unix": attempt(socket.socket, socket.AF_UNIX),
        "netlink": attempt(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW),
        "packet": attempt(socket.socket, socket.AF_PACKET, socket.SOCK_RAW),
        "vsock": attempt(socket.socket, 40, socket.SOCK_STREAM),
        "connect a pair": attempt(stream.connect, config["abstract"]),
        "datagrams of a pair": attempt(datagrams_of_a_pair),
        "a pair of another family": attempt(socket.socketpair, 30, socket.SOCK_STREAM),
    }
    name = attempt(socket.getaddrinfo, "localhost.example.org", 80)
    first, second = socket.socketpair()
    first.sendall(b"works")
    return [refused, name, second.recv(5).decode()]


def test_no_network_but_pairs_of_sockets(case):
    refused, name, received = case.run(use_network)
    assert set(refused.values()) <= DENIED, refused
    assert name != "done"
    assert received == "works"


def has_interface(config):
    return Path("/proc/self/net/dev").read_text()


def test_the_network_namespace_has_no_interface(case):
    table = case.run(has_interface, needs=["network-namespace"])
    assert [line.split(":")[0].strip() for line in table.splitlines()[2:]] == ["lo"]


# --- the trusted process ----------------------------------------------------------------------


def aim_at_parent(config):
    parent, thread = config["parent"], config["thread"]
    group = os.getpgid(parent)
    pair, _ = socket.socketpair()
    refused = {
        "probe": attempt(os.kill, parent, 0),
        "terminate": attempt(os.kill, parent, signal.SIGTERM),
        "stop": attempt(os.kill, parent, signal.SIGSTOP),
        "its thread": attempt(os.kill, thread, signal.SIGKILL),
        "its group": attempt(os.killpg, group, signal.SIGKILL),
        "everything": attempt(os.kill, -1, 0),
        "its ancestor": attempt(os.kill, 1, 0),
        "tkill": attempt(raw, (200, 130), thread, 9),
        "tgkill": attempt(raw, (234, 131), parent, parent, 9),
        "queue": attempt(raw, (129, 138), parent, 9, bytes(128)),
        "descriptor": attempt(raw, 434, parent, 0),
        "limits": attempt(resource.prlimit, parent, resource.RLIMIT_NOFILE, (0, 0)),
        "affinity": attempt(os.sched_setaffinity, parent, {0}),
        "policy": attempt(os.sched_setscheduler, parent, os.SCHED_IDLE, os.sched_param(0)),
        "priority": attempt(os.setpriority, os.PRIO_PROCESS, parent, 19),
        "priority of its group": attempt(os.setpriority, os.PRIO_PGRP, group, 19),
        "signals of a descriptor": attempt(fcntl.fcntl, pair, fcntl.F_SETOWN, parent),
    }
    received = []
    signal.signal(signal.SIGUSR1, lambda *_: received.append(1))
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR1)
    sleeper = subprocess.Popen(["/bin/sleep", "60"])
    sleeper.terminate()
    return [refused, len(received), sleeper.wait()]


@pytest.mark.parametrize("filter_only", [False, True], ids=["all", "without Landlock"])
def test_the_parent_can_not_be_signaled_or_slowed(case, filter_only):
    refused, received, code = case.run(aim_at_parent, filter_only=filter_only)
    assert set(refused.values()) <= {*DENIED, "ESRCH"}, refused
    assert received == 2
    assert code == -signal.SIGTERM


def read_parent(config):
    parent = config["parent"]
    names = ("mem", "environ", "cmdline", "maps", "stat", "status", "auxv", "fdinfo/0", "net/tcp")
    refused = {
        name: attempt(os.open, f"/proc/{parent}/{name}", os.O_RDONLY | os.O_NONBLOCK)
        for name in names
    }
    target = ctypes.create_string_buffer(64)
    local = struct.pack("=QQ", ctypes.addressof(target), 64)
    remote = struct.pack("=QQ", config["address"], 64)
    refused |= {
        "executable": attempt(os.readlink, f"/proc/{parent}/exe"),
        "directory": attempt(os.readlink, f"/proc/{parent}/cwd"),
        "held file": attempt(os.readlink, f"/proc/{parent}/fd/1"),
        "attach": attempt(raw, (101, 117), 16, parent, 0, 0),
        "seize": attempt(raw, (101, 117), 0x4206, parent, 0, 0),
        "read memory": attempt(raw, (310, 270), parent, local, 1, remote, 1, 0),
        "write memory": attempt(raw, (311, 271), parent, local, 1, remote, 1, 0),
        "compare": attempt(raw, (312, 272), os.getpid(), parent, 0, 1, 1),
        "take a descriptor": attempt(raw, 438, 3, 1, 0),
    }
    return refused


def test_the_parents_memory_and_descriptors_are_closed(case):
    refused = case.run(read_parent)
    assert set(refused.values()) <= DENIED, refused


def look_at_parent(config):
    parent = f"/proc/{config['parent']}"
    outcome = {
        name: attempt(Path(f"{parent}/{name}").read_bytes)
        for name in ("mem", "environ", "maps", "auxv")
    }
    return outcome | {"held file": attempt(os.readlink, f"{parent}/fd/1")}


def test_a_protected_parent_is_closed_even_without_landlock(case):
    if case.person.name == "root":
        pytest.skip("root with all capabilities, which only Landlock and their loss stop")
    refused = case.run(look_at_parent, filter_only=True)
    assert set(refused.values()) <= DENIED, refused


# --- the kernel -------------------------------------------------------------------------------


def use_kernel(config):
    numbers = {
        "io_uring": (425, 425),
        "bpf": (321, 280),
        "perf": (298, 241),
        "userfaultfd": (323, 282),
        "add_key": (248, 217),
        "keyctl": (250, 219),
        "mount": (165, 40),
        "chroot": (161, 51),
        "unshare": (272, 97),
        "setns": (308, 268),
        "syslog": (103, 116),
        "shmget": (29, 194),
        "msgget": (68, 186),
        "semget": (64, 190),
        "mq_open": (240, 180),
        "open_by_handle_at": (304, 265),
        "setsid": (112, 157),
    }
    refused = {name: attempt(raw, number, 0, 0, 0, 0, 0) for name, number in numbers.items()}
    for name, flag in (("user", 0x10000000), ("network", 0x40000000), ("parent", 0x8000)):
        refused[f"clone {name}"] = attempt(raw, (56, 220), flag | signal.SIGCHLD, 0, 0, 0, 0)
    if kernel.machine() == "x86_64":
        refused["x32"] = attempt(raw, 0x40000000 | 39)
    refused["leave the group"] = attempt(os.setpgid, 0, 0)
    refused["new session"] = attempt(os.setsid)
    clone3 = attempt(raw, 435, 0, 0)
    kernel.prctl(1, 0)  # no parent-death signal: reported as done, and ignored
    buffer = ctypes.c_int()
    kernel.prctl(2, ctypes.byref(buffer))
    return [refused, clone3, buffer.value]


def test_dangerous_system_calls_are_refused(case):
    refused, clone3, death_signal = case.run(use_kernel)
    assert set(refused.values()) <= DENIED, refused
    assert clone3 == "ENOSYS"
    assert death_signal == signal.SIGKILL


def read_status(config):
    own = Path("/proc/self/status").read_text()
    fields = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
    found = {name: own.split(f"\n{name}:")[1].split()[0] for name in fields}
    # A program that root starts would get everything in its bounding set.
    program = "import ctypes; l = ctypes.CDLL(None); b = ctypes.create_string_buffer(24); "
    program += "l.capget(b'\\x22\\x05\\x08\\x20' + bytes(4), b); print(any(b.raw))"
    started = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )
    return [found, started.stdout.strip(), attempt(os.setuid, 12345)]


def test_capabilities_are_gone(case):
    found, of_program, changing_user = case.run(read_status)
    sets = ["CapInh", "CapPrm", "CapEff", "CapAmb"]
    if case.person.name != "ordinary":
        sets.append("CapBnd")
    assert {int(found[name], 16) for name in sets} == {0}
    assert found["NoNewPrivs"] == "1"
    assert found["Seccomp"] == "2"
    assert of_program == "False"
    assert changing_user in {*DENIED, "EINVAL"}


# --- limits -----------------------------------------------------------------------------------


def exceed_limits(config):
    def fill():
        with Path("big").open("wb", buffering=0) as file:
            for _ in range(20):
                if file.write(bytes(1 << 20)) < 1 << 20:
                    raise OSError(errno.EFBIG, "short write")

    def open_many():
        return [os.open("/dev/null", os.O_RDONLY) for _ in range(200)]

    return {
        "memory": attempt(bytearray, 1 << 30),
        "mapping": attempt(mmap.mmap, -1, 1 << 30, mmap.MAP_PRIVATE),
        "file": attempt(fill),
        "descriptors": attempt(open_many),
        "raise": attempt(resource.setrlimit, resource.RLIMIT_AS, (1 << 40, 1 << 40)),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
    }


def test_limits_of_memory_files_and_descriptors(case):
    limits = {"memory_bytes": 512 << 20, "file_bytes": 10 << 20, "open_files": 64}
    assert case.run(exceed_limits, limits=limits) == {
        "memory": "MemoryError",
        "mapping": "ENOMEM",
        "file": "EFBIG",
        "descriptors": "EMFILE",
        "raise": "ValueError",
        "core": [0, 0],
    }


def start_many(config):
    started = []
    try:
        while len(started) < 30:
            pid = os.fork()
            if pid == 0:
                time.sleep(30)
                os._exit(0)
            started.append(pid)
    except BlockingIOError:
        pass
    for pid in started:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return len(started)


def test_limit_of_processes(case):
    assert case.run(start_many, limits={"processes": 10}, needs=["process-limit"]) < 12


# --- honest work ------------------------------------------------------------------------------


def use_libraries(config):
    import datetime
    import getpass
    import hashlib
    import mimetypes
    import multiprocessing
    import sqlite3
    import ssl
    import uuid
    import warnings
    import zoneinfo
    from concurrent.futures import ThreadPoolExecutor
    from multiprocessing.shared_memory import SharedMemory

    import joblib
    import numpy as np
    import pandas as pd
    import pyarrow
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    from HiggsML.isolation.inside.joblib_workers import do_without_psutil

    warnings.simplefilter("error")
    rng = np.random.default_rng(1)
    features = rng.normal(size=(4000, 5))
    labels = features @ rng.normal(size=5) > 0
    product = features.T @ features
    frame = pd.DataFrame(features).assign(label=labels)
    frame.to_csv("frame.csv", index=False)
    assert len(pd.read_csv("frame.csv")) == len(frame)
    assert pyarrow.table({"a": [1, 2]}).num_rows == 2
    boosted = HistGradientBoostingClassifier(max_iter=10).fit(features, labels)
    assert boosted.score(features, labels) > 0.8
    LogisticRegression().fit(features, labels)
    joblib.dump(boosted, "model.joblib")
    assert joblib.load("model.joblib").score(features, labels) > 0.8
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(np.sum, np.array_split(features, 8))) != 0
    mapped = np.memmap("mapped", dtype=np.float32, mode="w+", shape=(100,))
    mapped[:] = 1
    one, two = (sqlite3.connect("events.db", timeout=0.0) for _ in range(2))
    assert one.execute("pragma journal_mode = wal").fetchone() == ("wal",)
    one.execute("create table t (x)")
    one.execute("insert into t values (3)")
    one.commit()
    assert two.execute("select x from t").fetchall() == [(3,)]

    # Through processes: pickled, and (more than 1 MB) by a file that all map.
    large = np.ones((1000, 500))
    do_without_psutil()
    with joblib.parallel_config(backend="loky", n_jobs=2):
        assert joblib.Parallel()(joblib.delayed(np.sum)(large) for _ in range(2)) == [5e5, 5e5]
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]
    block = SharedMemory(create=True, size=1000)
    block.buf[0] = 1
    again = SharedMemory(block.name)
    assert again.buf[0] == 1
    again.close()
    block.close()
    block.unlink()
    command = [sys.executable, "-I", "-c", "import json; print(json.dumps([1]))"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"[1]\n"
    zone = zoneinfo.ZoneInfo("Europe/Zurich")
    assert datetime.datetime(2012, 7, 4, tzinfo=zone).utcoffset().seconds == 7200
    assert time.localtime(0).tm_year in (1969, 1970)
    assert hashlib.sha256(b"").hexdigest().startswith("e3b0")
    ssl.create_default_context()
    mimetypes.guess_type("a.png")
    uuid.uuid4()
    getpass.getuser()
    warnings.simplefilter("ignore")
    return [product.shape, os.cpu_count() is not None]


def test_honest_libraries_work(case):
    limits = {"processes": 500, "memory_bytes": 16 << 30, "open_files": 1024}
    assert case.run(use_libraries, limits=limits) == [[5, 5], True]


# --- life and death ---------------------------------------------------------------------------


def wait_for_ever(config):
    print("ready", flush=True)
    time.sleep(60)


def test_it_ends_with_its_parent(case):
    process = case.start(wait_for_ever, abandon=True)
    answer, errors = process.communicate(timeout=30)  # also waits for the child's standard error
    assert process.returncode == 0, errors
    child = Path("/proc", answer.strip())
    deadline = time.monotonic() + 10
    while child.exists() and "zombie" not in (child / "status").read_text():
        assert time.monotonic() < deadline, "still alive"
        time.sleep(0.02)


def test_threads_that_run_already_are_an_error():
    waiting = threading.Event()
    thread = threading.Thread(target=waiting.wait)
    thread.start()
    try:
        with pytest.raises(IsolationError, match="threads"):
            restrict.restrict_self(Policy((), (), Limits(), os.getppid()))
    finally:
        waiting.set()
        thread.join()


def test_system_paths_hold_nothing_of_the_user(monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/:relative:/opt/thing/lib")
    paths = [*restrict.system_readable(), *restrict.system_writable()]
    assert Path("/opt/thing/lib") in paths
    for private in (Path.home(), Path(tempfile.gettempdir()), SRC.parent / "input_data"):
        if not private.is_relative_to("/usr"):
            assert not [path for path in paths if private.is_relative_to(path)]


def test_a_policy_that_allows_everything_is_an_error():
    with pytest.raises(IsolationError, match="restricts nothing"):
        restrict.restrict_self(Policy((Path("/usr/.."),), (), Limits(), os.getppid()))


def test_probe_tells_every_mechanism_and_changes_nothing():
    def own():
        text = Path("/proc/self/status").read_text().splitlines()
        return [line for line in text if line.startswith(("Cap", "NoNew", "Seccomp", "Umask"))]

    before = own()
    found = restrict.probe()
    assert list(found) == list(MECHANISMS)
    assert own() == before
    assert restrict.missing(found) == {
        name: found[name] for name in ESSENTIAL if found[name] != "on"
    }


def test_other_systems_are_told_and_nothing_is_done(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert kernel.unsupported() == "needs Linux (this is darwin)"
    report = restrict.restrict_self(Policy((), (), Limits(), 1))[0] | restrict.protect_parent()
    assert list(report) == list(MECHANISMS)
    assert set(restrict.missing(report)) == set(ESSENTIAL)
    assert set(restrict.probe().values()) == {"needs Linux (this is darwin)"}
