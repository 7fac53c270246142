"""Files are whole or absent, whatever ends the process, and never written through a link."""

import signal
import subprocess
import sys
import textwrap

import pytest

from HiggsML.files import partial_directory, whole_file


def names_in(directory):
    return sorted(path.name for path in directory.iterdir())


def write_and_stop(path):
    with whole_file(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt


def test_a_file_is_whole_or_absent(tmp_path):
    path = tmp_path / "new" / "file"
    with whole_file(path) as file:
        file.write(b"all of it")
        assert not path.exists()
    with pytest.raises(KeyboardInterrupt):
        write_and_stop(path)
    assert path.read_bytes() == b"all of it"
    assert names_in(path.parent) == ["file"]


def test_nothing_is_written_through_a_planted_link(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / ".file.part").symlink_to(victim)
    with whole_file(tmp_path / "file") as file:
        file.write(b"all of it")
    assert victim.read_bytes() == b"mine"
    assert not (tmp_path / "file").is_symlink()


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from HiggsML.files import partial_directory, whole_file
    with partial_directory(Path(sys.argv[1])) as directory, whole_file(directory / "x") as file:
        (directory / "sub").mkdir()
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_start_removes_what_a_kill_has_left(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(KILLED), tmp_path]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    assert [path.name.startswith(".partial-") for path in tmp_path.iterdir()] == [True]
    with partial_directory(tmp_path) as mine:
        assert names_in(tmp_path) == [mine.name]
        with partial_directory(tmp_path):  # the other one is in use
            assert mine.exists()
    assert names_in(tmp_path) == []
