"""Tables of text as users have them: every one gives the right values, or a named error."""

import bz2
import csv
import gzip
import io
import lzma
import os
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from HiggsML.errors import DataError, SettingsError
from HiggsML.four_lepton import read_sample, read_samples
from HiggsML.four_lepton.events import four_lepton_events


@pytest.fixture
def plain_events():
    return four_lepton_events("llll", 40, seed=3)


def read_sample_of(events, directory):
    path = directory / "again.csv"
    events.to_csv(path, index=False)
    return read_sample(path)


def packed(content, ending):
    if ending == ".zip":
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("tables/", "")
            archive.writestr("tables/llll.csv", content)
            archive.writestr("__MACOSX/tables/._llll.csv", "Mac OS X")
        return file.getvalue()
    if ending == ".zst":
        return bytes(pa.compress(content, "zstd", asbytes=True))
    return {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[ending](
        content
    )


@pytest.mark.parametrize("packing", ["", ".gz", ".bz2", ".xz", ".zst", ".zip"])
def test_the_first_bytes_tell_how_a_table_is_packed(plain_events, tmp_path, packing):
    content = packed(plain_events.to_csv(index=False).encode(), packing)
    for ending in ("", ".gz", packing):
        path = tmp_path / f"llll.csv{ending}"
        path.write_bytes(content)
        pd.testing.assert_frame_equal(read_sample(path), read_sample_of(plain_events, tmp_path))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_encoding_and_end_of_line(plain_events, tmp_path, encoding, end):
    path = tmp_path / "llll.csv"
    path.write_bytes(plain_events.to_csv(index=False).replace("\n", end).encode(encoding))
    pd.testing.assert_frame_equal(read_sample(path), read_sample_of(plain_events, tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.to_csv(index=False, sep=";", decimal=","),
        lambda frame: frame.to_csv(index=False, sep="\t", decimal=","),
        lambda frame: frame.to_csv(index=False, decimal=","),  # pandas quotes them
        lambda frame: "sep=;\n" + frame.to_csv(index=False, sep=";"),
        lambda frame: "My events\n\n% by hand\n" + frame.to_csv(index=False),
        lambda frame: "# caf\u00e9: lep_pt_0 leads\n# " + frame.to_csv(index=False),
        lambda frame: frame.to_csv(index=False, quoting=csv.QUOTE_ALL),
    ],
    ids=["semicolons", "tabs", "quoted", "Excel", "a title", "a header in a comment", "quotes"],
)
def test_what_stands_above_a_table_and_decimal_commas(plain_events, tmp_path, change):
    path = tmp_path / "llll.csv"
    path.write_text(change(plain_events), encoding="utf-8")
    pd.testing.assert_frame_equal(read_sample(path), read_sample_of(plain_events, tmp_path))


WRONG_VALUES = [
    ("lep_pt_1", -999.0, r"lep_pt_1: 1 values are wrong, the first is -999 in row 3; .* positive"),
    ("lep_E_2", 0.0, "lep_E_2: 1 values are wrong, the first is 0 in row 3"),
    ("lep_phi_0", 171.0, "lep_phi_0: 1 values are wrong, .* angles in radians"),
    ("lep_charge_3", 2, "lep_charge_3: 1 values are wrong, .* charges, which are 1 or -1"),
    ("lep_type_0", 15, "lep_type_0: 1 values are wrong, .* 11 for an electron, 13 for a muon"),
]


@pytest.mark.parametrize(("name", "value", "says"), WRONG_VALUES)
def test_what_no_electrons_and_muons_have_is_refused(plain_events, tmp_path, name, value, says):
    plain_events.loc[2, name] = value
    with pytest.raises(DataError, match=says):
        read_sample_of(plain_events, tmp_path)


@pytest.mark.parametrize(
    ("prefix", "factor", "says"),
    [
        ("lep_E", 1000, r"lep_E_0 is 1e\+03 times what it should be by lep_pt_0 and lep_eta_0"),
        ("mllll", 0.001, "mllll is 0.001 times what it should be by the mass of its leptons"),
        ("totalWeight", 0, "totalWeight: it sums to 0, not to a number of expected events"),
        ("totalWeight", -1, "totalWeight: it sums to -"),
    ],
)
def test_quantities_that_contradict_each_other_are_refused(
    plain_events, tmp_path, prefix, factor, says
):
    scaled = [name for name in plain_events if name.startswith(prefix)]
    plain_events[scaled] *= factor
    with pytest.raises(DataError, match=says):
        read_sample_of(plain_events, tmp_path)


def damaged(content):
    return content[:300] + bytes(300) + content[600:]


def wrong_tables(frame):
    text = frame.to_csv(index=False)
    table, rows = text.encode(), text.splitlines()
    two = io.BytesIO()
    with zipfile.ZipFile(two, "w") as archive:
        archive.writestr("a.csv", text)
        archive.writestr("b.csv", text)
    parquet = io.BytesIO()
    frame.to_parquet(parquet)
    doubled = pd.concat([frame, frame[["lep_pt_0"]]], axis=1).to_csv(index=False)
    return {
        "is a web page, not the data": b"\n<!DOCTYPE html><html>Please log in</html>",
        "is a parquet file": parquet.getvalue(),
        "is a ROOT file": b"root\0\0\xf6\xf0" + bytes(500),
        "is a git-annex pointer": b"/annex/objects/SHA256E-s1--0.csv\n",
        "holds 2 files (a.csv, b.csv) instead of one": two.getvalue(),
        "is not a readable CSV file: it holds bytes that are no text": damaged(table),
        "is not a readable CSV file: Error -3": damaged(gzip.compress(table)),
        "is not a readable CSV file: Compressed": lzma.compress(table)[:-80],
        "is not a readable CSV file: File is not a zip file": packed(table, ".zip")[:-30],
        "names a column twice: lep_pt_0": doubled.encode(),
        "it has 'LEP_PT_0', ": text.upper().encode(),
        "lep_pt_0: 'GeV' in row 1 is not a number": "\n".join(
            [rows[0], ",".join(["GeV"] * len(frame.columns)), *rows[1:]]
        ).encode(),
        "row 20; it is the last one: is the file cut short?": "\n".join(rows[:21])[:-90].encode(),
    }


@pytest.mark.parametrize("case", range(13))
def test_what_is_no_table_is_called_what_it_is(plain_events, tmp_path, case):
    says, content = list(wrong_tables(plain_events).items())[case]
    path = tmp_path / "llll.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_sample(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="needs links and pipes")
def test_folders_links_and_pipes_in_place_of_a_table(tmp_path):
    (tmp_path / "llll.csv").mkdir()
    with pytest.raises(DataError, match=r"llll.csv is a folder, not a file; it is empty"):
        read_samples(tmp_path, "llll")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    with pytest.raises(DataError, match=r"loop.csv can not be opened"):
        read_samples(tmp_path, "loop")
    (tmp_path / "nothing.csv").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"nothing.csv does not exist: it is a link to nothing"):
        read_samples(tmp_path, "nothing")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match=r"pipe.csv is a pipe or a device"):
        read_samples(tmp_path, "pipe")


def test_names_of_samples(plain_events, tmp_path):
    plain_events.to_csv(tmp_path / "LLLL.CSV", index=False)
    assert list(read_samples(tmp_path, Path("llll.csv"))) == ["llll"]
    for samples in (7, None, [7]):
        with pytest.raises(SettingsError, match="named by"):
            read_samples(tmp_path, samples)
    with pytest.raises(SettingsError, match="named by its path"):
        read_sample(None)
    plain_events.to_csv(tmp_path / "llll.csv.gz", index=False)
    with pytest.raises(DataError, match=r"holds LLLL\.CSV and llll\.csv\.gz: leave one"):
        read_samples(tmp_path, "llll")
    with pytest.raises(DataError, match=r"there is no CSV file: 'higgsml four-lepton"):
        read_samples(tmp_path / "other", "llll")
    with pytest.raises(DataError, match="there is no CSV file, since it is no folder"):
        read_samples(tmp_path / "LLLL.CSV", "llll")
