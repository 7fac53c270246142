"""Pseudo-experiments: what a model is given to measure.

Examples
--------
>>> from HiggsML.pseudo_experiments import draw_mu
>>> 0.1 <= draw_mu(7, set_index=0) <= 3
True
"""

import HiggsML.installation  # noqa: F401 (first: it refuses a mixture of two packages)

# isort: split
from HiggsML.pseudo_experiments.seeds import (
    Purpose,
    draw_mu,
    draw_order,
    experiment_nuisances,
    seed_sequence,
)
from HiggsML.pseudo_experiments.store import (
    EventStore,
    Plan,
    PseudoExperiment,
    features_frame,
    unit_weights,
)

__all__ = [
    "EventStore",
    "Plan",
    "PseudoExperiment",
    "Purpose",
    "draw_mu",
    "draw_order",
    "experiment_nuisances",
    "features_frame",
    "seed_sequence",
    "unit_weights",
]
