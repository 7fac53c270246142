"""What the attacks share; copied beside each of them. Runs inside the restricted process."""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import struct
import sys
from pathlib import Path

CONFIG = json.loads((Path(__file__).parent / "config.json").read_text())
PARENT = os.getppid()
ANSWER = {"mu_hat": 1.0, "delta_mu_hat": 0.1, "p16": 0.9, "p84": 1.1}


class Honest:
    """A model that does nothing wrong; attacks override what they need."""

    def __init__(self, get_train_set, systematics):
        self.get_train_set = get_train_set

    def fit(self):
        pass

    def predict(self, test_set):
        return dict(ANSWER)


def say(verdict, what, detail=""):
    name = sys._getframe(2).f_globals["__name__"]
    text = json.dumps([name, verdict, what, str(detail)[:300]])
    os.write(1, f"ATTACK {text}\n".encode())


def must_fail(what, function, *arguments, **keywords):
    """Try something that must raise an error."""
    try:
        result = function(*arguments, **keywords)
    except BaseException as error:
        say("refused", what, repr(error))
    else:
        say("GAINED", what, repr(result))


def must_be_false(what, found):
    """Report something that an attack has found out."""
    say("GAINED" if found else "refused", what, repr(found))


def libc(name, *arguments):
    """Call the C library; an error becomes an exception."""
    library = ctypes.CDLL(None, use_errno=True)
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = getattr(library, name)(*converted)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, errno.errorcode.get(code, "?"))
    return result


def syscall(name, *arguments):
    """Call the kernel by a name that the filter's table knows."""
    from HiggsML.isolation.cage.seccomp import _number

    return libc("syscall", _number(name), *arguments)


def channel():
    """The socket to the trusted process, and the number of the request that it asked."""
    from HiggsML.isolation.inside import runner

    return runner._channel._socket, runner._request


def frame(message, payload=b"", *, magic=b"HML1", sizes=None):
    """Encode a frame, a wrong one if need be."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return struct.pack(">4sIQ", magic, *(sizes or (len(body), len(payload)))) + body + payload


def send(*frames):
    """Send bytes to the trusted process."""
    for one in frames:
        channel()[0].sendall(one)


def prediction(**changes):
    """A forged answer to the present request."""
    return {"kind": "prediction", "request": channel()[1], **ANSWER, **changes}


class ChangesTrainingEvents(Honest):
    """Tries to write where training events are mapped from, and to read more than these."""

    def fit(self):
        self.get_train_set().loc[:, "PRI_met"] = -7.0
        must_be_false("another frame", (self.get_train_set()["PRI_met"] == -7.0).any())
        self.look_at(self.ask())
        other, one = self.ask(), self.ask()
        os.lseek(one, 1234, os.SEEK_SET)
        must_be_false("a position that others see", os.lseek(other, 0, os.SEEK_CUR) == 1234)
        must_fail("write", os.write, one, b"0")
        must_fail("write in place", os.pwrite, one, b"0", 4096)
        must_fail("shrink", os.ftruncate, one, 4096)
        must_fail("grow", os.ftruncate, one, 1 << 30)
        must_fail("punch a hole", libc, "fallocate", one, 3, 4096, 4096)
        must_fail("copy into it", os.sendfile, one, os.open(__file__, os.O_RDONLY), 0, 10)
        must_fail("allow writing", fcntl.fcntl, one, fcntl.F_ADD_SEALS, 0)
        shared = mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE
        must_fail("map", mmap.mmap, one, 4096, *shared)
        readable = mmap.mmap(one, 4096, mmap.MAP_SHARED, mmap.PROT_READ)
        must_fail("make writable", libc, "mprotect", self.place_of(one), 4096, 3)
        readable.close()
        fcntl.fcntl(one, fcntl.F_SETFL, os.O_APPEND | os.O_RDWR)
        must_fail("append", os.write, one, b"0")
        for flags in (os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_RDWR | os.O_APPEND):
            self.write_again(f"/proc/self/fd/{one}", flags)
        events = self.get_train_set()
        must_be_false("events that have changed", (events["PRI_met"] == -7.0).any())
        must_be_false("rows that are missing", len(events) != CONFIG["train_rows"])

    @staticmethod
    def ask():
        """Return a descriptor of the training events."""
        from HiggsML.isolation.inside import runner

        runner._channel.send({"kind": "train_set", "request": runner._request})
        return runner._channel.receive(with_descriptors=True)[2][0]

    @staticmethod
    def look_at(descriptor):
        """Read all that can be found with a descriptor."""
        with open(descriptor, "rb") as file:
            size = os.fstat(descriptor).st_size
            length = struct.unpack("<16sQI", file.read(28).ljust(28))[1]
            content = json.loads(file.read(length))
            target = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        most = CONFIG["train_rows"] * (30 * 4 + 1) + 33 * 4096
        must_be_false("more than training events", size > most)
        must_be_false("what is said of other events", set(content) - {*_SAID})
        must_be_false("other rows", content["rows"] != CONFIG["train_rows"])
        if target.name.endswith(".events"):
            must_fail("open its name", target.open, "rb")
            must_fail("list its directory", os.listdir, target.parent)
            must_fail("list the dataset", os.listdir, target.parent.parent)
            must_fail("write beside it", (target.parent / "new").write_text, "x")
            must_fail("remove it", target.unlink)
            must_fail("open the dataset", open, CONFIG["data_file"], "rb")

    @staticmethod
    def place_of(descriptor):
        """Return where a shared mapping of a descriptor is."""
        inode = str(os.fstat(descriptor).st_ino)
        for line in Path("/proc/self/maps").read_text().splitlines():
            place, mode, _, _, number, *_ = line.split()
            if number == inode and mode.startswith("r--s"):
                return int(place.split("-")[0], 16)
        return 0

    @staticmethod
    def write_again(path, flags):
        """Open a name once more; where that is allowed, writing must not be."""
        try:
            again = os.open(path, flags)
        except OSError as error:
            say("refused", "open again", repr(error))
            return
        must_fail("write again", os.write, again, b"0")
        must_fail("write again in place", os.pwrite, again, b"0", 4096)
        must_fail("resize again", os.ftruncate, again, 1)
        must_fail("map again", mmap.mmap, again, 4096, mmap.MAP_SHARED, mmap.PROT_WRITE)


_SAID = ("identity", "rows", "sum_weights", "others", "checksums")
