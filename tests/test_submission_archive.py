"""Zip files of submissions: every trick is refused by name, and ordinary ones are unpacked."""

import contextlib
import io
import stat
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from HiggsML.errors import SubmissionError
from HiggsML.submission import layout
from HiggsML.submission.archive import unpack, unpacked

MODEL = "class Model: ..."


def make(path, entries, **keywords):
    with zipfile.ZipFile(path, "w", **keywords) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def special(name, mode):
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = mode << 16
    return entry


@pytest.mark.parametrize("prefix", ["", "my_submission/"])
def test_ordinary_zips_are_unpacked(tmp_path, prefix):
    entries = [
        (f"{prefix}model.py", MODEL),
        (f"{prefix}weights/a.bin", b"\0" * 1000),
        (f"__MACOSX/{prefix}._model.py", b"junk"),
        (f"{prefix}.DS_Store", b"junk"),
    ]
    path = make(tmp_path / "s.zip", entries, compression=zipfile.ZIP_DEFLATED)
    with unpacked(path) as folder:
        found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
        assert found == {f"{prefix}model.py", f"{prefix}weights/a.bin"}
    assert not folder.exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../model.py", "leaves its folder"),
        ("a/../../model.py", "leaves its folder"),
        ("/etc/cron.d/x", "absolute path"),
        ("C:/x.py", "absolute path"),
        ("a\\..\\b.py", "backslashes"),
        ("a//b.py", "empty part"),
        ("./model.py", "empty part"),
        ("a\nb.py", "control characters"),
        ("a\x00b.py", "control characters"),
        ("a\u202eyp.b", "control characters"),
        ("x" * 300 + ".py", "too long"),
        ("a/" * 600 + "b.py", "too long"),
    ],
)
def test_names_are_checked(tmp_path, name, message):
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = entry.orig_filename = name
    path = make(tmp_path / "s.zip", [("model.py", MODEL), (entry, b"x")])
    with pytest.raises(SubmissionError, match=message), unpacked(path):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.zip"]


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        (stat.S_IFLNK | 0o777, "is a symbolic link"),
        (stat.S_IFIFO | 0o644, "special file"),
        (stat.S_IFCHR | 0o644, "special file"),
        (stat.S_IFSOCK | 0o644, "special file"),
    ],
)
def test_links_and_special_files(tmp_path, mode, message):
    path = make(tmp_path / "s.zip", [("model.py", MODEL), (special("x", mode), "/etc/passwd")])
    with pytest.raises(SubmissionError, match=message), unpacked(path):
        pass


def test_bombs(tmp_path, monkeypatch):
    entries = [("model.py", MODEL), ("zeros", bytes(80 << 20))]
    path = make(tmp_path / "s.zip", entries, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(SubmissionError, match=r"more than 200 times as much"), unpacked(path):
        pass
    monkeypatch.setattr(layout, "MAX_BYTES", 1 << 20)
    path = make(tmp_path / "large.zip", [("model.py", MODEL), ("weights", bytes(2 << 20))])
    with pytest.raises(SubmissionError, match=r"2\.0 MB are too much, at most 1\.0 MB"):
        unpack(path, tmp_path / "x")


def test_the_size_in_the_list_is_not_believed(tmp_path, monkeypatch):
    path = make(tmp_path / "s.zip", [("model.py", MODEL + " " * (2 << 20))])
    content = path.read_bytes()
    lie = struct.pack("<L", 10)
    real = struct.pack("<L", len(MODEL) + (2 << 20))
    path.write_bytes(content.replace(real, lie))
    with pytest.raises(SubmissionError), unpacked(path):
        pass


def test_too_many_files(tmp_path):
    path = make(tmp_path / "s.zip", [(f"f{i}", b"") for i in range(10_001)])
    with (
        pytest.raises(SubmissionError, match=r"lists 10,001 files; at most 10,000"),
        unpacked(path),
    ):
        pass


def test_overlapping_files(tmp_path):
    path = make(tmp_path / "s.zip", [("a", b"x" * 5000), ("b", b"y" * 5000)])
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("b").header_offset
    content = bytearray(path.read_bytes())
    # Cut the second file's data away, and let both entries share the first one's.
    start = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", start + 4)
    content[second + 42 : second + 46] = struct.pack("<L", 0)
    del content[offset:start]
    end = content.rindex(b"PK\x05\x06")
    content[end + 16 : end + 20] = struct.pack("<L", offset)
    path.write_bytes(bytes(content))
    with pytest.raises(SubmissionError, match="overlap"), unpacked(path):
        pass


def test_encrypted_twice_and_strange_methods(tmp_path):
    path = make(tmp_path / "s.zip", [("model.py", MODEL)])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(content))
    with (
        pytest.raises(SubmissionError, match="is encrypted"),
        unpacked(path),
    ):
        pass
    path = make(tmp_path / "l.zip", [("model.py", MODEL)], compression=zipfile.ZIP_LZMA)
    with pytest.raises(SubmissionError, match="packed with method 14"), unpacked(path):
        pass
    with pytest.warns(UserWarning, match="Duplicate"):
        path = make(tmp_path / "d.zip", [("model.py", MODEL), ("model.py", "evil")])
    with (
        pytest.raises(SubmissionError, match="is in the zip twice"),
        unpacked(path),
    ):
        pass
    path = make(tmp_path / "f.zip", [("model.py", MODEL), ("model.py/x", "evil")])
    with pytest.raises(SubmissionError, match="both as a file and as a folder"), unpacked(path):
        pass


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "s.zip: model.py: there is no model.py at the top"),
        ([("readme.txt", "x")], "no model.py"),
        ([("Model.py", MODEL)], r"Rename Model.py to model.py"),
        ([("model.ipynb", "{}")], r"nbconvert --to script model.ipynb --output model"),
        ([("a/b/model.py", MODEL)], "no model.py"),
        (
            [("a/model.py", MODEL), ("b/model.py", MODEL)],
            r"several model.py .a/model.py, b/model.py",
        ),
        ([("inner.zip", b"PK")], r"holds another zip, inner.zip: submit that one"),
    ],
)
def test_model_py_must_be_found(tmp_path, entries, message):
    path = make(tmp_path / "s.zip", entries)
    with pytest.raises(SubmissionError, match=message), unpacked(path):
        pass


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all" * 100, b"PK\x05\x06" + bytes(17)])
def test_what_is_no_zip(tmp_path, content):
    path = tmp_path / "s.zip"
    path.write_bytes(content)
    with pytest.raises(SubmissionError, match=r"s.zip is not a zip file"), unpacked(path):
        pass


def test_zip64_is_refused(tmp_path):
    path = make(tmp_path / "s.zip", [("model.py", MODEL)])
    content = path.read_bytes()
    end = content.rindex(b"PK\x05\x06")
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    path.write_bytes(content[:end] + locator + content[end:])
    with pytest.raises(SubmissionError, match="zip64"), unpacked(path):
        pass


@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=20),
    cut=st.integers(0, 400),
)
def test_damaged_zips_are_refused_by_name_or_stay_inside(tmp_path_factory, changes, cut):
    buffer = io.BytesIO()
    make(buffer, [("model.py", MODEL), ("d/x", b"y" * 50)], compression=zipfile.ZIP_DEFLATED)
    content = bytearray(buffer.getvalue())
    for position, value in changes:
        content[position % len(content)] = value
    base = tmp_path_factory.mktemp("damaged")
    path = base / "s.zip"
    path.write_bytes(bytes(content[: len(content) - cut % len(content)]))
    target = base / "target"
    target.mkdir()
    with contextlib.suppress(SubmissionError):
        unpack(path, target)
    assert sorted(p.name for p in base.iterdir()) == ["s.zip", "target"]
    for found in target.rglob("*"):
        assert not found.is_symlink()
        assert found.resolve().is_relative_to(target.resolve())
