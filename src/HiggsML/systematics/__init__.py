"""The six nuisance parameters on data frames: the interface of the reference implementation.

What they do to events and rates is stated in :mod:`HiggsML.physics.shifts`. The functions here
change none of their arguments.

Examples
--------
>>> import pandas as pd
>>> from HiggsML.schema import MISSING, PRI_COLUMNS
>>> event = dict.fromkeys(PRI_COLUMNS, MISSING) | {
...     "PRI_lep_pt": 30.0, "PRI_lep_eta": 0.5, "PRI_lep_phi": 0.1,
...     "PRI_had_pt": 40.0, "PRI_had_eta": 1.0, "PRI_had_phi": 3.0,
...     "PRI_n_jets": 0, "PRI_jet_all_pt": 0.0, "PRI_met": 20.0, "PRI_met_phi": 1.0}
>>> shifted = systematics(pd.DataFrame([event]), tes=1.05)
>>> float(shifted["PRI_had_pt"].iloc[0])
42.0
"""

import HiggsML.installation  # noqa: F401 (first: it refuses a mixture of two packages)

# isort: split
from HiggsML.physics.four_vector import V4
from HiggsML.systematics.arguments import DEFAULT_SEED
from HiggsML.systematics.old_names import make_unweighted_set, repeat_rows_by_weight
from HiggsML.systematics.sampling import (
    generate_pseudo_exp_data,
    get_bootstrapped_dataset,
    get_systematics_dataset,
)
from HiggsML.systematics.shift import mom4_manipulate, postprocess, systematics
from HiggsML.systematics.weights import (
    all_bkg_weight_norm,
    diboson_bkg_weight_norm,
    ttbar_bkg_weight_norm,
)

__all__ = [
    "DEFAULT_SEED",
    "V4",
    "all_bkg_weight_norm",
    "diboson_bkg_weight_norm",
    "generate_pseudo_exp_data",
    "get_bootstrapped_dataset",
    "get_systematics_dataset",
    "make_unweighted_set",
    "mom4_manipulate",
    "postprocess",
    "repeat_rows_by_weight",
    "systematics",
    "ttbar_bkg_weight_norm",
]
