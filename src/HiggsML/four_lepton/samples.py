"""Samples of the four-lepton exercise: their names, their columns, and how they are read."""

from __future__ import annotations

import glob
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from HiggsML.errors import DataError, SettingsError
from HiggsML.source_files import refuse_pointer, visible

__all__ = ["LEPTON_COLUMNS", "SAMPLES", "four_lepton_mass", "read_sample", "read_samples"]

Array = NDArray[np.float64]

_DELIMITERS = (",", ";", "\t", "|", r"\s+")
_PACKED = ("", ".gz", ".zip", ".bz2", ".xz", ".zst")  # endings that pandas unpacks

SAMPLES = ("llll", "ggH125_ZZ4lep")
"""The two samples with which the exercise begins: background and signal."""

LEPTON_COLUMNS = tuple(
    f"lep_{part}_{i}" for part in ("pt", "eta", "phi", "E", "charge", "type") for i in range(4)
)
"""Columns that every sample must have, beside ``totalWeight``."""

_LARGEST_MEDIAN_PT = 2_000.0  # GeV; above it a file is in MeV


def read_sample(path: str | Path, *, unit: Literal["GeV", "MeV"] = "GeV") -> pd.DataFrame:
    """Read one sample.

    Parameters
    ----------
    path : str or Path
        CSV file, plain or compressed. Any delimiter, lines of comments (``#``) and a comma at the
        end of lines are read; signed lepton types (-11) lose their sign. Columns that the exercise
        does not use are kept as they are.
    unit : {"GeV", "MeV"}
        Unit of momenta, energies and masses in the file.

    Returns
    -------
    DataFrame
        The columns of the file in GeV; ``mllll`` is computed where the file has none.

    Raises
    ------
    DataError
        If the file is missing, empty, no CSV file, in another unit, or lacks a column or value.

    Examples
    --------
    >>> four_leptons["llll"].to_csv(folder / "llll.csv", index=False)
    >>> len(read_sample(folder / "llll.csv")) == len(four_leptons["llll"])
    True
    """
    if unit not in ("GeV", "MeV"):
        raise SettingsError(f"unit must be 'GeV' or 'MeV', got {unit!r}")
    file = Path(path)
    if not file.is_file():
        raise DataError(f"{file} does not exist")
    refuse_pointer(file)
    try:
        frame = _read_table(file)
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{file} is empty") from error
    except (pd.errors.ParserError, UnicodeDecodeError, OSError, EOFError, ValueError) as error:
        raise DataError(f"{file} is not a readable CSV file: {error}") from error
    required = [*LEPTON_COLUMNS, "totalWeight"]
    if absent := [name for name in required if name not in frame.columns]:
        raise DataError(f"{file} lacks the columns {', '.join(absent)}")
    if frame.empty:
        raise DataError(f"{file} has a header but no events")
    checked = [*required, *(["mllll"] if "mllll" in frame.columns else [])]
    for name in checked:
        _check_numbers(frame[name], f"{file}, column {name}")
    types = [f"lep_type_{i}" for i in range(4)]
    frame[types] = frame[types].abs()
    if unit == "MeV":
        scaled = [name for name in checked if name.startswith(("lep_pt", "lep_E", "mllll"))]
        frame[scaled] = frame[scaled] / 1000
    median = float(frame["lep_pt_0"].median())
    if median > _LARGEST_MEDIAN_PT:
        raise DataError(
            f"{file}: the median of lep_pt_0 is {median:,.0f} GeV; if the file is in MeV, "
            'read it with unit="MeV"'
        )
    if "mllll" not in frame.columns:
        frame["mllll"] = four_lepton_mass(frame)
    return frame


def _read_table(file: Path) -> pd.DataFrame:
    """Read a table with whatever delimiter its header has."""
    options: dict[str, Any] = {"comment": "#", "index_col": False, "skipinitialspace": True}
    for delimiter in _DELIMITERS:
        options["sep"] = delimiter
        if len(pd.read_csv(file, nrows=0, **options).columns) > 1:
            break
    with warnings.catch_warnings():
        # A delimiter at the end of the lines, but not of the header: its names are right.
        warnings.simplefilter("ignore", pd.errors.ParserWarning)
        frame: pd.DataFrame = pd.read_csv(file, **options)
    frame.columns = frame.columns.str.strip()
    last = str(frame.columns[-1])
    empty = last.startswith("Unnamed: ") and frame.iloc[:, -1].isna().all()
    return frame.iloc[:, :-1] if empty else frame


def read_samples(
    directory: str | Path,
    samples: str | Iterable[str] = SAMPLES,
    *,
    unit: Literal["GeV", "MeV"] = "GeV",
) -> dict[str, pd.DataFrame]:
    """Read samples by name: ``llll`` is ``directory/llll.csv``, or the same file compressed.

    A name may have its ending, and one name may be a string.

    Raises
    ------
    DataError
        If a file is missing, which names those that there are, or not as required.

    Examples
    --------
    >>> four_leptons["llll"].to_csv(folder / "llll.csv", index=False)
    >>> list(read_samples(folder, "llll"))
    ['llll']
    """
    folder = Path(directory)
    frames = {}
    for given in [samples] if isinstance(samples, str) else samples:
        name = re.sub(r"\.csv(\.\w+)?$", "", given)
        files = [
            path
            for path in visible(folder, f"{glob.escape(name)}.csv*")
            if path.name.removeprefix(f"{name}.csv") in _PACKED
        ]
        if not files:
            there = ", ".join(path.name for path in visible(folder, "*.csv*")) or "no CSV file"
            how = "" if folder.exists() else f": 'higgsml four-lepton --output {folder}' makes it"
            raise DataError(f"{folder} holds no {name}.csv; there is {there}{how}")
        frames[name] = read_sample(files[0], unit=unit)
    return frames


def _check_numbers(values: pd.Series[Any], where: str) -> None:
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        numbers = pd.to_numeric(values, errors="coerce")
        row = int(np.flatnonzero(numbers.isna())[0]) if numbers.isna().any() else 0
        raise DataError(f"{where}: {values.iloc[row]!r} in row {row + 1} is not a number")
    bad = np.flatnonzero(~np.isfinite(values.to_numpy(dtype=np.float64)))
    if bad.size:
        raise DataError(
            f"{where}: {bad.size} values are NaN or infinite, first in row {bad[0] + 1}"
        )


def four_lepton_mass(frame: pd.DataFrame) -> Array:
    """Invariant mass of the four leptons [GeV] from their pt, eta, phi and E, shape (rows,).

    Examples
    --------
    >>> sample = four_leptons["ggH125_ZZ4lep"]
    >>> np.allclose(four_lepton_mass(sample), sample["mllll"], rtol=1e-3)
    True
    """
    total = np.zeros((4, len(frame)))
    for i in range(4):
        pt, eta, phi, energy = (
            frame[f"lep_{part}_{i}"].to_numpy(dtype=np.float64)
            for part in ("pt", "eta", "phi", "E")
        )
        total += np.stack([energy, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])
    squared = total[0] ** 2 - (total[1:] ** 2).sum(axis=0)
    mass: Array = np.sqrt(np.maximum(squared, 0.0))  # rounding can make a zero negative
    return mass
