"""Datasets for the benchmarks: the events of the mini dataset, tiled with jitter.

Jitter (momenta by 1 %, azimuths turned by a random angle per event) keeps the copies apart, so that
neither compression nor caches get an easier job than with real data. Yields are the official ones:
a pseudo-experiment has a million events, whatever the size of the file.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from HiggsML.derived_quantities import DER_data
from HiggsML.schema import DER_COLUMNS, LABEL_COLUMNS, PRI_COLUMNS, PROCESSES

ROOT = Path(__file__).resolve().parent.parent
YIELDS = {"ztautau": 1_002_395.0, "diboson": 3_783.0, "ttbar": 44_192.0, "htautau": 1_015.0}
GROUP = 1_000_000
VERSION = 1  # of what is made here: part of the directory's name


def dataset(cache: Path, rows: int, *, derived: bool = False) -> Path:
    """Return the directory of a dataset with so many rows, making it the first time."""
    name = f"tiled-v{VERSION}-{rows}{'-derived' if derived else ''}"
    directory = cache / name
    if directory.is_dir():
        return directory
    part = cache / f"{name}.part"
    part.mkdir(parents=True, exist_ok=True)
    for old in part.iterdir():
        old.unlink()
    mini = pd.read_parquet(next((ROOT / "input_data").glob("*.parquet")))
    shares = mini["detailed_labels"].value_counts(normalize=True)
    weights = {process: YIELDS[process] / (shares[process] * rows) for process in PROCESSES}
    writer = None
    rng = np.random.default_rng(1)
    for start in range(0, rows, GROUP):
        frame = jittered(mini, min(GROUP, rows - start), rng)
        frame["weights"] = frame["detailed_labels"].map(weights).astype(np.float32)
        if derived:
            frame = DER_data(frame)[[*PRI_COLUMNS, *DER_COLUMNS, *LABEL_COLUMNS]]
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if writer is None:
            writer = pq.ParquetWriter(part / "tiled.parquet", table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    content = {
        "total_rows": rows,
        "columns": table.column_names,
        "detailed_labels": list(PROCESSES),
        "sum_weights": sum(YIELDS.values()),
    }
    (part / "tiled_metadata.json").write_text(json.dumps(content), encoding="utf-8")
    part.rename(directory)
    return directory


def jittered(mini: pd.DataFrame, rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return ``rows`` events, each one of ``mini`` changed a little."""
    frame = mini.iloc[rng.integers(len(mini), size=rows)].reset_index(drop=True)
    turn = rng.uniform(-np.pi, np.pi, rows)
    for name in PRI_COLUMNS:
        values = frame[name].to_numpy(np.float64)
        if name.endswith("phi"):
            changed = (values + turn + np.pi) % (2 * np.pi) - np.pi
        elif name.endswith("pt") or name == "PRI_met":
            changed = values * rng.normal(1.0, 0.01, rows)
        else:
            continue
        frame[name] = np.where(values == -25, values, changed.round(3)).astype(np.float32)
    frame["detailed_labels"] = frame["detailed_labels"].astype(str)
    return frame
