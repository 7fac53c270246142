"""Every plot of the package. Each function returns a :class:`matplotlib.figure.Figure`.

Figures belong to pyplot: a notebook shows every one below its cell, ``plt.savefig("plot.pdf")`` (or
``figure.savefig``) saves the last one, and a window opens where matplotlib can open one. In a
program without windows the last twenty are kept. No global setting of matplotlib changes. Plots of
many events draw a sample or bins, and say so in the figure.

Examples
--------
>>> import numpy as np
>>> rng = np.random.default_rng(1)
>>> mu_hat = rng.normal(1.0, 0.2, size=100)
>>> results = {0: {"mu_hats": mu_hat, "p16": mu_hat - 0.2, "p84": mu_hat + 0.2}}
>>> figure = visualize_coverage(results, {0: 1.0})
>>> len(figure.axes)
1
"""

import HiggsML.installation  # noqa: F401 (first: it refuses a mixture of two packages)

# isort: split
from HiggsML.visualization.classes import correlation_plots, roc_curve_wrapper
from HiggsML.visualization.distributions import (
    histogram_classes,
    histogram_syst,
    stacked_histogram,
)
from HiggsML.visualization.measurement import (
    interval_plot,
    pull_plot,
    visualize_coverage,
    visualize_scatter,
    width_and_coverage_plot,
)
from HiggsML.visualization.old_names import Dataset_visualise, custom_pretty_print
from HiggsML.visualization.samples import (
    event_vise_syst,
    event_vise_syst_arrow,
    pair_plots,
    pair_plots_syst,
)
from HiggsML.visualization.scores import bootstrap_plot, coverage_function_plot

__all__ = [
    "Dataset_visualise",
    "bootstrap_plot",
    "correlation_plots",
    "coverage_function_plot",
    "custom_pretty_print",
    "event_vise_syst",
    "event_vise_syst_arrow",
    "histogram_classes",
    "histogram_syst",
    "interval_plot",
    "pair_plots",
    "pair_plots_syst",
    "pull_plot",
    "roc_curve_wrapper",
    "stacked_histogram",
    "visualize_coverage",
    "visualize_scatter",
    "width_and_coverage_plot",
]
