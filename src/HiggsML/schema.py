"""Columns, processes and nuisance parameters: each stated once, here.

Units are GeV for momenta and masses and radians for azimuthal angles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "BACKGROUNDS",
    "COVERAGE_TARGET",
    "DER_COLUMNS",
    "FEATURES",
    "LABEL_COLUMNS",
    "MISSING",
    "MU_RANGE",
    "NUISANCES",
    "PRI_COLUMNS",
    "PROCESSES",
    "SHAPE_NUISANCES",
    "SIGNAL",
    "Nuisance",
]

MISSING = -25.0
"""Value of a jet quantity when the event has no such jet."""

PRI_COLUMNS = (
    "PRI_lep_pt",
    "PRI_lep_eta",
    "PRI_lep_phi",
    "PRI_had_pt",
    "PRI_had_eta",
    "PRI_had_phi",
    "PRI_jet_leading_pt",
    "PRI_jet_leading_eta",
    "PRI_jet_leading_phi",
    "PRI_jet_subleading_pt",
    "PRI_jet_subleading_eta",
    "PRI_jet_subleading_phi",
    "PRI_n_jets",
    "PRI_jet_all_pt",
    "PRI_met",
    "PRI_met_phi",
)
"""Primary quantities: lepton, hadronic tau, two jets and the missing transverse momentum."""

DER_COLUMNS = (
    "DER_mass_transverse_met_lep",
    "DER_mass_vis",
    "DER_pt_h",
    "DER_deltaeta_jet_jet",
    "DER_mass_jet_jet",
    "DER_prodeta_jet_jet",
    "DER_deltar_had_lep",
    "DER_pt_tot",
    "DER_sum_pt",
    "DER_pt_ratio_lep_had",
    "DER_met_phi_centrality",
    "DER_lep_eta_centrality",
)
"""Derived quantities, computed from the primary ones."""

FEATURES = PRI_COLUMNS + DER_COLUMNS
"""The 28 columns that a model sees, in this order, all float32."""

LABEL_COLUMNS = ("weights", "detailed_labels", "labels")
"""Columns of a training set beside the features: weight, process name, 1 for signal and 0 else."""

SIGNAL = "htautau"
BACKGROUNDS = ("ztautau", "diboson", "ttbar")
PROCESSES = (*BACKGROUNDS, SIGNAL)
"""Order of the test-set dictionary of the reference implementation."""

MU_RANGE = (0.1, 3.0)
"""The true signal strength of a set is uniform in this range."""

COVERAGE_TARGET = 0.6827
"""Share of intervals that should contain the true mu."""


@dataclass(frozen=True)
class Nuisance:
    """One nuisance parameter: its prior, its clipping range and its nominal value.

    ``prior`` is "normal" (``loc``, ``scale`` are mean and standard deviation) or "lognormal"
    (``loc``, ``scale`` are mean and standard deviation of the logarithm). A draw is clipped to
    ``low`` .. ``high``. ``shape`` tells whether it changes events (True) or only rates (False).
    """

    name: str
    prior: Literal["normal", "lognormal"]
    loc: float
    scale: float
    low: float
    high: float
    nominal: float
    shape: bool
    description: str


NUISANCES = {
    nuisance.name: nuisance
    for nuisance in (
        Nuisance("tes", "normal", 1.0, 0.01, 0.9, 1.1, 1.0, True, "tau energy scale"),
        Nuisance("jes", "normal", 1.0, 0.01, 0.9, 1.1, 1.0, True, "jet energy scale"),
        Nuisance(
            "soft_met", "lognormal", 0.0, 1.0, 0.0, 5.0, 0.0, True, "soft missing energy [GeV]"
        ),
        Nuisance("ttbar_scale", "normal", 1.0, 0.02, 0.8, 1.2, 1.0, False, "ttbar rate"),
        Nuisance("diboson_scale", "normal", 1.0, 0.25, 0.0, 2.0, 1.0, False, "diboson rate"),
        Nuisance(
            "bkg_scale", "normal", 1.0, 0.001, 0.99, 1.01, 1.0, False, "all backgrounds' rate"
        ),
    )
}
"""The six nuisance parameters, in the order in which they are drawn."""

SHAPE_NUISANCES = tuple(name for name, nuisance in NUISANCES.items() if nuisance.shape)
