"""Who a test can play: this user, root as in a container, an ordinary user."""

import atexit
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

SRC = Path(__file__).resolve().parents[1] / "src"
NOBODY = 65534


def ordinary():
    """Return an interpreter and the identity of an ordinary user, or why there is none."""
    nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    tried = []
    for python in (sys.executable, _python_for_others()):
        try:
            check = [python, "-I", "-c", "import HiggsML.ingestion"]
            subprocess.run(check, check=True, capture_output=True, cwd="/", **nobody)
        except (OSError, subprocess.CalledProcessError) as error:
            tried.append(f"{python}: {error}")
        else:
            return (python, nobody)
    return f"user {NOBODY} can not run {'; '.join(tried)}"


def _python_for_others():
    """Make an environment of the system's Python, if it is the same version, with our libraries.

    This interpreter may lie where other users can not reach it, such as a home directory.
    """
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    python = shutil.which(version, path=os.defpath)
    if python is None:
        return version
    directory = Path(tempfile.mkdtemp(prefix="higgsml-python-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    subprocess.run([python, "-m", "venv", "--without-pip", directory], check=True)
    libraries = directory / "lib" / version / "site-packages"
    paths = [sysconfig.get_paths()["platlib"], str(SRC)]
    (libraries / "higgsml.pth").write_text("\n".join(paths) + "\n")
    directory.chmod(0o755)
    return str(directory / "bin" / "python")
