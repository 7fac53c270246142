"""A filter of system calls (seccomp-BPF) for what Landlock does not control.

The filter refuses with an error number and never kills, so that a library which merely tries
something finds an ordinary error. The numbers are those of the kernel's ``asm/unistd_64.h``
(x86_64) and ``asm-generic/unistd.h`` (aarch64); arguments are compared by their low 32 bits where
the kernel itself reads an ``int``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Iterable, Sequence
from functools import cache

from HiggsML.isolation.cage.kernel import call, machine, reason, unsupported

__all__ = ["redirect", "redirected", "restrict"]

_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
_X32_BIT = 0x40000000  # x86_64: a second table of the same calls

# name: number on x86_64, number on aarch64 (None where it does not exist)
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "accept": (43, 202),
    "accept4": (288, 242),
    "acct": (163, 89),
    "add_key": (248, 217),
    "bind": (49, 200),
    "bpf": (321, 280),
    "cachestat": (451, 451),
    "chmod": (90, None),
    "chown": (92, None),
    "chroot": (161, 51),
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "clone": (56, 220),
    "clone3": (435, 435),
    "connect": (42, 203),
    "delete_module": (176, 106),
    "fadvise64": (221, 223),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "fcntl": (72, 25),
    "file_setattr": (469, 469),
    "flock": (73, 32),
    "finit_module": (313, 273),
    "fremovexattr": (199, 16),
    "fsconfig": (431, 431),
    "fsetxattr": (190, 7),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "futimesat": (261, None),
    "init_module": (175, 105),
    "inotify_add_watch": (254, 27),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioperm": (173, None),
    "iopl": (172, None),
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "kill": (62, 129),
    "lchown": (94, None),
    "link": (86, None),
    "linkat": (265, 37),
    "listen": (50, 201),
    "lookup_dcookie": (212, 18),
    "lremovexattr": (198, 15),
    "lsetxattr": (189, 6),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "migrate_pages": (256, 238),
    "modify_ldt": (154, None),
    "mincore": (27, 232),
    "mmap": (9, 222),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "msgctl": (71, 187),
    "msgget": (68, 186),
    "msgrcv": (70, 188),
    "msgsnd": (69, 189),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "openat": (257, 56),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "preadv2": (327, 286),
    "prlimit64": (302, 261),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "readahead": (187, 213),
    "reboot": (169, 142),
    "removexattr": (197, 14),
    "removexattrat": (466, 466),
    "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "seccomp": (317, 277),
    "semctl": (66, 191),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "setns": (308, 268),
    "setpgid": (109, 154),
    "setpriority": (141, 140),
    "setsid": (112, 157),
    "setsockopt": (54, 208),
    "setxattr": (188, 5),
    "setxattrat": (463, 463),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmget": (29, 194),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "tgkill": (234, 131),
    "timer_create": (222, 107),
    "tkill": (200, 130),
    "umount2": (166, 39),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "utime": (132, None),
    "utimensat": (280, 88),
    "utimes": (235, None),
}

# No network of any kind: UDP, netlink, vsock and sockets in the file system too, which Landlock
# leaves open. A pair of connected sockets is all that remains (see _socketpair).
_NETWORK = ("socket", "connect", "bind", "listen", "accept", "accept4")
# Memory, descriptors and state of other processes of the same user.
_OTHER_PROCESSES = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease"),
    *("kcmp", "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "perf_event_open"),
)
# Ways around a filter, and parts of the kernel with a history of holes.
_KERNEL = (
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "userfaultfd"),
    *("keyctl", "add_key", "request_key", "name_to_handle_at", "open_by_handle_at"),
    *("mount", "umount2", "pivot_root", "chroot", "open_tree", "open_tree_attr", "move_mount"),
    *("fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "unshare", "setns"),
    *("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module"),
    *("reboot", "quotactl", "quotactl_fd", "swapon", "swapoff", "acct", "syslog"),
    *("iopl", "ioperm", "modify_ldt", "uselib", "lookup_dcookie"),
)
# Objects outside the file system that would outlive the process, for the next one to find.
_LASTING = (
    *("shmget", "shmat", "shmctl", "semget", "semop", "semtimedop", "semctl"),
    *("msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink"),
)
# Landlock confines neither watching nor attributes: a watch tells when the trusted process writes
# which file.
_WATCHING = ("inotify_add_watch", "fanotify_init", "fanotify_mark")
_ATTRIBUTES = (
    *("chown", "fchown", "lchown", "fchownat", "file_setattr"),
    *("setxattr", "lsetxattr", "fsetxattr", "setxattrat"),
    *("removexattr", "lremovexattr", "fremovexattr", "removexattrat"),
)
# Memory that belongs to no process's account: nobody would see how much of it there is. What is
# left of this kind is counted (HiggsML.isolation.budget.unseen_memory).
_HIDDEN_MEMORY = ("memfd_create", "memfd_secret")
# What of which file is in memory: a process could leave it to a later one, page by page. Reading
# shows it by the time that it takes only, and not twice.
_MEMORY_OF_FILES = ("mincore", "cachestat")
_PRETENDED_ADVICE = ("fadvise64", "readahead")
# Leaving the process group would mean to survive its end.
_GROUP = ("setsid", "setpgid")
# What shared memory and semaphores need of files in /dev/shm.
_REDIRECTED = ("openat", "link", "linkat", "unlink", "unlinkat")
_REFUSED = (
    *(*_OTHER_PROCESSES, *_KERNEL, *_LASTING),
    *(*_WATCHING, *_ATTRIBUTES, *_GROUP, *_HIDDEN_MEMORY, *_MEMORY_OF_FILES),
)
# Modes and times of any file of the same owner could be changed, the trusted process's included,
# and shutil.copy needs both: these calls report success and do nothing.
_PRETENDED = (
    *("chmod", "fchmod", "fchmodat", "fchmodat2"),
    *("utime", "utimes", "futimesat", "utimensat"),
)
# Locks on files that all may read (a library, the submission's own) would let processes of several
# workers meet. Locks of a submission's own processes on its own files are not exclusive then.
# Asking for locks stays: an answer that nobody fills in would say that somebody has one (SQLite
# waited for it, and with it the import of onnxruntime, for 20 s).
_PRETENDED_LOCKS = ("flock",)
# fcntl: F_SETLK, F_SETLKW and the same two for open file descriptions.
_FCNTL_LOCKS = (6, 7, 37, 38)
# Calls whose argument (by position) names another process or thread.
_AIMED = {
    **dict.fromkeys(("kill", "tkill", "rt_sigqueueinfo"), (0,)),
    **dict.fromkeys(("tgkill", "rt_tgsigqueueinfo"), (0, 1)),
}
# Processors and priority of a process are seen by itself: those of another worker's, or of one that
# waits to be asked again, would be a message. Of any but the caller's they report success and do
# nothing (libraries try it for their own threads, whose numbers nobody knows yet).
_SCHEDULING = ("sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler")
_PLACEMENT = ("migrate_pages", "move_pages")
# Calls whose first argument may be the clock of another process: how long it has worked, to the ns.
_CLOCKS = ("clock_gettime", "clock_getres", "clock_nanosleep", "timer_create")
_FIRST_NAMED_CLOCK, _FIRST_OWN_CLOCK = 0x80000000, 0xFFFFFFF8
_MAX_AIMS = 60  # keeps jumps within their 8 bits

# New namespaces, and CLONE_PARENT, which would make a process a child of the trusted one.
_CLONE_FLAGS = 0x7E020000 | 0x00008000
# fcntl: F_SETOWN, F_SETSIG, F_SETOWN_EX; ioctl: FIOSETOWN, SIOCSPGRP. Descriptors that signal.
# fcntl: F_SETLEASE, F_NOTIFY. A lease on a library's file holds up whoever opens it, for 45 s.
_FCNTL_COMMANDS = (8, 10, 15, 1024, 1026)
# TIOCSTI and TIOCLINUX type into a terminal, TIOCSCTTY takes it.
_IOCTL_COMMANDS = (0x8901, 0x8902, 0x5412, 0x541C, 0x540E)
_PR_SET_PDEATHSIG = 1
_SOCK_TYPE_MASK = 0xF
_MAP_SHARED, _MAP_ANONYMOUS = 0x01, 0x20  # MAP_SHARED_VALIDATE has the bit, too

# linux/bpf_common.h, linux/seccomp.h
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_IF_EQUAL, _IF_GREATER_EQUAL, _IF_ANY_BIT = 0x15, 0x35, 0x45
_ALLOW, _ERROR, _NOTIFY = 0x7FFF0000, 0x00050000, 0x7FC00000
_OFFSET_NUMBER, _OFFSET_ARCHITECTURE, _OFFSET_ARGUMENTS = 0, 4, 16
_SET_MODE_FILTER = 1
# As Linux 5.16 and later do anyway: without it, earlier ones slow the whole process down to shield
# it from code of its own address space, where there is nothing to shield.
_FLAG_SPEC_ALLOW = 1 << 2
_FLAG_NEW_LISTENER = 1 << 3

_Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def restrict(*, protected: Iterable[int] = (), groups: Iterable[int] = ()) -> str:
    """Install the filter for this process and all that it starts.

    Parameters
    ----------
    protected : iterable of int
        Identifiers of processes and threads that can not be signaled, re-scheduled or moved.
    groups : iterable of int
        Further arguments of kill(2) that are refused: 0 or negative, for groups of processes.

    Returns
    -------
    str
        "on", or why not.
    """
    if problem := unsupported():
        return problem
    program = _program(protected, groups)
    encoded = _encoded(program)
    memory = ctypes.create_string_buffer(encoded, len(encoded))
    try:
        _install(_SockFprog(len(program), ctypes.addressof(memory)))
    except OSError as error:
        return reason("the filter was refused", error)
    try:
        socket.socket(socket.AF_UNIX).close()
    except PermissionError:
        return "on"
    return "the kernel accepted the filter but does not apply it"


def redirect() -> int:
    """Have calls that may use ``/dev/shm`` handed to whoever holds the descriptor returned.

    Opening for reading and writing, as for shared memory and semaphores, giving a second name, and
    removing one. To be called before :func:`restrict`.

    Returns
    -------
    int
        For :class:`HiggsML.isolation.wire.shared_files.SharedFiles`.

    Raises
    ------
    OSError
        If the kernel refuses.
    """
    opening = [
        _argument(2),
        (_AND, 0, 0, os.O_ACCMODE),
        (_IF_EQUAL, 0, 1, os.O_RDWR),
        (_RETURN, 0, 0, _NOTIFY),
        _PASS,
    ]
    program = [
        (_LOAD, 0, 0, _OFFSET_ARCHITECTURE),
        (_IF_EQUAL, 1, 0, _ARCHITECTURE[machine()]),
        _PASS,  # refused by the other filter
        (_LOAD, 0, 0, _OFFSET_NUMBER),
        *_when("openat", opening),
    ]
    for name in _REDIRECTED[1:]:
        program += _when(name, [(_RETURN, 0, 0, _NOTIFY)])
    encoded = _encoded([*program, _PASS])
    memory = ctypes.create_string_buffer(encoded, len(encoded))
    fprog = _SockFprog(len(program) + 1, ctypes.addressof(memory))
    return call(
        "syscall", _number("seccomp"), _SET_MODE_FILTER, _FLAG_NEW_LISTENER, ctypes.byref(fprog)
    )


@cache
def redirected() -> dict[int, str]:
    """Return the calls that :func:`redirect` hands on: number and name."""
    return {number: name for name in _REDIRECTED if (number := _number(name)) is not None}


class _SockFprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _install(program: _SockFprog) -> None:
    for flags in (_FLAG_SPEC_ALLOW, 0):  # Linux before 4.17 does not know the flag
        try:
            call("syscall", _number("seccomp"), _SET_MODE_FILTER, flags, ctypes.byref(program))
        except OSError as error:
            if error.errno != errno.EINVAL or flags == 0:
                raise
        else:
            return


def _encoded(program: Sequence[_Instruction]) -> bytes:
    return b"".join(
        code.to_bytes(2, "little") + bytes((true, false)) + operand.to_bytes(4, "little")
        for code, true, false, operand in program
    )


def _number(name: str) -> int | None:
    return _NUMBERS[name][0 if machine() == "x86_64" else 1]


def _refuse(code: int) -> _Instruction:
    return (_RETURN, 0, 0, _ERROR | code)


_PASS: _Instruction = (_RETURN, 0, 0, _ALLOW)


def _argument(position: int) -> _Instruction:
    """Load the low half of an argument (both architectures are little-endian)."""
    return (_LOAD, 0, 0, _OFFSET_ARGUMENTS + 8 * position)


def _when(name: str, body: Sequence[_Instruction]) -> list[_Instruction]:
    """Run ``body``, which must end the program, for one system call."""
    number = _number(name)
    return [] if number is None else [(_IF_EQUAL, 0, len(body), number), *body]


def _refuse_values(
    position: int, values: Iterable[int], code: int = errno.EPERM
) -> list[_Instruction]:
    body = [_argument(position)]
    for value in values:
        body += [(_IF_EQUAL, 0, 1, value & 0xFFFFFFFF), _refuse(code)]
    return body


def _only_values(position: int, values: Iterable[int]) -> list[_Instruction]:
    body = [_argument(position)]
    for value in values:
        body += [(_IF_EQUAL, 0, 1, value & 0xFFFFFFFF), _PASS]
    return [*body, _refuse(errno.EPERM)]


def _socketpair() -> list[_Instruction]:
    """Allow connected pairs only: a datagram socket of a pair can be sent from to any address."""
    return [
        _argument(0),
        (_IF_EQUAL, 1, 0, socket.AF_UNIX),
        _refuse(errno.EACCES),
        _argument(1),
        (_AND, 0, 0, _SOCK_TYPE_MASK),
        (_IF_EQUAL, 2, 0, socket.SOCK_STREAM),
        (_IF_EQUAL, 1, 0, socket.SOCK_SEQPACKET),
        _refuse(errno.EACCES),
        _PASS,
    ]


def _no_hidden_mapping() -> list[_Instruction]:
    """Refuse shared memory without a file: it stays when it is no longer mapped, and unseen."""
    return [
        _argument(3),
        (_AND, 0, 0, _MAP_SHARED | _MAP_ANONYMOUS),
        (_IF_EQUAL, 0, 1, _MAP_SHARED | _MAP_ANONYMOUS),
        _refuse(errno.EPERM),
        _PASS,
    ]


def _default_buffers() -> list[_Instruction]:
    """Leave the buffers of sockets as they are, so that their number bounds their memory."""
    return [
        _argument(1),
        (_IF_EQUAL, 0, 3, socket.SOL_SOCKET),
        *_refuse_values(2, (socket.SO_SNDBUF,), 0),
        _PASS,
    ]


def _own_clocks() -> list[_Instruction]:
    """Allow the system's clocks and the caller's own, not those named by a process number."""
    return [
        _argument(0),
        (_IF_GREATER_EQUAL, 0, 2, _FIRST_NAMED_CLOCK),
        (_IF_GREATER_EQUAL, 1, 0, _FIRST_OWN_CLOCK),
        _refuse(errno.EINVAL),
        _PASS,
    ]


def _own_scheduling(position: int, aims: Sequence[int]) -> list[_Instruction]:
    """Change only the caller's own; say no about ``aims``, and pretend for all others."""
    own = [(_IF_EQUAL, 0, 1, pid) for pid in (0, os.getpid())]
    return [*_refuse_values(position, aims), own[0], _PASS, own[1], _PASS, _refuse(0)]


def _priority(which_process: int, aims: Sequence[int]) -> list[_Instruction]:
    """Allow setpriority and ioprio_set for the caller, not for groups and users."""
    only_processes = [_argument(0), (_IF_EQUAL, 1, 0, which_process), _refuse(errno.EPERM)]
    return [*only_processes, *_own_scheduling(1, aims)]


def _program(protected: Iterable[int], groups: Iterable[int]) -> list[_Instruction]:
    aims = [*dict.fromkeys(protected)][:_MAX_AIMS]
    kill_aims = [-1, *dict.fromkeys(groups)][:_MAX_AIMS]  # -1: everything the user owns
    program = [
        (_LOAD, 0, 0, _OFFSET_ARCHITECTURE),
        (_IF_EQUAL, 1, 0, _ARCHITECTURE[machine()]),
        _refuse(errno.EPERM),
        (_LOAD, 0, 0, _OFFSET_NUMBER),
    ]
    if machine() == "x86_64":
        program += [(_IF_GREATER_EQUAL, 0, 1, _X32_BIT), _refuse(errno.EPERM)]
    program += _when("clone3", [_refuse(errno.ENOSYS)])  # its flags are in memory; libc uses clone
    clone = [_argument(0), (_IF_ANY_BIT, 0, 1, _CLONE_FLAGS), _refuse(errno.EPERM), _PASS]
    program += _when("clone", clone)
    for name in _REFUSED:
        program += _when(name, [_refuse(errno.EPERM)])
    for name in _NETWORK:
        program += _when(name, [_refuse(errno.EACCES)])
    for name in (*_PRETENDED, *_PRETENDED_LOCKS, *_PRETENDED_ADVICE):
        program += _when(name, [_refuse(0)])
    program += _when("socketpair", _socketpair())
    fcntl = [*_refuse_values(1, _FCNTL_COMMANDS), *_refuse_values(1, _FCNTL_LOCKS, 0), _PASS]
    program += _when("fcntl", fcntl)
    program += _when("mmap", _no_hidden_mapping())
    program += _when("setsockopt", _default_buffers())
    program += _when("ioctl", [*_refuse_values(1, _IOCTL_COMMANDS), _PASS])
    # The parent-death signal stays: asking for another (torch.multiprocessing does) is ignored.
    death_signal = [_argument(0), (_IF_EQUAL, 0, 1, _PR_SET_PDEATHSIG), _refuse(0), _PASS]
    program += _when("prctl", death_signal)
    program += _when("prlimit64", _only_values(0, (0, os.getpid())))
    # RWF_NOWAIT (and no other flag is worth a hole) tells what is in memory.
    no_flags = [_argument(5), (_IF_EQUAL, 0, 1, 0), _PASS, _refuse(errno.EOPNOTSUPP)]
    program += _when("preadv2", no_flags)
    program += _when("personality", _only_values(0, (0, 0xFFFFFFFF)))  # the default; a question
    for name in _SCHEDULING:
        program += _when(name, _own_scheduling(0, aims))
    for name in _PLACEMENT:
        program += _when(name, _only_values(0, (0, os.getpid())))
    program += _when("setpriority", _priority(0, aims))
    program += _when("ioprio_set", _priority(1, aims))
    for name in _CLOCKS:
        program += _when(name, _own_clocks())
    for name, positions in _AIMED.items():
        body = _refuse_values(0, kill_aims) if name == "kill" else []
        for position in positions:
            body += _refuse_values(position, aims)
        program += _when(name, [*body, _PASS])
    return [*program, _PASS]
