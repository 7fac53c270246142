"""Servers and archives as users meet them: the right dataset, or a named error; never a traceback.

Downloads that go well, break off or go on are tried in test_datasets.py.
"""

import hashlib
import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from HiggsML.datasets import download_dataset
from HiggsML.errors import DataError, SettingsError
from tests.conftest import DATA_FILE


def zipped(files, compression=zipfile.ZIP_DEFLATED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, value in files.items():
            archive.writestr(name, value)
    return content.getvalue()


@pytest.fixture
def parquet(events, write_dataset):
    return (write_dataset(events, name="source") / DATA_FILE).read_bytes()


@pytest.fixture
def serve():
    """A function that starts a server.

    ``serve(answers)``: for each path a function of the ``Range`` asked for (or None) that returns
    status, headers and content. The address is returned.
    """
    servers = []

    def start(answers):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                answer = answers.get(self.path.partition("?")[0], lambda _: (404, {}, b"no"))
                status, headers, content = answer(self.headers.get("Range"))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        thread.start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def always(content, status=200, **headers):
    return lambda _: (status, headers, content)


@pytest.mark.parametrize(
    ("files", "inside"),
    [
        (["data.parquet"], ""),
        (["a/b/DATA.PARQUET"], "a/b"),
        (["data.parquet", "__MACOSX/._data.parquet", ".hidden/x.parquet"], ""),
        (["../../data.parquet"], ""),  # unpacked inside all the same
    ],
)
def test_archives_that_are_read(serve, parquet, tmp_path, files, inside):
    url = serve({"/a.zip": always(zipped(dict.fromkeys(files, parquet)))}) + "/a.zip"
    data = download_dataset(url, directory=tmp_path / "new" / "folder")
    assert data.total_rows == 200
    assert data.input_dir == tmp_path / "new" / "folder" / "data" / inside


def damaged(content):
    return content[:200] + bytes(200) + content[400:]


def encrypted(content):
    content = bytearray(content)
    for position in (6, content.rfind(b"PK\x01\x02") + 8):
        content[position] |= 1
    return bytes(content)


def bad_archives(parquet):
    files = {"data.parquet": parquet}
    return {
        "it is a web page, not the data: a login or a proxy": b"<!DOCTYPE html>Please log in",
        "it is a parquet file": parquet,
        "it is compressed by gzip": b"\x1f\x8b" + bytes(100),
        "File is not a zip file": zipped(files)[:-40],
        "Error -3 while decompressing": damaged(zipped(files)),
        "Invalid data stream": damaged(zipped(files, zipfile.ZIP_BZIP2)),
        "Corrupt input data": damaged(zipped(files, zipfile.ZIP_LZMA)),
        "is encrypted": encrypted(zipped(files)),
        "File name too long": zipped({"a" * 300: b""}),
        "Not a directory": zipped({"a": b"", "a/b": b""}),
    }


@pytest.mark.parametrize("case", range(10))
def test_archives_that_can_not_be_unpacked(serve, parquet, tmp_path, case):
    reason, content = list(bad_archives(parquet).items())[case]
    url = serve({"/a.zip": always(content)}) + "/a.zip"
    for _ in range(2):
        with pytest.raises(DataError, match=rf"data\.zip can not be unpacked: .*{reason}"):
            download_dataset(url, directory=tmp_path)
    assert not (tmp_path / "data").exists()
    (tmp_path / "data.zip").unlink()
    good = serve({"/a.zip": always(zipped({"data.parquet": parquet}))}) + "/a.zip"
    assert download_dataset(good, directory=tmp_path).total_rows == 200


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([], "no parquet file in .*; it is empty|is an empty zip archive"),
        (["read me.txt"], "no parquet file in .*; it holds read me.txt"),
        (["inner.zip"], "no parquet file in .*; it holds inner.zip"),
        (["a/d.parquet", "b/d.parquet"], r"2 folders with datasets \(a, b\): open one of them"),
    ],
)
def test_archives_without_one_dataset(serve, parquet, tmp_path, files, says):
    url = serve({"/a.zip": always(zipped(dict.fromkeys(files, parquet)))}) + "/a.zip"
    with pytest.raises(DataError, match=says):
        download_dataset(url, directory=tmp_path)


BAD_RECORDS = [
    b"<html>",
    b"[" * 100_000,
    b'{"n": ' + b"9" * 5000 + b"}",
    *(json.dumps(one).encode() for one in ([1], None, {}, {"files": None}, {"files": ["a"]})),
]


@pytest.mark.parametrize("record", BAD_RECORDS)
def test_records_that_are_not_as_expected(serve, parquet, tmp_path, record):
    answers = {
        "/records/7/files/a.zip": always(zipped({"data.parquet": parquet})),
        "/api/records/7": always(record),
    }
    url = serve(answers) + "/records/7/files/a.zip?download=1"
    with pytest.raises(DataError, match=r"can not be fetched: .*; try again"):
        download_dataset(url, directory=tmp_path)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("checksum", ["", "crc9:00", "shake_128:00", "MD5"])
def test_checksums_in_capitals_are_checked_and_unknown_ones_are_not(
    serve, parquet, tmp_path, checksum
):
    content = zipped({"data.parquet": parquet})
    if checksum == "MD5":
        checksum = f"md5:{hashlib.md5(content).hexdigest()}".upper()
    record = json.dumps({"files": [{"key": "a.zip", "checksum": checksum}]}).encode()
    answers = {"/records/7/files/a.zip": always(content), "/api/records/7": always(record)}
    url = serve(answers) + "/records/7/files/a.zip"
    assert download_dataset(url, directory=tmp_path).total_rows == 200


def test_servers_that_send_another_part_than_was_asked_for(serve, parquet, tmp_path):
    content = zipped({"data.parquet": parquet})
    whole = {"Content-Range": f"bytes 0-{len(content) - 1}/{len(content)}"}
    url = serve({"/a.zip": lambda part: (206 if part else 200, whole if part else {}, content)})
    (tmp_path / "data.zip.part").write_bytes(content[:100])
    assert download_dataset(f"{url}/a.zip", directory=tmp_path).total_rows == 200
    never = {"Content-Range": f"bytes 5-9/{len(content)}"}
    url = serve({"/a.zip": lambda _: (206, never, content[5:10])})
    with pytest.raises(DataError, match="sends a part although all was asked for"):
        download_dataset(f"{url}/a.zip", directory=tmp_path / "never")


def test_what_is_there_already_is_not_fetched_again(serve, parquet, tmp_path):
    content = zipped({"data.parquet": parquet})
    asked = []

    def nothing_left(part):
        asked.append(part)
        return 416, {"Content-Range": f"bytes */{len(content)}"}, b""

    (tmp_path / "data.zip.part").write_bytes(content)
    url = serve({"/a.zip": nothing_left}) + "/a.zip"
    assert download_dataset(url, directory=tmp_path).total_rows == 200
    assert asked == [f"bytes={len(content)}-"]


def test_redirections(serve, parquet, tmp_path):
    answers = {
        "/a.zip": always(b"", 302, Location="/b.zip?token=1"),
        "/b.zip": always(zipped({"data.parquet": parquet})),
        "/loop.zip": always(b"", 302, Location="/loop.zip"),
        "/file.zip": always(b"", 302, Location="file:///etc/hostname"),
    }
    url = serve(answers)
    for name in ("loop", "file"):
        with pytest.raises(DataError, match="can not be fetched: HTTP Error 302"):
            download_dataset(f"{url}/{name}.zip", directory=tmp_path)
    assert download_dataset(f"{url}/a.zip", directory=tmp_path).total_rows == 200


def test_addresses(serve, parquet, tmp_path):
    url = serve({"/d%C3%A9j%C3%A0.zip": always(zipped({"data.parquet": parquet}))})
    for number, name in enumerate(("d\u00e9j\u00e0", "d%C3%A9j%C3%A0")):
        address = f"{url.replace('http', 'HTTP')}/{name}.zip"
        assert download_dataset(address, directory=tmp_path / str(number)).total_rows == 200
    for other in (None, Path("sample_data"), "", "ftp://a.org/b.zip", "file:///etc/hostname"):
        with pytest.raises(SettingsError, match="unknown dataset"):
            download_dataset(other, directory=tmp_path)


def test_what_stands_in_the_way(serve, parquet, tmp_path):
    url = serve({"/a.zip": always(zipped({"data.parquet": parquet}))}) + "/a.zip"
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DataError, match="data is a file where the dataset's folder goes"):
        download_dataset(url, directory=tmp_path)
    with pytest.raises(DataError, match=r"can not be fetched: .*(Not a directory|exists)"):
        download_dataset(url, directory=tmp_path / "data")
    (tmp_path / "data").unlink()
    (tmp_path / "data.zip").mkdir()
    with pytest.raises(DataError, match=r"can not be fetched: .*directory"):
        download_dataset(url, directory=tmp_path)
