"""One verdict on a submission's layout through every door, and hostile folders end by name."""

import contextlib
import hashlib
import io
import os
import stat
import sys
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from HiggsML.codabench.bundle.tree import Tree
from HiggsML.codabench.rules.findings import Findings
from HiggsML.codabench.rules.located_yaml import Item
from HiggsML.codabench.rules.named_files import check_solution
from HiggsML.codabench.rules.submission import check_layout
from HiggsML.codabench.trial_run import pack
from HiggsML.errors import SubmissionError
from HiggsML.isolation.sandbox import Sandbox
from HiggsML.submission import layout
from HiggsML.submission.value import Submission, open_submission

MODEL = (
    "class Model:\n"
    "    def __init__(self, get_train_set, systematics): pass\n"
    "    def fit(self): pass\n"
    "    def predict(self, test_set): return {}\n"
)
LINK, FOLDER = object(), object()


def write_folder(folder, entries):
    folder.mkdir(parents=True)
    for name, content in entries.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is LINK:
            path.symlink_to("model.py")
        elif content is FOLDER:
            path.mkdir()
        else:
            path.write_text(content)
    return folder


def write_zip(path, entries, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name + "/" * (content is FOLDER))
            info.create_system, info.compress_type = 3, method
            kind = {LINK: stat.S_IFLNK, FOLDER: stat.S_IFDIR}.get(content, stat.S_IFREG)
            info.external_attr = (kind | 0o755) << 16
            archive.writestr(info, content if isinstance(content, str) else "model.py")
    return path


# Every way in; each raises SubmissionError or returns the names of the submission's files.


def door_of_a_run(path):
    with open_submission(path) as submission:
        return submission.files


def door_of_the_sandbox(path):
    with open_submission(path) as submission, Sandbox(submission, isolation="off") as sandbox:
        assert sandbox.model_file == submission.model_file
        return submission.files


def door_of_check(path):
    for finding in check_layout(path):
        if finding.severity == "error":
            raise SubmissionError(str(finding))
    return


def door_of_pack(path):
    target = path.parent / "packed.zip"
    names = pack(path, target)
    assert zipfile.ZipFile(target).namelist() == names
    return tuple(names)


def door_of_a_bundle(path):
    if path.is_file():
        tree, written = Tree.from_bytes({"s.zip": path.read_bytes()}), "s.zip"
    else:
        tree, written = Tree.from_directory(path.parent), f"{path.name}/"
    report = Findings([])
    check_solution(Item({"path": Item(written, 1, "solutions[0].path")}, 1, ""), tree, report)
    if report.found:
        raise SubmissionError(str(report.found[0]))
    return


DOORS = {
    "run": door_of_a_run,
    "check": door_of_check,
    "pack": door_of_pack,
    "bundle": door_of_a_bundle,
}

# Name: entries, and the files or a part of the refusal.
LAYOUTS = {
    "at the top": ({"model.py": MODEL, "w/a.bin": "x"}, ("model.py", "w/a.bin")),
    "in one folder": ({"my model/model.py": MODEL, "README": ""}, ("model.py",)),
    "top before folder": ({"model.py": MODEL, "old/model.py": "x"}, ("model.py", "old/model.py")),
    "underscore": ({"_mine/model.py": MODEL}, ("model.py",)),
    "hidden": ({".hidden/model.py": MODEL}, "no model.py"),
    "hidden beside": ({".old/model.py": MODEL, "new/model.py": MODEL}, ("model.py",)),
    "dunder": ({"__old__/model.py": MODEL}, "no model.py"),
    "macOS": (
        {"__MACOSX/._model.py": "x", "__MACOSX/model.py": "x", "s/model.py": MODEL, "._x": ""},
        ("model.py",),
    ),
    "macOS only": ({"__MACOSX/model.py": MODEL}, "no model.py"),
    "caches": (
        {"model.py": MODEL, "__pycache__/model.pyc": "x", ".git/config": "x", ".gitignore": "x"},
        ("model.py",),
    ),
    "hidden file": ({"model.py": MODEL, ".w/a.bin": "x"}, ("model.py",)),
    "two": (
        {"a/model.py": MODEL, "b/model.py": MODEL},
        "several model.py (a/model.py, b/model.py)",
    ),
    "too deep": ({"a/b/model.py": MODEL}, "Move the files of a/b up"),
    "a folder": ({"model.py": FOLDER}, "no model.py"),
    "other name": ({"Model.py": MODEL}, "Rename Model.py to model.py"),
    "inner zip": ({"inner.zip": "x"}, "holds another zip"),
    "nothing": ({}, "no model.py"),
    "a link": ({"model.py": MODEL, "link": LINK}, "symbolic link"),
    "model is a link": ({"real.py": MODEL, "model.py": LINK}, "symbolic link"),
    "control": ({"model.py": MODEL, "a\x1bb.py": ""}, "control characters"),
    "backslash": ({"model.py": MODEL, "a\\b.py": ""}, "backslashes"),
    "syntax elsewhere": ({"model.py": MODEL, "notes.txt": "def ("}, ("model.py", "notes.txt")),
    "result": ({"model.py": MODEL, "result_0.json": "{}"}, "results, or of the platform"),
    "result in the folder": ({"s/model.py": MODEL, "s/result_x.json": ""}, "s/result_x.json"),
    "result above the folder": ({"s/model.py": MODEL, "test_settings.json": ""}, "this name"),
    "result as a folder": ({"ingestion_duration.json/model.py": MODEL}, "this name"),
    "metadata": ({"model.py": MODEL, "metadata": "command: x"}, "this name"),
    "metadata.yaml": ({"model.py": MODEL, "metadata.yaml": ""}, "this name"),
    "empty metadata folder": ({"model.py": MODEL, "metadata": FOLDER}, "this name"),
    "result deep down": (
        {"model.py": MODEL, "a/result_0.json": ""},
        ("a/result_0.json", "model.py"),
    ),
    "result in capitals": ({"model.py": MODEL, "Result_0.JSON": ""}, "this name"),
    "alike": ({"model.py": MODEL, "my_result_0.json": ""}, 2),
}


CASES = [
    (name, door, kind)
    for name in LAYOUTS
    for door in DOORS
    for kind in ("folder", "zip")
    if (door, kind) != ("pack", "zip")  # only folders are packed
    # A bundle's reader lists no empty folders.
    if (door, kind) != ("bundle", "folder") or FOLDER not in LAYOUTS[name][0].values()
    if (name, door, kind) != ("nothing", "bundle", "folder")
]


@pytest.mark.parametrize(("name", "door", "kind"), CASES)
def test_one_verdict_through_every_door(tmp_path, name, door, kind):
    entries, expected = LAYOUTS[name]
    if kind == "folder":
        path = write_folder(tmp_path / "top" / "s", entries)
    else:
        path = write_zip(tmp_path / "s.zip", entries)
    if isinstance(expected, str):
        with pytest.raises(SubmissionError) as caught:
            DOORS[door](path)
        assert expected in str(caught.value)
        return
    files = DOORS[door](path)
    if isinstance(expected, int):
        assert files is None or len(files) == expected
    else:
        assert files is None or files == expected


def test_the_sandbox_starts_what_the_doors_let_in(tmp_path):
    entries, expected = LAYOUTS["hidden beside"]
    assert door_of_the_sandbox(write_folder(tmp_path / "s", entries)) == expected
    assert door_of_the_sandbox(write_zip(tmp_path / "s.zip", entries)) == expected


@pytest.mark.parametrize("door", ["run", "check", "bundle"])
def test_an_lzma_zip_is_refused_everywhere(tmp_path, door):
    path = write_zip(tmp_path / "s.zip", {"model.py": MODEL}, zipfile.ZIP_LZMA)
    with pytest.raises(SubmissionError, match="packed with method 14"):
        DOORS[door](path)


def test_the_identity_is_that_of_the_files_whatever_the_container(tmp_path):
    entries = {"a/model.py": MODEL, "a/w.bin": "weights", "a/.DS_Store": "x", "README": "x"}
    folder = write_folder(tmp_path / "s", entries)
    wanted = {
        "model.py": hashlib.sha256(MODEL.encode()).hexdigest(),
        "w.bin": hashlib.sha256(b"weights").hexdigest(),
    }
    assert Submission.of(folder).identity == wanted
    with open_submission(write_zip(tmp_path / "s.zip", entries)) as submission:
        assert submission.identity == wanted
    pack(folder, tmp_path / "p.zip")
    with open_submission(tmp_path / "p.zip") as submission:
        assert submission.identity == wanted


def test_hashing_takes_memory_for_a_piece_only(tmp_path):
    write_folder(tmp_path / "s", {"model.py": MODEL})
    with (tmp_path / "s" / "weights.bin").open("wb") as file:
        file.truncate(200 << 20)  # sparse
    submission = Submission.of(tmp_path / "s")
    tracemalloc.start()
    try:
        assert len(submission.identity) == 2
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


# Hostile folders ---------------------------------------------------------------------------------


def loop(folder):
    (folder / "loop").symlink_to("loop")


def loop_of_folders(folder):
    (folder / "up").symlink_to(".")


def sparse(folder):
    with (folder / "weights.bin").open("wb") as file:
        file.truncate(60 << 30)


def byte_ff(folder):
    Path(os.fsdecode(bytes(folder) + b"/a\xff.py")).write_text("x")


def fifo(folder):
    os.mkfifo(folder / "pipe")


def deep(folder):
    here = os.open(folder, os.O_RDONLY)
    for _ in range(600):
        os.mkdir("d" * 20, dir_fd=here)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def many(folder):
    for number in range(layout.MAX_FILES + 1):
        (folder / f"{number}.txt").touch()


HOSTILE = {
    loop: "symbolic link",
    loop_of_folders: "symbolic link",
    sparse: r"60\.0 GB are too much, at most 4\.0 GB",
    byte_ff: r"not UTF-8",
    fifo: "special file",
    deep: "too long",
    many: "too many",
}


@pytest.mark.parametrize("door", ["run", "check", "pack"])
@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_hostile_folders_are_named_errors(tmp_path, make, door):
    folder = write_folder(tmp_path / "top" / "s", {"model.py": MODEL})
    make(folder)
    with pytest.raises(SubmissionError, match=HOSTILE[make]) as caught:
        DOORS[door](folder)
    assert str(caught.value).isprintable(), "it can be printed in every locale"


@pytest.fixture
def unprivileged():
    """Let file permissions hold, also for tests that root runs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() != 0:
            yield folder
            return
        folder.chmod(0o777)
        os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
@pytest.mark.parametrize("name", ["weights.bin", "model.py", "closed"])
def test_unreadable_files_and_folders(unprivileged, name):
    entries = {"model.py": MODEL, "weights.bin": "x", "closed/x": "x"}
    folder = write_folder(unprivileged / "s", entries)
    (folder / name).chmod(0)
    try:
        for door in ("run", "check", "pack"):
            with pytest.raises(SubmissionError, match="can not be read") as caught:
                DOORS[door](folder)
            assert name in str(caught.value)
    finally:
        (folder / name).chmod(0o700)


def test_a_file_that_vanishes_while_it_is_hashed(tmp_path):
    submission = Submission.of(write_folder(tmp_path / "s", {"model.py": MODEL, "w": "x"}))
    (tmp_path / "s" / "w").unlink()
    with pytest.raises(SubmissionError, match=r"w can not be read: No such file"):
        submission.identity  # noqa: B018


@pytest.mark.parametrize("name", ["absent", "file.txt"])
def test_what_is_neither_folder_nor_zip(tmp_path, name):
    (tmp_path / "file.txt").write_text("x")
    for door in ("run", "check"):
        with pytest.raises(SubmissionError, match=rf"{name} is not a (directory|zip)"):
            DOORS[door](tmp_path / name)


names = st.lists(
    st.sampled_from(
        ["model.py", "a", "b", ".h", "__m", "__MACOSX", "_u", "metadata", "x\x00", ".."]
    ),
    min_size=1,
    max_size=3,
).map("/".join)


@settings(deadline=None)
@given(st.sets(names, max_size=5))
def test_zips_and_check_agree_on_any_names(found):
    files = [name for name in found if not any(o.startswith(f"{name}/") for o in found)]
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "s.zip")
        with zipfile.ZipFile(path, "w") as archive:
            for name in files:
                info = zipfile.ZipInfo()
                info.filename = info.orig_filename = name
                archive.writestr(info, MODEL)
        verdicts = set()
        for door in (door_of_a_run, door_of_check):
            try:
                door(path)
            except SubmissionError:
                verdicts.add("refused")
            else:
                verdicts.add("accepted")
    assert len(verdicts) == 1


def test_a_zip_in_memory_is_read_like_one_on_disk(tmp_path):
    path = write_zip(tmp_path / "s.zip", {"model.py": MODEL})
    with contextlib.closing(io.BytesIO(path.read_bytes())) as file:
        from HiggsML.submission.archive import read_zip

        assert read_zip(file).model == "model.py"


def test_modules_that_a_submission_finds_by_its_own_path_are_no_strangers(tmp_path):
    entries = {"model.py": f"import helper\n{MODEL}", "code/deep/helper.py": ""}
    write_folder(tmp_path / "strange", entries)
    assert [one.rule for one in check_layout(tmp_path / "strange")] == ["import"]
    for number, line in enumerate(
        ("sys.path.append(HERE + '/code/deep')", "path += ['code/deep']")
    ):
        folder = tmp_path / str(number)
        write_folder(folder, {**entries, "model.py": f"{line}\nimport helper\n{MODEL}"})
        assert check_layout(folder) == []
