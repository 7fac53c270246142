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
>>> from HiggsML.four_lepton.samples import SAMPLES
>>> samples = {name: four_lepton_events(name, 500, seed=1) for name in SAMPLES}
>>> cleaned = clean_samples(samples)
>>> variables = {"lep_pt_2": {"bin_width": 1, "num_bins": 13, "xrange_min": 7}}
>>> scans = signal_over_background(cleaned, variables)
>>> scans["lep_pt_2"].cuts[:3]
array([7., 8., 9.])
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from HiggsML.errors import DataError, SettingsError
from HiggsML.visualization.cut_scan import CutScan, Direction, plot_scans, scan_cuts
from HiggsML.visualization.pyplot_figures import shows_figures

__all__ = [
    "HistParameters",
    "SignalOverBackground",
    "clean_samples",
    "cut_flow",
    "cut_lep_charge",
    "cut_lep_type",
    "is_signal",
    "plot_SoverB",
    "select",
    "signal_over_background",
]

Array = NDArray[np.float64]

_FLAVOR_SUMS = (44, 48, 52)  # eeee, eemumu, mumumumu


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
# Quantities and cuts
# ----------------------------------------------------------------------------------------------


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
    return {name: select(frame) for name, frame in _samples(DataFrames).items()}


def _samples(value: Mapping[str, pd.DataFrame]) -> Mapping[str, pd.DataFrame]:
    """Return the samples, or a named error where they are something else."""
    if not isinstance(value, Mapping) or not all(
        isinstance(frame, pd.DataFrame) for frame in value.values()
    ):
        raise DataError(
            "DataFrames must be a dictionary of DataFrames by sample, as read_samples returns it, "
            f"not {type(value).__name__}{' of other values' if isinstance(value, Mapping) else ''}"
        )
    return value


def cut_flow(DataFrames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:  # noqa: N803
    """Count what the cuts leave: a table with rows and expected events of each sample.

    Examples
    --------
    >>> cut_flow(four_leptons)["rows"].loc["llll"].index.tolist()
    ['read', 'lepton types', 'lepton charges']
    """
    rows = []
    for name, frame in _samples(DataFrames).items():
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
    if not isinstance(hist_dict, Mapping):
        raise SettingsError(
            "hist_dict must be a dictionary: by variable, another with bin_width, num_bins, "
            f"xrange_min and xlabel; not {type(hist_dict).__name__}"
        )
    for name, frame in _samples(DataFrames).items():
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
                    close = get_close_matches(column, map(str, frame.columns), 1)
                    nearly = f"; did you mean {close[0]!r}?" if close else ""
                    raise DataError(f"the sample {name} lacks the column {column}{nearly}")
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
