"""A figure of every plotting function, drawn while the documentation is built."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from HiggsML import visualization as draw
from HiggsML.datasets import Data
from HiggsML.four_lepton import clean_samples, plot_SoverB, read_samples
from HiggsML.four_lepton.events import write_four_lepton
from HiggsML.results import Predictions
from HiggsML.statistics.fisher_information import Information
from HiggsML.statistics.official_scores import BootstrapScores, bootstrap_scores
from HiggsML.studies.figures import impact_plot, study_plot
from HiggsML.studies.study import Measurements, Study, grid
from HiggsML.systematics import systematics
from HiggsML.visualization.cut_scan import plot_scans, scan_features
from HiggsML.visualization.ranking import ranking_plot

_INPUT = Path(__file__).parents[2] / "input_data"
_SHOWN = ["PRI_had_pt", "PRI_met", "DER_mass_vis", "PRI_jet_leading_pt"]
_MUS = {0: 0.4, 1: 1.1, 2: 1.9, 3: 2.6}


@cache
def _events() -> Any:
    data = Data(_INPUT)
    data.load_train_set(train_size=20_000, seed=1)
    return data.get_train_set()


@cache
def _shifted(*, cut: bool) -> tuple[Any, Any]:
    """Return nominal events, and the same with the tau energies 3 % higher."""
    events = _events()
    return tuple(systematics(events, tes=tes, seed=1, dopostprocess=cut) for tes in (1.0, 1.03))


def _measured(mu: float, n: int = 120) -> dict[str, Any]:
    mu_hat = np.random.default_rng(int(100 * mu)).normal(mu, 0.12, n)
    delta = np.full(n, 0.12)
    return {
        "mu_hats": mu_hat,
        "delta_mu_hats": delta,
        "p16": mu_hat - delta,
        "p84": mu_hat + delta,
    }


def _results() -> dict[int, dict[str, Any]]:
    return {index: _measured(mu) for index, mu in _MUS.items()}


def _resampled() -> BootstrapScores:
    keys = ("mu_hats", "delta_mu_hats", "p16", "p84")
    predictions = {
        index: Predictions(*(one[key] for key in keys)) for index, one in _results().items()
    }
    return bootstrap_scores(predictions, _MUS)


def _with_labels(function: Callable[..., Figure], *more: Any, **options: Any) -> Figure:
    events, _ = _shifted(cut=True)
    return function(events, events["labels"], *more, **options)


def _roc() -> Figure:
    events, _ = _shifted(cut=True)
    score = -np.abs(events["DER_mass_vis"] - 80)
    return draw.roc_curve_wrapper(score, events["labels"], events["weights"], "visible mass")


def _study() -> Figure:
    points = tuple(grid([0.5, 1.0, 2.0, 3.0], nuisances=["tes"]))
    measurements = []
    for number, point in enumerate(points):
        mu = np.full(100, 1.0 if point.mu is None else point.mu)
        mu_hat = np.random.default_rng(number).normal(mu + 0.03 * point.value / 2, 0.1)
        delta = np.full(100, 0.1)
        measurements.append(Measurements(mu, mu_hat, delta, mu_hat - delta, mu_hat + delta))
    return study_plot({"a method": Study(points, tuple(measurements), 1)})


def _four_leptons() -> Figure:
    with tempfile.TemporaryDirectory() as folder:
        write_four_lepton(folder, events=5000, seed=1)
        samples = clean_samples(read_samples(folder))
    ranges = {"lep_pt_2": {"bin_width": 1, "num_bins": 25, "xrange_min": 5}}
    return plot_SoverB(samples, ranges).figure


def _impacts() -> Figure:
    impacts = {"tes": 0.04, "jes": 0.02, "soft_met": 0.01, "bkg_scale": 0.03}
    constraints = {"tes": 0.3, "jes": 0.5, "soft_met": 0.6, "bkg_scale": 0.8}
    return impact_plot({"an example": Information(1.0, 0.1, 0.15, impacts, constraints)})


def _ranked() -> Figure:
    return ranking_plot(
        ["profile likelihood", "counting", "no systematics"],
        scores=[0.20, 0.36, 0.41],
        errors=[0.01, 0.02, 0.02],
        coverages=[0.68, 0.66, 0.45],
        coverage_error=0.015,
        widths=[0.13, 0.20, 0.11],
        limit=0.12,
    )


def _scans() -> Figure:
    events, _ = _shifted(cut=True)
    return plot_scans(scan_features(events, events["labels"], events["weights"], _SHOWN)[:2])


def _stacked() -> Figure:
    events, _ = _shifted(cut=True)
    return draw.stacked_histogram(
        events, events["labels"], events["weights"], events["detailed_labels"], "DER_mass_vis"
    )


def _compared() -> Figure:
    nominal, other = _shifted(cut=True)
    return draw.histogram_syst(nominal, other, nominal["weights"], other["weights"], _SHOWN)


def _classes() -> Figure:
    events, _ = _shifted(cut=True)
    return draw.histogram_classes(events, events["labels"], events["weights"], _SHOWN)


def _intervals() -> Figure:
    one = _measured(1.1)
    return draw.interval_plot(one["p16"], one["p84"], 1.1, one["mu_hats"])


FIGURES: Mapping[str, Callable[[], Figure]] = {
    "bootstrap_plot": lambda: draw.bootstrap_plot(_resampled()),
    "correlation_plots": lambda: _with_labels(draw.correlation_plots, columns=_SHOWN),
    "coverage_function_plot": lambda: draw.coverage_function_plot(0.65, 1000),
    "event_vise_syst": lambda: draw.event_vise_syst(*_shifted(cut=False), columns=_SHOWN),
    "event_vise_syst_arrow": lambda: draw.event_vise_syst_arrow(
        *_shifted(cut=False), columns=_SHOWN[:3]
    ),
    "histogram_classes": _classes,
    "histogram_syst": _compared,
    "impact_plot": _impacts,
    "interval_plot": _intervals,
    "pair_plots": lambda: _with_labels(draw.pair_plots, sample_size=300, columns=_SHOWN[:3]),
    "pair_plots_syst": lambda: draw.pair_plots_syst(
        *_shifted(cut=False), sample_size=300, columns=_SHOWN[:3]
    ),
    "plot_SoverB": _four_leptons,
    "plot_scans": _scans,
    "pull_plot": lambda: draw.pull_plot(_results(), _MUS),
    "ranking_plot": _ranked,
    "roc_curve_wrapper": _roc,
    "stacked_histogram": _stacked,
    "study_plot": _study,
    "visualize_coverage": lambda: draw.visualize_coverage(_results(), _MUS),
    "visualize_scatter": lambda: draw.visualize_scatter(_results(), _MUS),
    "width_and_coverage_plot": lambda: draw.width_and_coverage_plot(_results(), _MUS),
}
"""What draws the figure of each plotting function, by the function's name."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the figures."""
    for name, make in FIGURES.items():
        written = io.BytesIO()
        make().savefig(written, format="png", dpi=110)
        files.append(File.generated(config, f"figures/{name}.png", content=written.getvalue()))
    return files
