"""Samples of the four-lepton exercise: their names, their columns, and how they are read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from HiggsML.errors import DataError, SettingsError
from HiggsML.four_lepton.tables import PACKED, read_table
from HiggsML.source_files import folder_content, similar_names, visible

__all__ = ["LEPTON_COLUMNS", "SAMPLES", "four_lepton_mass", "read_sample", "read_samples"]

Array = NDArray[np.float64]

SAMPLES = ("llll", "ggH125_ZZ4lep")
"""The two samples with which the exercise begins: background and signal."""

LEPTON_COLUMNS = tuple(
    f"lep_{part}_{i}" for part in ("pt", "eta", "phi", "E", "charge", "type") for i in range(4)
)
"""Columns that every sample must have, beside ``totalWeight``."""

_LARGEST_MEDIAN_PT = 2_000.0  # GeV; above it a file is in MeV
_LARGEST_ANGLE = 6.3  # from 0 to 2 pi is as good as from -pi to pi
_LARGEST_DIFFERENCE = 0.1  # relative, of medians that should be equal


def read_sample(path: str | Path, *, unit: Literal["GeV", "MeV"] = "GeV") -> pd.DataFrame:
    """Read one sample.

    Parameters
    ----------
    path : str or Path
        CSV file, plain or compressed. Any delimiter and encoding, lines of comments (``#``) and a
        comma at the end of lines are read, decimal commas where another sign delimits columns;
        signed lepton types (-11) lose their sign. Columns that the exercise does not use are kept
        as they are.
    unit : {"GeV", "MeV"}
        Unit of momenta, energies and masses in the file.

    Returns
    -------
    DataFrame
        The columns of the file in GeV; ``mllll`` is computed where the file has none.

    Raises
    ------
    DataError
        If the file is missing, empty, no CSV file, in another unit, or lacks a column or value; if
        leptons are no electrons and muons of charge 1, or quantities contradict each other.

    Examples
    --------
    >>> four_leptons["llll"].to_csv(folder / "llll.csv", index=False)
    >>> len(read_sample(folder / "llll.csv")) == len(four_leptons["llll"])
    True
    """
    if unit not in ("GeV", "MeV"):
        raise SettingsError(f"unit must be 'GeV' or 'MeV', got {unit!r}")
    try:
        file = Path(path)
    except TypeError as error:
        raise SettingsError(f"a sample is named by its path, not {path!r}") from error
    required = [*LEPTON_COLUMNS, "totalWeight"]
    frame = read_table(file, [*required, "mllll"])
    if absent := [name for name in required if name not in frame.columns]:
        raise DataError(
            f"{file} lacks the columns {', '.join(absent)}{similar_names(absent, frame.columns)}"
        )
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
    _check_leptons(frame, file)
    mass = four_lepton_mass(frame)
    if "mllll" not in frame.columns:
        frame["mllll"] = mass
    _check_median(frame["mllll"].to_numpy(), mass, f"{file}: mllll", "the mass of its leptons")
    return frame


def read_samples(
    directory: str | Path,
    samples: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = SAMPLES,
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
    if isinstance(samples, (str, os.PathLike)):
        samples = [samples]
    if not isinstance(samples, Iterable):
        raise SettingsError(f"samples are named by strings, not {samples!r}")
    frames = {}
    for given in samples:
        if not isinstance(given, (str, os.PathLike)):
            raise SettingsError(f"a sample is named by a string, not {given!r}")
        name = re.sub(r"\.csv(\.\w+)?$", "", os.fspath(given), flags=re.IGNORECASE)
        frames[name] = read_sample(_file_of(folder, name), unit=unit)
    return frames


def _file_of(folder: Path, name: str) -> Path:
    """Return the one file of a sample."""
    wanted = {f"{name}.csv{ending}".lower() for ending in PACKED}
    files = [path for path in visible(folder, "*") if path.name.lower() in wanted]
    if len(files) > 1:
        names = " and ".join(path.name for path in files)
        raise DataError(f"{folder} holds {names}: leave one of them there")
    if files:
        return files[0]
    there = ", ".join(path.name for path in visible(folder, "*.[cC][sS][vV]*"))
    if there:
        raise DataError(f"{folder} holds no {name}.csv; there is {there}")
    if folder.is_dir():
        how = folder_content(folder)
    elif folder.exists():
        how = ", since it is no folder"
    else:
        how = f": 'higgsml four-lepton --output {folder}' makes it"
    raise DataError(f"{folder} holds no {name}.csv; there is no CSV file{how}")


def _check_leptons(frame: pd.DataFrame, file: Path) -> None:
    """Refuse what no two pairs of electrons or muons have."""
    allowed: dict[str, tuple[Any, str]] = {
        "pt": (lambda values: values > 0, "momenta in GeV, which are positive"),
        "E": (lambda values: values > 0, "energies in GeV, which are positive"),
        "phi": (lambda values: np.abs(values) <= _LARGEST_ANGLE, "angles in radians"),
        "charge": (lambda values: np.abs(values) == 1, "charges, which are 1 or -1"),
        "type": (lambda values: np.isin(values, (11, 13)), "11 for an electron, 13 for a muon"),
    }
    for part, (fits, what) in allowed.items():
        for i in range(4):
            values = frame[f"lep_{part}_{i}"].to_numpy()
            wrong = np.flatnonzero(~fits(values))
            if wrong.size:
                raise DataError(
                    f"{file}, column lep_{part}_{i}: {wrong.size} values are wrong, the first is "
                    f"{values[wrong[0]]:g} in row {wrong[0] + 1}; it must hold {what}"
                )
    for i in range(4):
        pt, eta, energy = (frame[f"lep_{part}_{i}"].to_numpy() for part in ("pt", "eta", "E"))
        what = f"lep_pt_{i} and lep_eta_{i}, of which it follows"
        with np.errstate(over="ignore"):
            momentum = pt * np.cosh(eta)
        _check_median(energy, momentum, f"{file}: lep_E_{i}", what)
    total = float(frame["totalWeight"].sum())
    if not total > 0:
        raise DataError(
            f"{file}, column totalWeight: it sums to {total:g}, not to a number of expected events"
        )


def _check_median(values: Array, expected: Array, what: str, other: str) -> None:
    """Refuse a quantity that, in the median, is not what it should be."""
    with np.errstate(divide="ignore", invalid="ignore"):
        median = float(np.median(values / expected))
    if not abs(median - 1) <= _LARGEST_DIFFERENCE:
        raise DataError(
            f"{what} is {median:.3g} times what it should be by {other}, in the median: are the "
            "units the same (GeV, radians)?"
        )


def _check_numbers(values: pd.Series[Any], where: str) -> None:
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        numbers = pd.to_numeric(values, errors="coerce")
        row = int(np.flatnonzero(numbers.isna())[0]) if numbers.isna().any() else 0
        raise DataError(f"{where}: {values.iloc[row]!r} in row {row + 1} is not a number")
    bad = np.flatnonzero(~np.isfinite(values.to_numpy(dtype=np.float64)))
    if bad.size:
        last = "; it is the last one: is the file cut short?" * bool(bad[0] == len(values) - 1)
        raise DataError(
            f"{where}: {bad.size} values are NaN or infinite, first in row {bad[0] + 1}{last}"
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
