"""What a dataset is: digests by which a resumed run, or a cluster, knows it again."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from HiggsML.datasets.reader import Data
from HiggsML.errors import DataError
from HiggsML.source_files import visible

__all__ = ["data_identity", "parquet_footer"]


_END_OF_PARQUET = 8  # bytes: length of the footer, magic bytes


def parquet_footer(path: Path) -> bytes:
    """Return the end of a parquet file: the footer, which names all parts of its columns, and more.

    Raises
    ------
    OSError
        If the file can not be read.
    """
    with path.open("rb") as file:
        size = file.seek(-_END_OF_PARQUET, io.SEEK_END) + _END_OF_PARQUET
        length = int.from_bytes(file.read(4), "little")
        file.seek(-min(size, length + _END_OF_PARQUET), io.SEEK_END)
        return file.read()


def data_identity(data: Data) -> dict[str, str]:
    """Return what tells one dataset from another, wherever its files are.

    Neither path nor date counts, since a cluster's machines may hold copies. The footer of a
    parquet file lists position, size and, usually, smallest and largest value of all its columns'
    parts, so that gigabytes need not be read.

    Raises
    ------
    DataError
        If the file can not be read.
    """
    try:
        size = data.path.stat().st_size
        footer = hashlib.sha256(parquet_footer(data.path)).hexdigest()
        described = visible(data.path.parent, "*_metadata.json")
        metadata = hashlib.sha256(b"".join(path.read_bytes() for path in described)).hexdigest()
    except OSError as error:
        raise DataError(f"{data.path} can not be read: {error}") from error
    return {
        "bytes": str(size),
        "rows": str(data.total_rows),
        "parquet footer": footer,
        "metadata file": metadata,
    }
