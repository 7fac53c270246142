"""Folders and files as users have them: what is no dataset is called what it is."""

import gzip
import json
import os
import shutil

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from HiggsML.datasets import Data
from HiggsML.errors import DataError
from tests.conftest import DATA_FILE

METADATA_FILE = DATA_FILE.replace(".parquet", "_metadata.json")


def of_kind(path, kind):
    """Make a file another kind of file, under the same name."""
    content = path.read_bytes()
    if kind == "gzip":
        path.write_bytes(gzip.compress(content))
    elif kind == "zip":
        shutil.make_archive(str(path), "zip", path.parent, path.name)
        path.with_name(f"{path.name}.zip").replace(path)
    elif kind == "feather":
        pyarrow.feather.write_feather(pq.read_table(path), path)
    elif kind == "page":
        path.write_text("\n<!DOCTYPE html>\n<html>Please log in</html>")
    elif kind == "annex":
        path.write_text("/annex/objects/SHA256E-s1--0.parquet\n")
    else:
        path.unlink()
        {"pipe": os.mkfifo, "folder": os.mkdir}.get(kind, lambda _: path.symlink_to(kind))(path)


@pytest.mark.skipif(os.name != "posix", reason="needs links and pipes")
@pytest.mark.parametrize("name", [DATA_FILE, METADATA_FILE])
@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("gzip", "is compressed by gzip: unpack it with gunzip"),
        ("zip", "is a zip archive"),
        ("page", "is a web page, not the data: a login or a proxy answered"),
        ("annex", "is a git-annex pointer, not the data"),
        ("pipe", "is a pipe or a device: name a regular file"),
        ("folder", "is a folder, not a file; it is empty"),
        ("nowhere", "does not exist: it is a link to nothing"),
        (DATA_FILE, "can not be opened: .*Too many levels|is a parquet file"),
    ],
)
def test_another_kind_of_file(events, write_dataset, name, kind, says):
    directory = write_dataset(events)
    of_kind(directory / name, kind)
    with pytest.raises(DataError, match=rf"{name} ({says})"):
        Data(directory)


def test_an_arrow_file_is_called_that(events, write_dataset):
    directory = write_dataset(events)
    of_kind(directory / DATA_FILE, "feather")
    with pytest.raises(DataError, match=r"is an Arrow \(Feather\) file: write it as another kind"):
        Data(directory)


def test_a_file_a_link_and_an_address_instead_of_a_folder(events, write_dataset, tmp_path):
    directory = write_dataset(events)
    with pytest.raises(DataError, match="is a file, not a directory: name the directory in which"):
        Data(directory / DATA_FILE)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DataError, match="loop is a link to nothing, or to itself"):
        Data(tmp_path / "loop")
    with pytest.raises(DataError, match="is an address: download_dataset fetches"):
        Data("https://example.org/data.zip")
    with pytest.raises(DataError, match=r"can not be opened: .*too long"):
        Data("a" * 5000)


def test_a_folder_that_does_not_hold_the_file_itself(events, write_dataset, tmp_path):
    directory = write_dataset(events)
    with pytest.raises(DataError, match=rf"but in {directory}: name that folder"):
        Data(tmp_path)
    table = pa.Table.from_pandas(events, preserve_index=False)
    pq.write_to_dataset(table, tmp_path / "hive", partition_cols=["detailed_labels"])
    with pytest.raises(DataError, match=r"but 4 in 4 folders .*joined into one .*partitioning="):
        Data(tmp_path / "hive")
    (tmp_path / "tables").mkdir()
    events.to_csv(tmp_path / "tables" / "data.csv")
    with pytest.raises(DataError, match=r"no parquet file in .*; it holds data\.csv: a dataset is"):
        Data(tmp_path / "tables")


def test_names_of_columns_that_are_nearly_right(events, write_dataset):
    for number, change in enumerate((str.lower, lambda name: f"{name} ", str.title)):
        directory = write_dataset(events.rename(columns=change), metadata=None, name=f"d{number}")
        with pytest.raises(DataError, match=f"it has '{change('PRI_lep_pt')}', .*: rename them"):
            Data(directory)
    table = pa.Table.from_pandas(events, preserve_index=False)
    pq.write_table(table.append_column("PRI_met", table["PRI_met"]), directory / DATA_FILE)
    with pytest.raises(DataError, match="names a column twice: 'PRI_met'; leave one"):
        Data(directory)


def test_a_file_without_rows(events, write_dataset):
    with pytest.raises(DataError, match=r"data\.parquet has no rows"):
        Data(write_dataset(events.iloc[:0]))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_metadata_in_every_encoding(events, write_dataset, encoding):
    directory = write_dataset(events)
    path = directory / METADATA_FILE
    path.write_bytes(path.read_text("utf-8").encode(encoding))
    assert Data(directory).sum_weights() == 1234.5


@pytest.mark.parametrize("total", [1e-300, 1e300, 10**400, -1.0])
def test_numbers_of_events_that_can_not_be(events, write_dataset, total):
    directory = write_dataset(events)
    (directory / METADATA_FILE).write_text(json.dumps({"sum_weights": total}))
    with pytest.raises(DataError, match=r"sum_weights must be a positive number, got .* 1e-06 to"):
        Data(directory)


def test_a_number_with_too_many_digits(events, write_dataset):
    directory = write_dataset(events)
    (directory / METADATA_FILE).write_text('{"sum_weights": ' + "9" * 5000 + "}")
    with pytest.raises(DataError, match="is not valid JSON"):
        Data(directory)
