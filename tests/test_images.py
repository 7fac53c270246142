"""What the competition's images have, from Dockerfile, and what a submission may import there."""

import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from HiggsML.cli.bundle import submission as submission_command
from HiggsML.codabench.images import (
    COMPETITION_TARGET,
    image_modules,
    image_packages,
    modules_of,
    read_packages,
)
from HiggsML.codabench.rules.submission import check_layout
from HiggsML.errors import BundleError, SubmissionError
from HiggsML.submission import model as model_module
from HiggsML.submission.model import load_model_class

ROOT = Path(__file__).resolve().parent.parent
MODEL = "class Model:\n    def fit(self): pass\n    def predict(self, test_set): pass\n"


def write(folder, **files):
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def imports(folder, **options):
    findings = check_layout(folder, **options)
    return [finding for finding in findings if finding.rule == "import"]


def test_the_second_image_has_what_the_first_has_and_the_frameworks():
    small, large = image_packages("small"), image_packages("frameworks")
    assert {"numpy", "pandas", "pyyaml", "scikit-learn", "iminuit"} <= set(small)
    assert set(small) < set(large)
    assert {"torch", "tensorflow", "jax", "xgboost", "lightgbm", "onnxruntime", "numba"} <= (
        image_modules("frameworks") - image_modules("small")
    )
    assert {"PIL", "yaml", "sklearn", "dateutil", "mpl_toolkits"} <= image_modules("small")
    with pytest.raises(BundleError, match="no stage huge: it has small, frameworks"):
        image_packages("huge")


def test_the_competition_uses_the_image_with_frameworks():
    dockerfile = (ROOT / "Dockerfile").read_text()
    image = yaml.safe_load((ROOT / "competition.yaml").read_text())["docker_image"]
    assert f"docker build --target {COMPETITION_TARGET} -t {image} ." in dockerfile
    assert dockerfile.rindex("FROM ") == dockerfile.index(f"FROM small AS {COMPETITION_TARGET}")


def test_what_the_library_needs_is_in_the_small_image():
    for name in ("numpy", "pandas", "pyarrow", "yaml", "scipy", "matplotlib", "click", "rich"):
        assert name in image_modules("small")


def test_frameworks_are_not_missing_and_what_is_missing_is_named_once(tmp_path):
    folder = write(
        tmp_path / "s",
        model="import torch, tensorflow.keras, cv2\nimport cv2\nimport helper\n" + MODEL,
        helper="import cv2\nfrom cv2 import imread\nimport fastjet\n",
    )
    found = imports(folder)
    assert sorted((f.value, f.file) for f in found) == [
        ("cv2", "helper.py"),
        ("fastjet", "helper.py"),
    ]
    for finding in found:
        assert "torch" in finding.remedy
        assert f"pip install {finding.value}" in finding.remedy
    assert {f.value for f in imports(folder, packages=image_packages("small"))} == {
        *("torch", "tensorflow", "cv2", "fastjet")
    }


FREEZE = "# made by pip\nopencv_python==4.9.0\n-e .\nfastjet @ file:///x\nPyYAML==6.0\n"
LIST = """Package       Version Editable project location
------------- -------
opencv-python 4.9.0
fastjet       3.4   /src
PyYAML        6.0
"""


@pytest.mark.parametrize("text", [FREEZE, LIST], ids=["freeze", "list"])
def test_packages_of_another_image(tmp_path, text):
    (tmp_path / "packages.txt").write_text(text)
    assert modules_of(read_packages(tmp_path / "packages.txt")) >= {"cv2", "fastjet", "yaml"}
    folder = write(tmp_path / "s", model="import cv2, fastjet, yaml\n" + MODEL)
    command = ["check", "--static", str(folder)]
    assert CliRunner().invoke(submission_command, command).exit_code == 1
    command += ["--image-packages", str(tmp_path / "packages.txt")]
    done = CliRunner().invoke(submission_command, command)
    assert done.exit_code == 0, done.output


def test_a_list_without_packages(tmp_path):
    (tmp_path / "packages.txt").write_text("# nothing\n")
    with pytest.raises(BundleError, match="lists no packages: write it with `pip freeze`"):
        read_packages(tmp_path / "packages.txt")
    with pytest.raises(BundleError, match="can not be read"):
        read_packages(tmp_path / "absent.txt")


def test_a_missing_module_at_home_and_on_the_platform(tmp_path, monkeypatch):
    folder = write(tmp_path / "s", model="import no_such_library\n" + MODEL)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(SubmissionError, match=r"'no_such_library' here: pip install it"):
        load_model_class(folder / "model.py")
    monkeypatch.setattr(model_module, "_PLATFORM", tmp_path)
    with pytest.raises(SubmissionError, match=r"use what the image has: .*numpy"):
        load_model_class(folder / "model.py")
