"""What the attacks share; copied beside each of them. Runs inside the restricted process."""

import ctypes
import errno
import json
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
