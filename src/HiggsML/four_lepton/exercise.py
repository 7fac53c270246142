"""The four-lepton exercise of the ATLAS open data: read, clean, and cut where signal stands out.

A sample is one CSV file: ``llll.csv`` holds the continuum of Z pairs, ``ggH125_ZZ4lep.csv`` the
Higgs boson of 125 GeV; every sample with ``H125`` in its name is signal, one called ``data`` is
recorded and takes no part in scans. The columns of the leptons 0 to 3, by falling transverse
momentum, are ``lep_pt_*`` and ``lep_E_*`` [GeV], ``lep_eta_*``, ``lep_phi_*`` [rad],
``lep_charge_*`` and ``lep_type_*`` (11 electron, 13 muon); ``mllll`` [GeV] is the mass of all four
and ``totalWeight`` the number of expected events that a row stands for.

:mod:`HiggsML.four_lepton.events` writes such files; the published ones are read as they are.

Examples
--------
>>> from HiggsML.four_lepton.events import four_lepton_events
>>> samples = {name: four_lepton_events(name, 500, seed=1) for name in SAMPLES}
>>> cleaned = clean_samples(samples)
>>> variables = {"lep_pt_2": {"bin_width": 1, "num_bins": 13, "xrange_min": 7}}
>>> scans = signal_over_background(cleaned, variables)
>>> scans["lep_pt_2"].cuts[:3]
array([7., 8., 9.])
"""

from __future__ import annotations

import glob
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from HiggsML.errors import DataError, SettingsError
from HiggsML.source_files import refuse_pointer, visible
from HiggsML.visualization.cut_scan import CutScan, Direction, plot_scans, scan_cuts
from HiggsML.visualization.pyplot_figures import shows_figures

__all__ = [
    "LEPTON_COLUMNS",
    "SAMPLES",
    "HistParameters",
    "SignalOverBackground",
    "clean_samples",
    "cut_flow",
    "cut_lep_charge",
    "cut_lep_type",
    "four_lepton_mass",
    "is_signal",
    "plot_SoverB",
    "read_sample",
    "read_samples",
    "select",
    "signal_over_background",
]

Array = NDArray[np.float64]

_DELIMITERS = (",", ";", "\t", "|", r"\s+")
_PACKED = ("", ".gz", ".zip", ".bz2", ".xz", ".zst")  # endings that pandas unpacks

SAMPLES = ("llll", "ggH125_ZZ4lep")
"""The two samples with which the exercise begins: background and signal."""

LEPTON_COLUMNS = tuple(
    f"lep_{part}_{i}" for part in ("pt", "eta", "phi", "E", "charge", "type") for i in range(4)
)
"""Columns that every sample must have, beside ``totalWeight``."""

_FLAVOR_SUMS = (44, 48, 52)  # eeee, eemumu, mumumumu
_LARGEST_MEDIAN_PT = 2_000.0  # GeV; above it a file is in MeV


class HistParameters(TypedDict, total=False):
    """How a variable is shown and scanned; ``xlabel`` may be left out.

    Examples
    --------
    >>> HistParameters(bin_width=1, num_bins=13, xrange_min=7)["num_bins"]
    13
    """

    bin_width: float
    num_bins: int
    xrange_min: float
    xlabel: str


@dataclass(frozen=True)
class SignalOverBackground:
    """What :func:`plot_SoverB` drew: the figure, and the scan of each variable.

    Examples
    --------
    >>> histogram = {"bin_width": 1, "num_bins": 13, "xrange_min": 7}
    >>> drawn = plot_SoverB(clean_samples(four_leptons), {"lep_pt_2": histogram})
    >>> list(drawn.scans), len(drawn.figure.axes)
    (['lep_pt_2'], 2)
    """

    figure: Figure
    scans: Mapping[str, CutScan]

    def _ipython_display_(self) -> None:
        self.figure._ipython_display_()  # type: ignore[attr-defined]

    def _repr_png_(self) -> Any:
        return self.figure._repr_png_()  # type: ignore[attr-defined]


# ----------------------------------------------------------------------------------------------
# Reading
# ----------------------------------------------------------------------------------------------


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
            raise DataError(f"{folder} holds no {name}.csv; there is {there}")
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


# ----------------------------------------------------------------------------------------------
# Quantities and cuts
# ----------------------------------------------------------------------------------------------


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


def cut_lep_type(
    lep_type_0: ArrayLike, lep_type_1: ArrayLike, lep_type_2: ArrayLike, lep_type_3: ArrayLike
) -> Any:
    """Tell whether an event is kept: four electrons, four muons, or two and two.

    With 11 for an electron and 13 for a muon the sums are 44, 52 and 48. As in the exercise in
    CSV form, True means that the event is **kept**; the functions of the same name in the ATLAS
    open-data notebooks are True for events to be dropped.

    Parameters
    ----------
    lep_type_0, lep_type_1, lep_type_2, lep_type_3 : int or array of int, shape (rows,)
        Types of the four leptons.

    Returns
    -------
    bool or array of bool
        One answer for numbers, one per row for arrays.

    Examples
    --------
    >>> cut_lep_type(11, 11, 13, 13)
    True
    >>> cut_lep_type(np.array([11, 11]), np.array([11, 11]), np.array([11, 11]), np.array([11, 13]))
    array([ True, False])
    """
    kept = np.isin(_sum(lep_type_0, lep_type_1, lep_type_2, lep_type_3), _FLAVOR_SUMS)
    return bool(kept) if kept.ndim == 0 else kept


def cut_lep_charge(
    lep_charge_0: ArrayLike,
    lep_charge_1: ArrayLike,
    lep_charge_2: ArrayLike,
    lep_charge_3: ArrayLike,
) -> Any:
    """Tell whether an event is kept: the charges of its leptons sum to zero.

    True means kept, see :func:`cut_lep_type`.

    Examples
    --------
    >>> cut_lep_charge(1, -1, 1, -1), cut_lep_charge(1, 1, 1, -1)
    (True, False)
    """
    kept = np.asarray(_sum(lep_charge_0, lep_charge_1, lep_charge_2, lep_charge_3) == 0)
    return bool(kept) if kept.ndim == 0 else kept


def _sum(*values: ArrayLike) -> NDArray[Any]:
    # Lengths that do not fit are an error here, with numpy's own message.
    total = np.zeros((), dtype=np.int64)
    for one in values:
        total = total + np.asarray(one)
    return np.asarray(total)


def select(frame: pd.DataFrame, *, lep_type: bool = True, lep_charge: bool = True) -> pd.DataFrame:
    """Return the events of a sample that pass the cuts on lepton types and charges.

    Examples
    --------
    >>> pair = {f"lep_type_{i}": [11, 11] for i in range(4)}
    >>> signs = {f"lep_charge_{i}": [(-1) ** i, 1] for i in range(4)}
    >>> select(pd.DataFrame({**pair, **signs})).index.tolist()
    [0]
    """
    kept = np.ones(len(frame), dtype=bool)
    for wanted, cut, part in (
        (lep_type, cut_lep_type, "type"),
        (lep_charge, cut_lep_charge, "charge"),
    ):
        if wanted:
            names = [f"lep_{part}_{i}" for i in range(4)]
            if absent := [name for name in names if name not in frame.columns]:
                raise DataError(f"the sample lacks the columns {', '.join(absent)}")
            kept &= cut(*(frame[name].to_numpy() for name in names))
    return frame[kept]


def clean_samples(DataFrames: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:  # noqa: N803
    """Return all samples after both cuts.

    Examples
    --------
    >>> list(clean_samples(four_leptons))
    ['llll', 'ggH125_ZZ4lep']
    """
    return {name: select(frame) for name, frame in DataFrames.items()}


def cut_flow(DataFrames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:  # noqa: N803
    """Count what the cuts leave: a table with rows and expected events of each sample.

    Examples
    --------
    >>> cut_flow(four_leptons)["rows"].loc["llll"].index.tolist()
    ['read', 'lepton types', 'lepton charges']
    """
    rows = []
    for name, frame in DataFrames.items():
        steps = {
            "read": frame,
            "lepton types": select(frame, lep_charge=False),
            "lepton charges": select(frame),
        }
        for step, left in steps.items():
            weight = float(left["totalWeight"].sum())
            rows.append({"sample": name, "after": step, "rows": len(left), "expected": weight})
    return pd.DataFrame(rows).set_index(["sample", "after"])


# ----------------------------------------------------------------------------------------------
# Signal over background
# ----------------------------------------------------------------------------------------------


def is_signal(sample: str) -> bool:
    """Tell whether a sample is signal: its name holds ``H125``.

    Examples
    --------
    >>> is_signal("ggH125_ZZ4lep"), is_signal("llll")
    (True, False)
    """
    return "H125" in sample


def signal_over_background(
    DataFrames: Mapping[str, pd.DataFrame],  # noqa: N803
    hist_dict: Mapping[str, HistParameters],
    *,
    direction: Direction = "above",
    keep: float = 0.0,
) -> dict[str, CutScan]:
    """Scan a cut on each variable; see :func:`HiggsML.visualization.cut_scan.scan_cuts`.

    Parameters
    ----------
    DataFrames : mapping of str to DataFrame
        Samples by name.
    hist_dict : mapping of str to dict
        By variable: ``bin_width``, ``num_bins``, ``xrange_min`` and, if wanted, ``xlabel``. The
        cuts are the edges of these bins.
    direction : {"above", "below"}
        Events strictly above, or strictly below, a cut are kept.
    keep : float
        Share of the signal that a cut must keep to be called the best.

    Raises
    ------
    DataError
        If there is no signal or no background sample, or a sample lacks the variable.
    SettingsError
        If the parameters of a variable are incomplete or impossible.

    Examples
    --------
    >>> histogram = {"bin_width": 1, "num_bins": 13, "xrange_min": 7}
    >>> scans = signal_over_background(clean_samples(four_leptons), {"lep_pt_2": histogram})
    >>> scans["lep_pt_2"].cuts[:2].tolist()
    [7.0, 8.0]
    """
    groups: dict[bool, list[pd.DataFrame]] = {True: [], False: []}
    for name, frame in DataFrames.items():
        if name != "data":
            groups[is_signal(name)].append(frame)
    for wanted, what in ((True, "signal (H125 in its name)"), (False, "background")):
        if not groups[wanted]:
            raise DataError(f"no {what} sample among {', '.join(DataFrames) or 'none at all'}")
    scans = {}
    for variable, parameters in hist_dict.items():
        edges = _edges(variable, parameters)
        for name, frame in DataFrames.items():
            for column in (variable, "totalWeight"):
                if name != "data" and column not in frame.columns:
                    raise DataError(f"the sample {name} lacks the column {column}")
        values, weights = (
            {key: np.concatenate([frame[column] for frame in frames]).astype(np.float64)
             for key, frames in groups.items()}
            for column in (variable, "totalWeight")
        )  # fmt: skip
        scans[variable] = scan_cuts(
            values[True],
            values[False],
            edges,
            signal_weights=weights[True],
            background_weights=weights[False],
            direction=direction,
            keep=keep,
            variable=variable,
            label=parameters.get("xlabel", variable),
        )
    return scans


@shows_figures
def plot_SoverB(  # noqa: N802 (name of the exercise)
    DataFrames: Mapping[str, pd.DataFrame],  # noqa: N803
    hist_dict: Mapping[str, HistParameters],
    *,
    direction: Direction = "above",
    keep: float = 0.0,
) -> SignalOverBackground:
    """Draw signal, background and 100 x S/B of all events beyond each cut.

    The parameters and errors are those of :func:`signal_over_background`. Each variable has two
    panels: histograms of signal and background, both weighted and of area 1, and the ratio, whose
    best cut is marked. Cuts that no background passes have no ratio and leave a gap.

    Returns
    -------
    SignalOverBackground
        The figure, which a notebook shows, and the scans as data.

    Examples
    --------
    >>> histogram = {"bin_width": 1, "num_bins": 13, "xrange_min": 7}
    >>> drawn = plot_SoverB(clean_samples(four_leptons), {"lep_pt_2": histogram})
    >>> drawn.figure.savefig(folder / "scan.png")
    """
    scans = signal_over_background(DataFrames, hist_dict, direction=direction, keep=keep)
    return SignalOverBackground(plot_scans(list(scans.values())), scans)


def _edges(variable: str, parameters: HistParameters) -> Array:
    """Return the edges of the bins: num_bins + 1 of them."""
    try:
        width, low = float(parameters["bin_width"]), float(parameters["xrange_min"])
        count = int(parameters["num_bins"])
    except KeyError as error:
        raise SettingsError(f"the parameters of {variable} lack {error.args[0]!r}") from error
    except (TypeError, ValueError) as error:
        raise SettingsError(f"the parameters of {variable} must be numbers: {error}") from error
    if not (np.isfinite([width, low]).all() and width > 0 and count >= 1):
        raise SettingsError(
            f"{variable}: bin_width must be positive and num_bins at least 1, got {width} and "
            f"{count}"
        )
    return low + width * np.arange(count + 1, dtype=np.float64)
