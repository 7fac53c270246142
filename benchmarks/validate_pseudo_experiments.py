"""Judge the generator of pseudo-experiments, and the size of the test split, by known truth.

usage: python benchmarks/validate_pseudo_experiments.py [--input DIR --output DIR]

Writes ``closure.json`` and ``closure.png``, by default into ``benchmarks/results``, from where
``make tables`` writes the numbers into CLOSURE.md. Some thirty thousand pseudo-experiments are
measured by a method that knows all nuisance parameters:

1. with the histograms of the very events they are drawn from, at drawn mu and nuisance parameters;
2. drawn from the shipped test split, with the histograms of the training split;
3. drawn from random test splits of several sizes, with the histograms of all events.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from closure import closure, known_truth, poisson_interval, simulated_repeats

from HiggsML.datasets import Data
from HiggsML.pseudo_experiments import EventStore, draw_mu, experiment_nuisances
from HiggsML.schema import COVERAGE_TARGET, MU_RANGE, NUISANCES, PRI_COLUMNS
from HiggsML.statistics.fisher_information import bias_coverage, expected_coverage
from HiggsML.statistics.measurements import Measurements
from HiggsML.statistics.summary import summarize

mpl.use("Agg")
from matplotlib import pyplot as plt

PARTS = (1 / 20, 1 / 10, 1 / 4, 1 / 2, 1)  # of the shipped test split
DRAWN = dict.fromkeys(NUISANCES, True)
RESULTS = Path(__file__).resolve().parent / "results"


def say(*words):
    """Tell on standard error what is going on."""
    print(*words, file=sys.stderr, flush=True)


def described(found):
    """Coverage and pulls, with the chi-square of the coverage in ten bins of mu."""
    s = summarize(found, n_bootstraps=1)
    tenth = np.digitize(found.mu, np.linspace(*MU_RANGE, 11)[1:-1])
    deviations = []
    for k in np.unique(tenth):
        n = np.sum(tenth == k)
        spread = np.sqrt(COVERAGE_TARGET * (1 - COVERAGE_TARGET) / n)
        deviations.append((found.covered[tenth == k].mean() - COVERAGE_TARGET) / spread)
    return {
        "experiments": s.n,
        "coverage": s.coverage,
        "error": s.coverage_error,
        "pull_mean": s.pull_mean,
        "pull_width": s.pull_width,
        "width": s.width,
        "worst": max(deviations, key=abs),
        "chi_square": float(np.sum(np.square(deviations))),
    }


def frames_of(train):
    """Split a training set by process, like the test set."""
    groups = train[[*PRI_COLUMNS, "weights"]].groupby(train["detailed_labels"], observed=True)
    return {str(process): frame for process, frame in groups}


def reweighted(frames, expected):
    """Scale each process to its expected events, all with equal weights."""
    return {
        name: frame.assign(weights=expected[name] / len(frame)) for name, frame in frames.items()
    }


def bias(frames, truth, mu):
    """Bias of the estimate in standard deviations, from expected instead of drawn events."""
    own = known_truth(frames)
    best, low, high = poisson_interval(mu * own.signal + own.background, truth)
    return 2 * (best - mu) / (high - low)


def known_everything(test_set, *, truths, experiments, seed):
    """Part 1: each truth is drawn as for a set and experiment of the challenge."""
    points = [(draw_mu(seed, k), experiment_nuisances(seed, k, 0, DRAWN)) for k in range(truths)]
    found = closure(
        EventStore.from_frames(test_set),
        partial(known_truth, test_set),
        points,
        experiments=experiments,
        seed=seed,
    )
    return described(found)


def training_histograms(test_set, train_set, *, truths, experiments, seed):
    """Part 2: what a participant can know."""
    truth = known_truth(train_set)
    points = [(draw_mu(seed, k), {}) for k in range(truths)]
    store = EventStore.from_frames(test_set)
    found = closure(store, lambda _: truth, points, experiments=experiments, seed=seed)
    biases = np.array([bias(test_set, truth, mu) for mu, _ in points])
    return described(found) | {
        "mean_bias": float(biases.mean()),
        "coverage_from_bias": float(bias_coverage(biases).mean()),
    }


def random_splits(everything, rows, *, part, truths, experiments, seed):
    """Part 3: test splits that are a part of the shipped one's size, drawn from all events."""
    rng = np.random.default_rng([seed, round(1 / part)])
    expected = {name: frame["weights"].sum() for name, frame in everything.items()}
    truth = known_truth(everything)
    found, biases, inverse = [], [], []
    for k in range(truths):
        mu = draw_mu(seed, k)
        chosen = {
            name: frame.iloc[rng.choice(len(frame), round(part * rows[name]), replace=False)]
            for name, frame in everything.items()
        }
        split = reweighted(chosen, expected)
        store = EventStore.from_frames(split)
        # The number of the split, not of the point, so that splits have different experiments.
        found.append(
            closure(store, lambda _: truth, [(mu, {})], experiments=experiments, seed=seed + k)
        )
        biases.append(bias(split, truth, mu))
        # Drawn without replacement from all events, which are the truth: less varies.
        drawn = sum(map(len, split.values())) / sum(map(len, everything.values()))
        inverse.append((1 - drawn) / simulated_repeats(split, mu))
    covered = np.array([m.covered.mean() for m in found])
    repeats = 1 / np.mean(inverse)
    return described(Measurements.joined(found)) | {
        "splits": truths,
        # Experiments of one split share its bias: the splits are what is independent.
        "error": float(covered.std(ddof=1) / np.sqrt(truths)),
        "repeats": float(repeats),
        "bias_spread": float(np.sqrt(np.mean(np.square(biases)))),
        "bias_expected": float(repeats**-0.5),
        "coverage_from_bias": float(bias_coverage(np.array(biases)).mean()),
        "coverage_expected": expected_coverage(repeats),
    }


def draw(splits, path):
    """Coverage against the size of the test split, with the formula."""
    figure, axis = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    repeats = np.geomspace(1.5, 150, 200)
    axis.plot(repeats, [expected_coverage(r) for r in repeats], color="#3f90da", label="formula")
    axis.errorbar(
        [s["repeats"] for s in splits],
        [s["coverage"] for s in splits],
        [s["error"] for s in splits],
        fmt="o",
        ms=4,
        color="#bd1f01",
        label=f"{splits[0]['splits']} random test splits each",
    )
    axis.axhline(COVERAGE_TARGET, color="0.4", lw=0.8, ls="--")
    axis.set(
        xscale="log",
        xlabel="simulated test events per expected event",
        ylabel="coverage of a perfect method",
    )
    ticks = [2, 5, 10, 20, 50, 100]
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.set_xticks([], minor=True)
    axis.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", type=Path, default=Path("input_data"), help="dataset")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where results go")
    parser.add_argument("--truths", type=int, default=100, help="true values, and test splits")
    parser.add_argument(
        "--pseudo-experiments", dest="experiments", type=int, default=100, help="for each of them"
    )
    parser.add_argument("--seed", type=int, default=2024)
    options = parser.parse_args()
    data = Data(options.input)
    data.load_test_set()
    data.load_train_set()
    test_set, train_set = data.get_test_set(), frames_of(data.get_train_set())
    rows = {name: len(frame) for name, frame in test_set.items()}
    expected = {name: frame["weights"].sum() for name, frame in test_set.items()}
    everything = reweighted(
        {name: pd.concat([test_set[name], train_set[name]], join="inner") for name in test_set},
        expected,
    )
    size = {"truths": options.truths, "experiments": options.experiments, "seed": options.seed}
    say("closure")
    report = {"settings": dict(size), "closure": known_everything(test_set, **size)}
    say("histograms of the training split")
    report["training"] = training_histograms(test_set, train_set, **size)
    report["splits"] = []
    # The biases say more than experiments do here, so a quarter of them is enough.
    size["experiments"] = max(options.experiments // 4, 1)
    for part in PARTS:
        say(f"random test splits, {part:g} of the shipped size")
        found = random_splits(everything, rows, part=part, **size)
        report["splits"].append({"part": part} | found)
    report["shipped"] = {
        f"{mu:g}": {"repeats": r, "coverage": expected_coverage(r)}
        for mu in (MU_RANGE[0], 1.0, MU_RANGE[1])
        for r in [simulated_repeats(test_set, mu)]
    }
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "closure.json").write_text(json.dumps(report, indent=1) + "\n")
    draw(report["splits"], options.output / "closure.png")


if __name__ == "__main__":
    main()
