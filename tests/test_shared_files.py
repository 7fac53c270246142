"""The trusted process serves a submission's /dev/shm where there can be no mount of its own."""

import errno
import json
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from HiggsML.isolation.wire.shared_files import SharedFiles

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")

SHARED_MEMORY = Path("/dev/shm")

CHILD = """
import errno, json, multiprocessing, os, socket, sys, tempfile
from multiprocessing import shared_memory
from HiggsML.isolation.cage import kernel, seccomp

def error_of(function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        return error.errno
    return 0

channel = socket.socket(fileno=int(sys.argv[1]))
kernel.prctl(38, 1)  # no new privileges
listener = seccomp.redirect()
socket.send_fds(channel, [b"x"], [listener])
os.close(listener)
channel.recv(1)
block = shared_memory.SharedMemory("higgsml-test-served", create=True, size=100)
block.buf[:3] = b"abc"
again = shared_memory.SharedMemory("higgsml-test-served")
assert bytes(again.buf[:3]) == b"abc"
with multiprocessing.Lock():
    pass
flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
found = {
    "twice": error_of(os.open, "/dev/shm/higgsml-test-served", flags),
    "absent": error_of(os.open, "/dev/shm/higgsml-test-absent", os.O_RDWR),
    "long": error_of(os.open, "/dev/shm/" + "x" * 256, os.O_RDWR),
}
with tempfile.NamedTemporaryFile("w+") as file:  # elsewhere nothing changes
    os.link(file.name, file.name + "-2")
    os.unlink(file.name + "-2")
again.close(), block.close()
print(json.dumps(found))
"""


def test_names_in_shared_memory_are_a_submissions_own():
    before = set(SHARED_MEMORY.iterdir())
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(theirs.fileno())]
    with subprocess.Popen(command, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE) as process:
        theirs.close()
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        files = SharedFiles(descriptors[0])
        ours.send(b"g")
        answer, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert not (SHARED_MEMORY / "higgsml-test-served").exists()
        files.close()
    ours.close()
    assert json.loads(answer) == {
        "twice": errno.EEXIST,
        "absent": errno.ENOENT,
        "long": errno.ENAMETOOLONG,
    }
    left = {path.name for path in set(SHARED_MEMORY.iterdir()) - before}
    assert not [name for name in left if name.startswith("higgsml-test")]
    assert not files.directory.exists()
