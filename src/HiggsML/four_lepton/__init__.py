"""The four-lepton exercise of the ATLAS open data: read, clean, plot, and find the best cut."""

from HiggsML.four_lepton.exercise import (
    HistParameters,
    SignalOverBackground,
    clean_samples,
    cut_flow,
    cut_lep_charge,
    cut_lep_type,
    is_signal,
    plot_SoverB,
    select,
    signal_over_background,
)
from HiggsML.four_lepton.samples import (
    LEPTON_COLUMNS,
    SAMPLES,
    four_lepton_mass,
    read_sample,
    read_samples,
)

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
