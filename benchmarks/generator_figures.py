"""Figures of generated events that are published of the official ones, with statistical errors."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from HiggsML.generator.fast import calibration as calibrated
from HiggsML.generator.fast.amplify import amplify
from HiggsML.generator.fast.calibration import calibrate
from HiggsML.generator.fast.library import load_library
from HiggsML.schema import MISSING, PRI_COLUMNS, PROCESSES
from HiggsML.systematics import systematics

OFFICIAL = json.loads(Path(__file__).with_name("official_figures.json").read_text(encoding="utf-8"))
"""Published with the winner's method (arXiv:2505.05544) and its code."""

SHIPPED = Path(calibrated.__file__).parent / "data"
"""Named as a folder, libraries come without the shipped calibration."""

DETAILED = "lowMT_VBFJet"
SEED = 20_261
Z_BOSON = 23
ROWS_PER_CALL = 100_000
# Share of the rows; Z has few in the regions of interest.
SHARE = {"ztautau": 1.0, "htautau": 0.5, "ttbar": 0.25, "diboson": 0.15}
# What a ratio may differ from one: yields (many events, and others), means, standard deviations.
TOLERANCE = {"yield": 0.03, "rare": 0.06, "mean": 0.01, "sd": 0.02, "kept": 0.003}
# The official figures have errors of about 1e-3.
OFFICIAL_ERROR = 0.001
SIGN_SYMMETRIC = ("_eta",)  # their means are zero


def regions(frame):
    """Masks of the official regions."""
    low = (frame["DER_mass_transverse_met_lep"] < 70.0).to_numpy()
    two = (
        (frame["PRI_jet_leading_pt"] > 50.0) & (frame["PRI_jet_subleading_pt"] > 30.0)
    ).to_numpy()
    high_pt = (frame["DER_pt_h"] >= 100.0).to_numpy()
    return {
        "lowMT_VBFJet": low & two,
        "lowMT_noVBFJet_ptH100": low & ~two & high_pt,
        "lowMT_noVBFJet_ptH0to100": low & ~two & ~high_pt,
        "highMT_VBFJet": ~low & two,
        "highMT_noVBFJet": ~low & ~two,
    }


def generated(process, rows, factors, stream):
    """Give frames of generated rows, before the cuts of the challenge."""
    libraries = libraries_of(process, factors)
    for start in range(0, rows, ROWS_PER_CALL):
        number = min(ROWS_PER_CALL, rows - start)
        rng = np.random.default_rng([SEED, stream, PROCESSES.index(process), start])
        events = amplify(process, number, rng, **libraries)
        yield pd.DataFrame(events, columns=list(PRI_COLUMNS))


def selected(process, rows, factors, stream):
    """Give frames of generated rows that pass the cuts, and the number of rows before."""
    for frame in generated(process, rows, factors, stream):
        yield len(frame), systematics(frame)


def selected_rows(process, rows, factors, stream):
    """One frame of generated rows, before the cuts."""
    return pd.concat(generated(process, rows, factors, stream), ignore_index=True)


def libraries_of(process, factors):
    """Arguments of ``amplify`` that hold the libraries of a process with these factors."""
    out = {"library": calibrate(load_library(process, None, SHIPPED), factors)}
    if process == "htautau":
        other = load_library("htautau_associated", None, SHIPPED)
        out["associated"] = calibrate(other, factors)
    return out


def library_sizes():
    """Events of each library, how many equal ones they are worth, and those with both leptons."""
    sizes = {}
    for process in (*PROCESSES, "htautau_associated"):
        library = load_library(process, None, SHIPPED)
        weight = library.weight.astype(np.float64)
        both = (library.boson_kind == Z_BOSON).any(axis=1) | (library.boson_kind > 0).all(axis=1)
        sizes[process] = {
            "events": len(weight),
            "effective": round(weight.sum() ** 2 / np.sum(weight**2)),
            "both": int(both.sum()),
        }
    return sizes


class Moments:
    """Sums of powers of a column, from which its mean, spread and their errors follow."""

    def __init__(self):
        self.sums = np.zeros(5)

    def add(self, values):
        """Take more values; missing ones do not count."""
        values = values[values > MISSING + 1.0].astype(np.float64) / 100.0  # keep powers small
        self.sums += [np.sum(values**k) for k in range(5)]

    def figures(self):
        """Mean and standard deviation, each with its error."""
        n, *rest = self.sums
        m1, m2, m3, m4 = (value / n for value in rest)
        variance = m2 - m1**2
        fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
        sd = np.sqrt(variance)
        error = np.sqrt(max(fourth - variance**2, 0.0) / n) / (2 * sd)
        return (100.0 * m1, 100.0 * sd / np.sqrt(n)), (100.0 * sd, 100.0 * error)


def measure(process, rows, factors, stream=0):
    """All figures of one process: name -> (value, error)."""
    before = after = 0
    counts, moments = {}, {}
    columns = OFFICIAL["mean_and_sd"].get(f"{process}|{DETAILED}", {})
    for number, frame in selected(process, rows, factors, stream):
        before, after = before + number, after + len(frame)
        masks = regions(frame)
        for name, mask in masks.items():
            counts[name] = counts.get(name, 0) + int(mask.sum())
        for column in columns:
            values = frame[column].to_numpy()[masks[DETAILED]]
            moments.setdefault(column, Moments()).add(values)
    total = OFFICIAL["expected_events"]["all"][process]
    share = after / before
    out = {"kept": (share, np.sqrt(share * (1 - share) / before))}
    for name, count in counts.items():
        part = count / after
        out[f"yield|{name}"] = (total * part, total * np.sqrt(part * (1 - part) / after))
    for column, sums in moments.items():
        out[f"mean|{column}"], out[f"sd|{column}"] = sums.figures()
    return out


def targets(process):
    """Official value and tolerance (both absolute) of every figure."""
    share = OFFICIAL["after_cuts"]["share_kept_by_the_tau_cut"][process]
    out = {"kept": (share, TOLERANCE["kept"] * share)}
    for name, values in OFFICIAL["expected_events"].items():
        if name == "all":
            continue
        value = values[process]
        rare = process == "diboson" or (process != "htautau" and value <= 2_000.0)
        out[f"yield|{name}"] = (value, value * TOLERANCE["rare" if rare else "yield"])
    for column, (mean, sd) in OFFICIAL["mean_and_sd"].get(f"{process}|{DETAILED}", {}).items():
        if not column.endswith(SIGN_SYMMETRIC):
            out[f"mean|{column}"] = (mean, abs(mean) * TOLERANCE["mean"])
        out[f"sd|{column}"] = (sd, sd * TOLERANCE["sd"])
    return out
