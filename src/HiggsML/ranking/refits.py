"""Datasets whose training events are drawn again: how far a score is due to the training events."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from HiggsML.datasets.reader import Data

__all__ = ["with_resampled_training"]

_BATCH_ROWS = 250_000


def with_resampled_training(data: Data, folder: Path, *, seed: int) -> Path:
    """Write a dataset with the same test split, and training events drawn with replacement.

    Events are drawn within each process and stretch of rows, so that the expected events of every
    process stay. A method that is fitted to it measures the same pseudo-experiments.

    Parameters
    ----------
    data : Data
        The dataset.
    folder : Path
        Where the other one goes; made if it is not there.
    seed : int
        Which events are drawn.

    Returns
    -------
    Path
        ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in data.input_dir.glob("*_metadata.json"):
        shutil.copyfile(path, folder / path.name)
    source = pq.ParquetFile(data.path)
    left = data.test_size
    with pq.ParquetWriter(folder / data.path.name, source.schema_arrow) as writer:
        for number, batch in enumerate(source.iter_batches(_BATCH_ROWS)):
            table = pa.Table.from_batches([batch])
            kept = min(left, table.num_rows)
            left -= kept
            rng = np.random.default_rng([seed, number])
            labels = table["detailed_labels"].to_numpy()[kept:]
            rows = np.arange(table.num_rows)
            for process in np.unique(labels):
                mine = kept + np.flatnonzero(labels == process)
                rows[mine] = rng.choice(mine, size=mine.size)
            writer.write_table(table.take(rows))
    return folder
