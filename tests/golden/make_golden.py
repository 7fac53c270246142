"""Golden values: what the reference implementation (PyPI ``HiggsML`` 0.1.5) computes.

Run it with the reference's own interpreter; README.md in this directory says how. The functions
here call only what both implementations share, so the tests import this file and call the same
functions with ours. Nothing is read from this repository: the events are made here.

    python make_golden.py OUTPUT.npz                        the golden file
    python make_golden.py OUTPUT.npz --events EVENTS.npz    values for other events (live parity)
"""

import argparse
import logging
import platform
from importlib.metadata import version

import numpy as np
import pandas as pd

PRI = [
    *("PRI_lep_pt", "PRI_lep_eta", "PRI_lep_phi"),
    *("PRI_had_pt", "PRI_had_eta", "PRI_had_phi"),
    *("PRI_jet_leading_pt", "PRI_jet_leading_eta", "PRI_jet_leading_phi"),
    *("PRI_jet_subleading_pt", "PRI_jet_subleading_eta", "PRI_jet_subleading_phi"),
    *("PRI_n_jets", "PRI_jet_all_pt", "PRI_met", "PRI_met_phi"),
]
DER = [
    *("DER_mass_transverse_met_lep", "DER_mass_vis", "DER_pt_h", "DER_deltaeta_jet_jet"),
    *("DER_mass_jet_jet", "DER_prodeta_jet_jet", "DER_deltar_had_lep", "DER_pt_tot", "DER_sum_pt"),
    *("DER_pt_ratio_lep_had", "DER_met_phi_centrality", "DER_lep_eta_centrality"),
]
INTERMEDIATE = [
    f"{name}_p{axis}" if axis else f"p_{name}"
    for name in ("had", "lep", "jet_leading", "jet_subleading")
    for axis in ("x", "y", "z", "")
] + ["met_x", "met_y"]
CHANGED = [
    *("PRI_had_pt", "PRI_jet_leading_pt", "PRI_jet_subleading_pt"),
    *("PRI_jet_all_pt", "PRI_met", "PRI_met_phi"),
]
PROCESSES = ["ztautau", "diboson", "ttbar", "htautau"]
SEED = 7

# (tes, jes, soft_met): each alone at both ends and near the middle, and together.
GRID = [
    (1.0, 1.0, 0.0),
    (0.9, 1.0, 0.0),
    (0.97, 1.0, 0.0),
    (1.1, 1.0, 0.0),
    (1.0, 0.9, 0.0),
    (1.0, 1.03, 0.0),
    (1.0, 1.1, 0.0),
    (1.0, 1.0, 1.3),
    (1.0, 1.0, 5.0),
    (0.97, 1.02, 2.2),
    (1.1, 0.9, 5.0),
]
SCALES = [
    {"ttbar_scale": 1.1},
    {"diboson_scale": 0.5},
    {"bkg_scale": 0.99},
    {"ttbar_scale": 0.9, "diboson_scale": 1.5, "bkg_scale": 1.01},
]


def make_events(n_random=110, seed=20241121):
    """Synthetic events with all columns of a training set, edge cases last (float64)."""
    rng = np.random.default_rng(seed)
    n = n_random
    events = pd.DataFrame(
        {
            "PRI_lep_pt": 20 + rng.exponential(18, n),
            "PRI_lep_eta": rng.uniform(-2.5, 2.5, n),
            "PRI_lep_phi": rng.uniform(-3.14, 3.14, n),
            "PRI_had_pt": 24 + rng.exponential(16, n),
            "PRI_had_eta": rng.uniform(-2.5, 2.5, n),
            "PRI_had_phi": rng.uniform(-3.14, 3.14, n),
        }
    )
    n_jets = rng.choice([0, 1, 2, 3, 4], n, p=[0.3, 0.3, 0.25, 0.1, 0.05])
    leading = 23 + rng.exponential(40, n)
    subleading = 22 + (leading - 22) * rng.uniform(0.05, 1, n)
    others = np.where(n_jets > 2, (n_jets - 2) * 0.95 * subleading, 0)
    for k, (jet, pt) in enumerate((("leading", leading), ("subleading", subleading)), start=1):
        exists = n_jets >= k
        events[f"PRI_jet_{jet}_pt"] = np.where(exists, pt, -25)
        events[f"PRI_jet_{jet}_eta"] = np.where(exists, rng.uniform(-4.5, 4.5, n), -25)
        events[f"PRI_jet_{jet}_phi"] = np.where(exists, rng.uniform(-3.14, 3.14, n), -25)
    events["PRI_n_jets"] = n_jets.astype(float)
    events["PRI_jet_all_pt"] = (n_jets >= 1) * leading + (n_jets >= 2) * subleading + others
    events["PRI_met"] = rng.exponential(25, n)
    events["PRI_met_phi"] = rng.uniform(-3.14, 3.14, n)
    events = pd.concat([events, edge_events()], ignore_index=True)[PRI].round(3)
    events["weights"] = rng.uniform(0.1, 2, len(events)).round(3)
    events["detailed_labels"] = rng.choice(PROCESSES, len(events))
    events["labels"] = (events["detailed_labels"] == "htautau").astype(float)
    return events


def edge_events():
    """Events at the edges of the cuts and of the formulas."""
    two_jets = dict(
        zip(
            PRI,
            [35, 0.4, 1.2, 42, -0.8, -2.1, 80, 1.5, 0.3, 45, -0.7, 2.9, 2, 125, 30, -0.4],
            strict=True,
        )
    )
    absent = {f"PRI_jet_subleading_{part}": -25 for part in ("pt", "eta", "phi")}
    one_jet = {**two_jets, **absent, "PRI_n_jets": 1, "PRI_jet_all_pt": 80}
    no_jet = {
        **one_jet,
        **{f"PRI_jet_leading_{part}": -25 for part in ("pt", "eta", "phi")},
        "PRI_n_jets": 0,
        "PRI_jet_all_pt": 0,
    }
    soft_second = {"PRI_jet_subleading_pt": 25, "PRI_jet_all_pt": 128, "PRI_n_jets": 3}
    both_soft = {"PRI_jet_leading_pt": 25.5, "PRI_jet_subleading_pt": 24, "PRI_jet_all_pt": 72}
    rows = [
        two_jets | soft_second,  # sub-leading jet removed, two jets still counted (defect 7)
        two_jets | both_soft | {"PRI_n_jets": 3},  # both removed, one still counted (defect 7)
        two_jets | both_soft | {"PRI_n_jets": 4, "PRI_jet_all_pt": 94},
        two_jets | both_soft | {"PRI_jet_all_pt": 49.5},
        two_jets | {"PRI_jet_subleading_pt": 26, "PRI_jet_all_pt": 106},  # exactly at the cut
        two_jets | {"PRI_jet_subleading_pt": 26.001, "PRI_jet_all_pt": 106.001},
        one_jet | {"PRI_jet_leading_pt": 26, "PRI_jet_all_pt": 26},
        one_jet | {"PRI_jet_leading_pt": 26.001, "PRI_jet_all_pt": 26.001},
        one_jet | {"PRI_jet_leading_pt": 27, "PRI_jet_all_pt": 27},
        two_jets | {"PRI_jet_subleading_eta": 1.5},  # both jets at the same eta
        two_jets | {"PRI_jet_subleading_eta": 1.5, "PRI_lep_eta": 1.5},
        two_jets | {"PRI_had_phi": 1.2},  # lepton and tau at the same phi
        two_jets | {"PRI_had_phi": 1.2, "PRI_met_phi": 1.2},  # and the missing momentum too
        no_jet | {"PRI_had_phi": 0, "PRI_lep_phi": 0, "PRI_met_phi": 0},
        two_jets | {"PRI_had_phi": 3.141, "PRI_lep_phi": -3.141},
        two_jets | {"PRI_met": 0, "PRI_met_phi": 0},
        no_jet | {"PRI_met": 0, "PRI_met_phi": 0.5},
        two_jets | {"PRI_lep_pt": 20},
        two_jets | {"PRI_lep_pt": 19.999},
        no_jet | {"PRI_lep_pt": 25, "PRI_had_pt": 26},
    ]
    # A tau that lands on its cut after the shift, give or take one step of the rounding.
    for tes in sorted({tes for tes, _, _ in GRID}):
        edge = 26 / tes
        rows += [no_jet | {"PRI_had_pt": edge + step} for step in (-0.001, 0, 0.001)]
    return pd.DataFrame(rows, columns=PRI, dtype=float)


def make_vectors(n=40, seed=11):
    """Arrays of four-vector components and factors (float64)."""
    rng = np.random.default_rng(seed)
    momenta = rng.normal(0, 40, (2, 3, n))
    mass = rng.uniform(0, 20, (2, n))
    return {
        "first": np.array([*momenta[0], np.sqrt((momenta[0] ** 2).sum(axis=0) + mass[0] ** 2)]),
        "second": np.array([*momenta[1], np.sqrt((momenta[1] ** 2).sum(axis=0) + mass[1] ** 2)]),
        "pt_eta_phi_m": np.array(
            [
                rng.exponential(30, n),
                rng.uniform(-4, 4, n),
                rng.uniform(-np.pi, np.pi, n),
                rng.uniform(0, 10, n),
            ]
        ),
        "factors": rng.uniform(-2, 2, n),
    }


def make_predictions(seed=5):
    """Fixed predictions by name: coverage far below, inside and far above the band, and others."""
    rng = np.random.default_rng(seed)
    cases = {}
    for name, width, n in (
        ("below", 0.4, 200),
        ("slightly_below", 0.78, 300),
        ("inside", 1.0, 200),
        ("above", 2.0, 150),
        ("no_width", 0.0, 50),
        ("one", 1.0, 1),
    ):
        mu = rng.uniform(0.1, 3)
        mu_hat = mu + 0.3 * rng.standard_normal(n)
        cases[name] = np.array(
            [
                np.full(n, mu),
                mu_hat,
                0.3 * rng.uniform(0.5, 1.5, n),
                mu_hat - 0.3 * width,
                mu_hat + 0.3 * width,
            ]
        )
    cases["pooled"] = np.concatenate([cases["below"], cases["inside"], cases["above"]], axis=1)
    return cases


# ----------------------------------------------------------------------------------------------
# Calls of the shared interface. ``HiggsML`` is whichever implementation is installed. The
# reference changes its arguments, so each call gets a copy.
# ----------------------------------------------------------------------------------------------


def grid_key(tes, jes, soft_met):
    return f"{tes},{jes},{soft_met}"


def _values(frame, columns):
    return np.stack([frame[name].to_numpy() for name in columns])


def event_values(events, grid=GRID):
    """Shifts, cuts and derived quantities of ``events`` by name of the call.

    The column ``row`` tells which events survived.
    """
    from HiggsML import derived_quantities as derived
    from HiggsML import systematics as syst

    events = events.assign(row=np.arange(len(events)))
    primaries = events[[*PRI, "row"]]
    values = {}
    for shift in grid:
        tes, jes, soft_met = shift
        key = grid_key(*shift)
        result = syst.systematics(events.copy(), tes=tes, jes=jes, soft_met=soft_met, seed=SEED)
        values[f"systematics/{key}"] = _values(result, [*PRI, *DER, "weights", "labels"])
        values[f"systematics_rows/{key}"] = result["row"].to_numpy()
        moved = syst.mom4_manipulate(primaries.copy(), tes, jes, soft_met, seed=SEED)
        values[f"mom4_manipulate/{key}"] = _values(moved, CHANGED)
    tes, jes, soft_met = grid[-1]
    result = syst.systematics(
        {
            "data": primaries.copy(),
            "weights": events["weights"].to_numpy(),
            "detailed_labels": events["detailed_labels"].to_numpy(),
            "settings": {"mu": 1.0},
        },
        tes=tes,
        jes=jes,
        soft_met=soft_met,
        seed=SEED,
        dopostprocess=False,
    )
    values["systematics_dict/data"] = _values(result["data"], [*PRI, *DER])
    values["systematics_dict/weights"] = np.asarray(result["weights"])
    cut = syst.postprocess(primaries.copy())
    values["postprocess"] = _values(cut, PRI)
    values["postprocess_rows"] = cut["row"].to_numpy()
    values["DER_data"] = _values(derived.DER_data(primaries.copy()), DER)
    with_momenta = derived.calcul_int(primaries.copy())
    values["calcul_int"] = _values(with_momenta, INTERMEDIATE)
    for name in DER:
        frame = getattr(derived, f"f_{name}")(with_momenta.copy())
        values[f"f_{name}"] = frame[name].to_numpy()
    return values


def vector_values():
    """Every method of V4, on arrays."""
    from HiggsML.systematics import V4

    made = make_vectors()
    factors = made["factors"]

    def vector(components):  # the reference's constructor takes scalars only
        result = V4()
        result.px, result.py, result.pz, result.e = components.copy()
        return result

    a, b = vector(made["first"]), vector(made["second"])
    values = {
        name: getattr(a, name)() for name in ("p", "p2", "pt", "pt2", "m", "eta", "phi", "eWithM")
    }
    values |= {name: getattr(a, name)(b) for name in ("deltaPhi", "deltaEta", "deltaR")}
    values["eWithM_1.777"] = a.eWithM(1.777)

    def changed(method, *arguments):
        one = vector(made["first"])
        getattr(one, method)(*arguments)
        return np.array([one.px, one.py, one.pz, one.e])

    values["scale"] = changed("scale", factors)
    values["scaleFixedM"] = changed("scaleFixedM", factors)
    values["setPtEtaPhiM"] = changed("setPtEtaPhiM", *made["pt_eta_phi_m"])
    values["sum"] = changed("sum", b)
    total = a + b
    values["add"] = np.array([total.px, total.py, total.pz, total.e])
    return {f"V4/{name}": value for name, value in values.items()}


def weight_values(events):
    """The three functions that scale weights."""
    from HiggsML import systematics as syst

    weights = events["weights"].to_numpy()
    names, labels = events["detailed_labels"].to_numpy(), events["labels"].to_numpy()
    return {
        "weights/ttbar": syst.ttbar_bkg_weight_norm(weights.copy(), names, 1.1),
        "weights/diboson": syst.diboson_bkg_weight_norm(weights.copy(), names, 0.4),
        "weights/all": syst.all_bkg_weight_norm(weights.copy(), labels, 1.01),
    }


def score_values():
    """RMSE, MAE (mean of the calls for one prediction each, as scoring does) and quantiles."""
    from HiggsML.score import Scoring

    scoring = Scoring()
    values = {}
    for name, (mu, mu_hat, delta, p16, p84) in make_predictions().items():
        each = list(zip(mu, mu_hat, delta, strict=True))
        values[f"score/{name}"] = np.array(
            [
                np.mean([scoring.RMSE_score(*one) for one in each]),
                np.mean([scoring.MAE_score(*one) for one in each]),
                *scoring.Quantiles_Score(mu, p16, p84),
            ],
            dtype=np.float64,
        )
    return values


def to_arrays(events):
    """A frame as plain arrays, which a npz file can hold."""
    return {f"events/{name}": np.asarray(events[name].tolist()) for name in events.columns}


def from_arrays(arrays):
    """Undo :func:`to_arrays`."""
    prefix = "events/"
    return pd.DataFrame(
        {key[len(prefix) :]: arrays[key] for key in arrays if key.startswith(prefix)}
    )


def as_float32(events):
    """The same events in the precision of the data files."""
    floats = events.columns[events.dtypes == np.float64]
    return events.astype(dict.fromkeys(floats, np.float32))


def all_event_values(events):
    """:func:`event_values` in both precisions: of float64 events under f8/, of float32 under f4/.

    float64 events show the formulas, float32 events what is done with real data.
    """
    return {
        f"{kind}/{key}": value
        for kind, frame in (("f8", events), ("f4", as_float32(events)))
        for key, value in event_values(frame).items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output")
    parser.add_argument("--events", help="npz file of events/ arrays; only their values are made")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    import HiggsML

    versions = {name: version(name) for name in ("HiggsML", "numpy", "pandas")}
    versions["python"] = platform.python_version()
    print("computing with", HiggsML.__file__, versions)
    if arguments.events:
        with np.load(arguments.events) as arrays:
            values = all_event_values(from_arrays(arrays))
    else:
        events = make_events()
        values = to_arrays(events) | all_event_values(events) | vector_values()
        values |= weight_values(events) | score_values()
    versions_text = " ".join(f"{name}={value}" for name, value in versions.items())
    np.savez_compressed(arguments.output, versions=np.array(versions_text), **values)


if __name__ == "__main__":
    main()
