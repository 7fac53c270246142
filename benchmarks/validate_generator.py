"""Compare the fast engine with the reference engine and with real events.

usage: python benchmarks/validate_generator.py --output DIR [--real FILE.parquet] [--reference DIR]

Writes one figure page per process into DIR and the numbers into ``--json``, by default
``results/validation.json``, from where ``make tables`` writes them into GENERATOR.md.
``--reference`` is a folder of the reference engine's rows; with ``--make-reference N`` it is filled
first, until there are N rows per process (resumable; Z gives a few rows a second and core).
``--information N`` adds the information test with N training rows of Z: what a strong classifier
that was trained on one half of the library is worth on fresh events of either half.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from generator_statistics import (
    auc,
    auc_error,
    features,
    sigma_mu,
    strong_classifier,
)
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from HiggsML.generator.fast.amplify import amplify
from HiggsML.generator.pythia.rows import make_rows
from HiggsML.schema import DER_COLUMNS, FEATURES, PRI_COLUMNS, PROCESSES
from HiggsML.systematics import systematics

mpl.use("Agg")
from matplotlib import pyplot as plt

YIELDS = {"ztautau": 1_002_395.0, "diboson": 3_783.0, "ttbar": 44_192.0, "htautau": 1_015.0}
SHIFTS = {"tes": (0.99, 1.01), "jes": (0.99, 1.01), "soft_met": (1.0,)}
COLUMN = {name: k for k, name in enumerate(FEATURES)}
REPETITION_ROWS = 45_000
REFERENCE_SEED = 60_117
GEV = re.compile(r"_(pt|met|pt_h|pt_tot|sum_pt)$|_mass_")
RESULTS = Path(__file__).resolve().parent / "results" / "validation.json"
FEWEST = 100  # rows below which a sample is drawn, but not tested


def two_samples(fast, other, *, seed):
    """KS of every column that is not an absolute azimuth, AUC, and the AUC's null control."""
    n = min(len(other), len(fast) // 2)
    half = len(fast) // 2
    tests = {
        name: ks_2samp(fast[:, k], other[:, k])
        for name, k in COLUMN.items()
        if not name.endswith("_phi")
    }
    found = auc(fast[:half], other, seed=seed)
    null = auc(fast[:half], fast[half : half + n], seed=seed)
    return {
        "rows": len(other),
        "auc": found.auc,
        "auc_error": found.error,
        "auc_null": null.auc,
        "largest_ks_pri": max(tests[name][0] for name in PRI_COLUMNS if name in tests),
        "largest_ks_der": max(tests[name][0] for name in DER_COLUMNS),
        "smallest_p": min(p for _, p in tests.values()),
    }


def regions(values):
    """Masks of the four regions: transverse mass, and two jets above 50 and 30 GeV."""
    low_mass = values[:, COLUMN["DER_mass_transverse_met_lep"]] < 70.0
    two = (values[:, COLUMN["PRI_jet_leading_pt"]] > 50.0) & (
        values[:, COLUMN["PRI_jet_subleading_pt"]] > 30.0
    )
    return {
        f"mT {'<' if low else '>'} 70, {'two jets' if jets else 'others'}": (low_mass == low)
        & (two == jets)
        for low in (True, False)
        for jets in (True, False)
    }


def summary(values):
    """Medians, jet multiplicity, and shares of the rows in regions."""
    number = values[:, COLUMN["PRI_n_jets"]]
    return {
        "median": {
            name: float(np.median(values[:, COLUMN[name]]))
            for name in ("PRI_lep_pt", "PRI_had_pt", "PRI_met", "DER_mass_vis", "DER_pt_h")
        },
        "jet_shares": [float((number == k).mean()) for k in range(4)],
        "regions": {name: float(mask.mean()) for name, mask in regions(values).items()}
        | {"pt_h > 100": float((values[:, COLUMN["DER_pt_h"]] > 100.0).mean())},
    }


def responses(values):
    """Relative change of the selected yield in all and in each region, at each shift."""
    frame = pd.DataFrame(values[:, : len(PRI_COLUMNS)], columns=list(PRI_COLUMNS))
    nominal = systematics(frame)[list(FEATURES)].to_numpy()
    before = {name: mask.sum() for name, mask in regions(nominal).items()}
    out = {}
    for name, shifts in SHIFTS.items():
        for shift in shifts:
            shifted = systematics(frame, **{name: shift}, seed=1)[list(FEATURES)].to_numpy()
            after = {region: mask.sum() for region, mask in regions(shifted).items()}
            out[f"{name} = {shift}"] = {"all": len(shifted) / len(nominal) - 1.0} | {
                region: float(after[region] / before[region] - 1.0)
                for region in before
                if before[region] > 0
            }
    return out


def say(*words):
    """Tell on standard error what is going on."""
    print(*words, file=sys.stderr, flush=True)


def information(n, *, processes=("ztautau", "ttbar", "diboson"), seed=1):
    """Train on half 1; expected error of mu on fresh events of either half."""
    part = {"ztautau": 1.0, "ttbar": 0.12, "diboson": 0.04, "htautau": 0.33}
    everything = ("htautau", *processes)
    total = sum(YIELDS[name] for name in processes)

    def sample(name, rows, half, stream):
        rng = np.random.default_rng([seed, half, stream, everything.index(name)])
        return features(amplify(name, int(rows), rng, half=half))

    blocks = {name: sample(name, n * part[name], 1, 0) for name in everything}
    x = np.concatenate(list(blocks.values()))
    y = np.concatenate([np.full(len(v), float(k == "htautau")) for k, v in blocks.items()])
    share = {name: 1.0 if name == "htautau" else YIELDS[name] / total for name in everything}
    weight = np.concatenate([np.full(len(v), share[k] / len(v)) for k, v in blocks.items()])
    say("training on", len(y), "rows of half 1")
    model = strong_classifier(x, y, weight * len(y), seed=seed)
    del x, blocks
    scores = {}
    for half in (1, 2):
        for name in everything:
            rows = 2.0 * n * part[name]
            pieces = [
                model.decision_function(sample(name, min(100_000, rows - k), half, 1 + int(k)))
                for k in np.arange(0, rows, 100_000)
            ]
            scores[half, name] = np.concatenate(pieces)
        say("evaluated half", half)
    edges = np.quantile(scores[1, "htautau"], np.linspace(0, 1, 26))
    edges[[0, -1]] = -np.inf, np.inf
    out = {"training_rows_z": n}
    for signal in (1, 2):
        for background in (1, 2):
            sigma, s, b = sigma_mu(
                (scores[signal, "htautau"], YIELDS["htautau"]),
                [(scores[background, name], YIELDS[name]) for name in processes],
                edges=edges,
            )
            counts = {name: np.histogram(scores[background, name], edges)[0] for name in processes}
            rng = np.random.default_rng(seed)

            def drawn(counts=counts, rng=rng):
                return sum(rng.poisson(c) * (YIELDS[k] / c.sum()) for k, c in counts.items())

            again = [np.sum(s**2 / (s + drawn())) ** -0.5 for _ in range(200)]
            z, h = scores[background, "ztautau"], scores[signal, "htautau"]
            out[f"signal half {signal}, background half {background}"] = {
                "sigma_mu": sigma,
                "error": float(np.std(again)),
                "background_of_purest_bins": b[-5:].tolist(),
                "auc": float(roc_auc_score(np.repeat([0, 1], [len(z), len(h)]), np.r_[z, h])),
            }
    return out


def draw(fast, others, title, path):
    """Overlay all columns, with the ratio to the fast engine below each."""
    names = [name for name in FEATURES if not name.endswith("_phi")]
    rows = -(-len(names) // 4)
    figure, axes = plt.subplots(
        2 * rows,
        4,
        figsize=(16, 4.3 * rows),
        gridspec_kw={"height_ratios": [3, 1] * rows},
        layout="constrained",
    )
    for at, name in enumerate(names):
        top, bottom = axes[2 * (at // 4), at % 4], axes[2 * (at // 4) + 1, at % 4]
        k = COLUMN[name]
        values = fast[:, k][fast[:, k] > -20.0]
        edges = np.linspace(*np.quantile(values, (0.001, 0.985)), 31)
        if name == "PRI_n_jets":
            edges = np.arange(-0.5, 7.0)
        expected = np.histogram(fast[:, k], edges)[0] / len(fast)
        top.stairs(expected, edges, fill=True, color="0.82", label="fast engine")
        middle = 0.5 * (edges[1:] + edges[:-1])
        for color, marker, (label, other) in zip(
            ("#3f90da", "#bd1f01"), ("o", "s"), others.items(), strict=False
        ):
            counts = np.histogram(other[:, k], edges)[0]
            share, error = counts / len(other), np.sqrt(counts) / len(other)
            style = {"fmt": marker, "ms": 3, "color": color, "elinewidth": 1}
            top.errorbar(middle, share, error, label=f"{label} ({len(other):,} rows)", **style)
            some = (counts > 0) & (expected > 0)
            ratio, spread = (v[some] / expected[some] for v in (share, error))
            bottom.errorbar(middle[some], ratio, spread, **style)
        bottom.axhline(1.0, color="0.4", lw=0.8)
        unit = " [GeV]" if GEV.search(name) else ""
        bottom.set(ylim=(0.4, 1.6), xlabel=name + unit, xlim=(edges[0], edges[-1]))
        top.set(xlim=(edges[0], edges[-1]), xticklabels=[])
        if at % 4 == 0:
            top.set_ylabel("share of rows")
            bottom.set_ylabel("ratio to fast")
    axes[0, 0].legend(fontsize="small")
    for at in range(len(names), 4 * rows):
        for axis in (axes[2 * (at // 4), at % 4], axes[2 * (at // 4) + 1, at % 4]):
            axis.set_axis_off()
    figure.suptitle(title)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def one_process(process, options, real):
    """Everything about one process; draws its page."""
    say(process)
    fast = features(amplify(process, options.events, np.random.default_rng(1)))
    others = {}
    if options.reference and (files := sorted(options.reference.glob(f"{process}-*.npy"))):
        others["reference engine"] = features(np.concatenate([np.load(f) for f in files]))
    if real is not None:
        chosen = real.loc[real["detailed_labels"] == process, list(PRI_COLUMNS)]
        others["real sample"] = features(chosen.to_numpy(dtype=np.float32))
    samples = {"fast engine": summary(fast) | {"response": responses(fast)}}
    out = {"samples": samples, "against": {}}
    for label, values in others.items():
        samples[label] = summary(values)
        if len(values) >= FEWEST:
            samples[label]["response"] = responses(values)
            out["against"][label] = two_samples(fast, values, seed=1)
    halves = [
        features(amplify(process, REPETITION_ROWS, np.random.default_rng(h), half=h))
        for h in (1, 2)
    ]
    found = auc(*halves, seed=1)
    error = auc_error(REPETITION_ROWS, REPETITION_ROWS)
    out["halves"] = {"rows": REPETITION_ROWS, "auc": found.auc, "error": error}
    title = f"{process}: {len(fast):,} rows of the fast engine"
    draw(fast, others, title, options.output / f"{process}.png")
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for the figures")
    parser.add_argument("--json", type=Path, default=RESULTS, help="file for the numbers")
    parser.add_argument("--real", type=Path, help="parquet file of real events")
    parser.add_argument("--reference", type=Path, help="folder of the reference engine's rows")
    parser.add_argument("--make-reference", type=int, default=0, metavar="N")
    parser.add_argument("--workers", type=int, default=1, help="for --make-reference")
    parser.add_argument("--events", type=int, default=40_000, help="rows of the fast engine")
    parser.add_argument("--information", type=int, default=0, metavar="N")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    if options.make_reference:
        if options.reference is None:
            parser.error("--make-reference needs --reference, the folder to fill")
        options.reference.mkdir(parents=True, exist_ok=True)
        needed = dict.fromkeys(PROCESSES, options.make_reference)
        make_rows(
            options.reference,
            needed,
            entropy=REFERENCE_SEED,
            workers=options.workers,
            progress=lambda rows: say("reference engine:", rows, "of", sum(needed.values())),
        )
    real = pd.read_parquet(options.real) if options.real else None
    report = {"processes": {process: one_process(process, options, real) for process in PROCESSES}}
    if options.information:
        report["information"] = information(options.information)
    report = json.loads(json.dumps(report), parse_float=lambda text: float(f"{float(text):.5g}"))
    options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
