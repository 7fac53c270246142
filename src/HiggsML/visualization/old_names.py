"""Plots of a dataset as methods of one object, as earlier releases had them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from HiggsML.errors import DataError
from HiggsML.schema import LABEL_COLUMNS
from HiggsML.visualization import classes, distributions, samples

__all__ = ["Dataset_visualise", "custom_pretty_print"]

Columns = Sequence[str] | None


class Dataset_visualise:  # noqa: N801
    """Tables and plots of one dataset; each plot is a function of :mod:`HiggsML.visualization`.

    Parameters
    ----------
    data_set : DataFrame or dict
        Events with ``weights``, ``labels`` and ``detailed_labels``; of a dict, the events are under
        "data".
    name : str
        What the tables call it.
    columns : sequence of str, optional
        Columns to keep; all but ``detailed_labels`` by default. Plots leave out labels and weights.

    Examples
    --------
    >>> dataset = Dataset_visualise(events, columns=["PRI_had_pt", "DER_mass_vis"])
             Key        Value   Type
      PRI_had_pt shape (420,) Series
    DER_mass_vis shape (420,) Series
    >>> len(dataset.histogram_dataset().axes)
    2
    """

    def __init__(self, data_set: Any, name: str = "dataset", columns: Columns = None) -> None:
        single = isinstance(data_set, pd.DataFrame)
        if not single and not (isinstance(data_set, Mapping) and "data" in data_set):
            raise DataError("data_set must be a DataFrame, or a dict with one under 'data'")
        events = data_set if single else data_set["data"]
        kept = [one for one in events.columns if one != "detailed_labels"]
        self.columns = kept if columns is None else list(columns)
        self.dfall = events[self.columns]
        self.target = data_set["labels"]
        self.weights = data_set["weights"]
        self.detailed_label = np.asarray(data_set["detailed_labels"])
        self.name = name
        self.keys = np.unique(self.detailed_label)
        self.weight_keys = {key: self.weights[self.detailed_label == key] for key in self.keys}
        custom_pretty_print(self.dfall)

    def examine_dataset(self) -> None:
        """Print how many events there are, their weights by process, and statistics of columns."""
        rows = [(key, values.sum(), len(values)) for key, values in self.weight_keys.items()]
        for title, value in (("Total Signal", 1), ("Total Background", 0)):
            mine = self.weights[self.target == value]
            rows.append((title, mine.sum(), len(mine)))
        table = pd.DataFrame(rows, columns=["Detailed Label", "Total Weight", "Number of events"])
        size = f"{self.name}: {self.dfall.shape[0]} events, {self.dfall.shape[1]} columns"
        for part in (size, table, self.dfall.head(), self.dfall.describe()):
            print(part if isinstance(part, str) else part.to_string(), end="\n\n")  # noqa: T201

    def histogram_dataset(self, columns: Columns = None, nbin: int = 25) -> Figure:
        """Draw signal and background of each feature, both of area 1."""
        return distributions.histogram_classes(
            self.dfall, self.target, self.weights, self._chosen(columns), nbin
        )

    def correlation_plots(self, columns: Columns = None) -> Figure:
        """Draw correlation matrices: :func:`HiggsML.visualization.correlation_plots`."""
        return classes.correlation_plots(self.dfall, self.target, self._chosen(columns))

    def pair_plots(self, sample_size: int = 10, columns: Columns = None) -> Figure:
        """Draw features against each other: :func:`HiggsML.visualization.pair_plots`."""
        return samples.pair_plots(self.dfall, self.target, sample_size, self._chosen(columns))

    def stacked_histogram(
        self, field_name: str, mu_hat: float = 1.0, bins: int = 30, y_scale: str = "linear"
    ) -> Figure:
        """Draw one feature by process: :func:`HiggsML.visualization.stacked_histogram`."""
        labels = (self.target, self.weights, self.detailed_label)
        return distributions.stacked_histogram(
            self.dfall, *labels, field_name, mu_hat, bins, y_scale
        )

    def pair_plots_syst(
        self, df_syst: pd.DataFrame, sample_size: int = 100, columns: Columns = None
    ) -> Figure:
        """Draw shifted events, too: :func:`HiggsML.visualization.pair_plots_syst`."""
        return samples.pair_plots_syst(self.dfall, df_syst, sample_size, self._chosen(columns))

    def histogram_syst(
        self, df_syst: pd.DataFrame, weight_syst: Any, columns: Columns = None, nbin: int = 25
    ) -> Figure:
        """Draw shifted distributions: :func:`HiggsML.visualization.histogram_syst`."""
        return distributions.histogram_syst(
            self.dfall, df_syst, self.weights, weight_syst, self._chosen(columns), nbin
        )

    def event_vise_syst(
        self, df_syst: pd.DataFrame, columns: Columns = None, sample_size: int = 100
    ) -> Figure:
        """Draw shifts of single events: :func:`HiggsML.visualization.event_vise_syst`."""
        return samples.event_vise_syst(self.dfall, df_syst, self._chosen(columns), sample_size)

    def event_vise_syst_arrow(
        self, df_syst: pd.DataFrame, columns: Columns = None, sample_size: int = 100
    ) -> Figure:
        """Draw them as arrows: :func:`HiggsML.visualization.event_vise_syst_arrow`."""
        chosen = self._chosen(columns)
        return samples.event_vise_syst_arrow(self.dfall, df_syst, chosen, sample_size)

    def _chosen(self, columns: Columns) -> list[str]:
        if columns is not None:
            return list(columns)
        return [name for name in self.columns if name not in LABEL_COLUMNS]


def custom_pretty_print(d: Any) -> None:
    """Print what a mapping or frame holds: key, size and type of each entry.

    Examples
    --------
    >>> custom_pretty_print({"tes": 1.01, "weights": np.ones(3)})
        Key      Value    Type
        tes       1.01   float
    weights shape (3,) ndarray
    """
    rows = []
    for key, value in d.items():
        shape = getattr(value, "shape", None)
        size = f"{len(value)} keys" if isinstance(value, Mapping) else f"shape {shape}"
        if shape is None and not isinstance(value, Mapping):
            size = f"shape {np.shape(value)}" if np.ndim(value) else repr(value)
        rows.append((key, size, type(value).__name__))
    if rows:
        print(pd.DataFrame(rows, columns=["Key", "Value", "Type"]).to_string(index=False))  # noqa: T201
