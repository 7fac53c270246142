"""What README and pages state of runs that were made with the same seed, from their outputs.

``make examples`` calls it: ``python benchmarks/examples.py --picture docs/intervals.png RUN ...``
writes ``results/examples.json``, and the README's picture from the first run.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from HiggsML.studies.comparison import compare_runs
from HiggsML.visualization import visualize_coverage

HERE = Path(__file__).resolve().parent


def numbers(run):
    """Return a run's scores, each with its standard error."""
    summary = run.summary
    return {
        "quantiles_score": [run.quantiles_score, run.score_error],
        "coverage": [run.coverage, run.coverage_error],
        "width": [run.width, run.width_error],
        "interval_score": [summary.interval_score, summary.interval_score_error],
        **by_mu(run),
    }


def by_mu(run):
    """Return coverage and width in the lowest and in the highest fifth of the true values."""
    found = run.measurements
    low, high = np.quantile(found.mu, (0.2, 0.8))
    fifths = (found.mu < low, found.mu > high)
    return {
        "coverage_by_mu": [float(found.covered[inside].mean()) for inside in fifths],
        "width_by_mu": [float(np.mean((found.p84 - found.p16)[inside])) for inside in fifths],
    }


def picture(run, path):
    """Draw intervals and truth of the first three sets of a run."""
    measured = run.measurements
    sets, mus = {}, {}
    for index, mu in enumerate(list(dict.fromkeys(measured.mu.tolist()))[:3]):
        inside = measured.mu == mu
        mus[index] = mu
        sets[index] = {
            "mu_hats": measured.mu_hat[inside],
            "p16": measured.p16[inside],
            "p84": measured.p84[inside],
        }
    visualize_coverage(sets, mus).savefig(path, dpi=80)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="output directories of higgsml run")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "examples.json")
    parser.add_argument("--picture", type=Path, help="figure of the first run's intervals")
    flags = parser.parse_args()
    runs, differences = compare_runs(flags.runs)
    content = {
        "runs": {run.name: numbers(run) for run in runs},
        "against": runs[0].name,
        "differences": {
            name: {d.quantity: d._asdict() for d in found} for name, found in differences.items()
        },
    }
    flags.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if flags.picture:
        picture(runs[0], flags.picture)


if __name__ == "__main__":
    main()
